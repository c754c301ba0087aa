//! What a run changed, taken back row by row, where a row is still as the run left it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Instant;

use backon::BlockingRetryable as _;

use super::batch::held;
use super::carry::wait_for;
use super::guard::Guard;
use super::restore::restore;
use super::run::{
    ATTEMPTS, NAMED, PATIENCE, again_each_time, go_on, named, open_for_hand, read_ahead,
};
use super::undo::{TakenBack, Undone};
use super::{ApplyError, ApplyOptions, PastExpiry};
use crate::actions::{Held, taken_back};
use crate::batch::{
    Action, BatchError as _, BatchSize, Changed, Throttle, Yielding, change_rows, come_back,
    in_slices,
};
use crate::config::ConnectionSettings;
use crate::crew::{Crew, Failed, together};
use crate::evaluate::TagRow;
use crate::ground::{Memory, Protection};
use crate::journal::{
    FixRun, FixTotals, Part, PartOf, Phase, TagChange, backend, carry_images, changed_policies,
    changed_tags, is_worth_parting, liveness_held, mark_undone, record_tag_changes,
};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::{RepositoryId, TagId};
use crate::relations::{PolicySchema, RowLock, last_changes, tags_by_id};
use crate::report::Exceptions;
use crate::retry::attempts;

/// Rows of the journal that are read at once.
const PAGE: u32 = 5_000;

/// What a batch works with.
#[derive(Clone, Copy)]
pub(super) struct UndoSite<'a> {
    pub(super) run: &'a FixRun,
    pub(super) options: &'a ApplyOptions,
    pub(super) schema: PolicySchema,
    /// Whose session the batches are.
    pub(super) part: Part,
}

/// What is told how many rows have been dealt with, and says whether the work goes on.
type Reached<'r> = dyn FnMut(u64) -> ControlFlow<()> + 'r;

/// Takes a run back, after its operations: policies first, which came last, then tags by the lead and
/// its hands, each in repositories of its own.
pub(super) fn take_all_back(
    settings: &ConnectionSettings,
    session: &mut WriteSession,
    site: UndoSite<'_>,
    conducted: TakenBack,
    reached: &mut Reached<'_>,
) -> Result<Undone, ApplyError> {
    let mut outcome = Undone::nothing(site.run.id);
    outcome.conducted(conducted);
    // A tag that was released because its policy was not there is judged by nobody meanwhile.
    policies(session, site, &mut outcome)?;
    let crew = shared_out(session, &site)?;
    let hands = crew.hands();
    let lead = backend(session)?;
    let hand = || -> Result<Undone, ApplyError> {
        let Some(mut session) = open_for_hand(settings, site.run.id, &crew) else {
            return Ok(Undone::nothing(site.run.id));
        };
        let site = UndoSite {
            part: Part::HandOf(lead),
            ..site
        };
        let mut told = 0;
        let mut reached = |done: u64| {
            crew.add(done - told);
            told = done;
            crew.stand_aside();
            crew.go_on()
        };
        let mut share = Share::new(&mut session, site, &crew, &mut reached);
        while let Some(part) = crew.last() {
            share.tags(part)?;
        }
        Ok(share.outcome)
    };
    let already = outcome.undone + outcome.refused;
    let (led, by_hands) = together(&crew, hands, hand, |at_work| {
        let mut own_reached = |own: u64| match crew.go_on() {
            ControlFlow::Break(()) => ControlFlow::Break(()),
            ControlFlow::Continue(()) => reached(already + own + crew.by_hands()),
        };
        let mut share = Share::new(session, site, &crew, &mut own_reached);
        while let Some(part) = crew.first() {
            share.tags(part)?;
        }
        let outcome = share.outcome;
        let done = already + outcome.undone + outcome.refused;
        wait_for(at_work, &mut || reached(done + crew.by_hands()))?;
        Ok(outcome)
    });
    outcome.append(led.map_err(Failed::into_error)?);
    for more in by_hands {
        outcome.append(more);
    }
    Ok(outcome)
}

/// The parts of a run: one for each session, where there is enough for several.
fn shared_out(session: &mut WriteSession, site: &UndoSite<'_>) -> Result<Crew<PartOf>, ApplyError> {
    let jobs = site.options.jobs;
    let all = i32::try_from(jobs.sessions()).unwrap_or(1);
    if all > 1 && is_worth_parting(session, site.run.id, jobs.from_rows())? {
        let crew = Crew::new((0..all).map(|nth| PartOf { nth, all }), jobs);
        crew.dealt(jobs.from_rows());
        return Ok(crew);
    }
    Ok(Crew::new([PartOf::WHOLE], jobs))
}

/// What one session takes back.
struct Share<'a, 'r> {
    session: &'a mut WriteSession,
    site: UndoSite<'a>,
    crew: &'a Crew<PartOf>,
    reached: &'a mut Reached<'r>,
    size: BatchSize,
    throttle: Throttle,
    yielding: Yielding,
    memory: Memory,
    outcome: Undone,
    /// Tags that somebody held in this round: their older changes wait for the newer ones.
    waiting: HashSet<TagId>,
}

/// A change to take back, with its journal entry.
type Entry = (i64, TagChange);

impl<'a, 'r> Share<'a, 'r> {
    fn new(
        session: &'a mut WriteSession,
        site: UndoSite<'a>,
        crew: &'a Crew<PartOf>,
        reached: &'a mut Reached<'r>,
    ) -> Self {
        Self {
            session,
            site,
            crew,
            reached,
            size: BatchSize::new(site.options.batch_time),
            throttle: Throttle::new(site.options.limits, site.run.id),
            yielding: Yielding::default(),
            memory: Memory::default(),
            outcome: Undone::nothing(site.run.id),
            waiting: HashSet::new(),
        }
    }

    /// Takes a part of the tags back, newest change first, a repository's rows of a page together.
    fn tags(&mut self, part: PartOf) -> Result<(), ApplyError> {
        let (mut cursor, mut limit) = (None, PAGE);
        loop {
            let read = changed_tags(self.session, self.site.run.id, part, cursor, limit);
            let mut page = match read.map_err(ApplyError::from) {
                Err(error) if error.is_too_much() && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                page => page?,
            };
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            cursor = Some(*last);
            page.sort_by_key(|(entry, change)| (change.repository, -*entry));
            let held = change_rows(self, PATIENCE, &page)?;
            // Before older changes of the same tags.
            let held = come_back(self, ATTEMPTS, held)?;
            self.refuse_held(&held)?;
        }
    }

    /// Takes a batch back, or its first changes where somebody waits for the repository.
    fn batch(
        &mut self,
        repository: RepositoryId,
        entries: &[Entry],
    ) -> Result<Changed<Entry>, ApplyError> {
        let begun = Instant::now();
        let mut tx = self.session.begin()?;
        let takes_away = entries.iter().any(|(_, change)| {
            change.after.immutability.as_column() && !change.before.immutability.as_column()
        });
        let protection = if takes_away {
            Protection::TakenAway
        } else {
            Protection::OnlyGiven
        };
        let guard = Guard::enter(
            &mut tx,
            &[repository],
            protection,
            self.site.schema,
            self.site.run,
            self.site.options,
            &mut self.memory,
        )?;
        let entering = begun.elapsed();
        let mut outcome = Undone::nothing(self.site.run.id);
        let mut waiting = self.waiting.clone();
        let (site, memory, yielding) = (self.site, &mut self.memory, &mut self.yielding);
        let sliced = in_slices(&mut tx, &[repository], yielding, entries, |tx, slice| {
            let free: Vec<Entry> = slice
                .iter()
                .filter(|(_, change)| !waiting.contains(&change.tag))
                .copied()
                .collect();
            let held = take_back(tx, site, (&guard, memory), &free, &mut outcome)?;
            waiting.extend(held);
            Ok::<(), ApplyError>(())
        })?;
        if !liveness_held(&mut tx, site.run.id, site.part)? {
            return Err(ApplyError::LivenessLost(site.run.id));
        }
        site.run
            .advance(&mut tx, Phase::Undoing, &FixTotals::default())?;
        tx.commit()?;
        outcome.batches = 1;
        self.outcome.append(outcome);
        let dealt = entries[..sliced.rows].iter();
        let held = dealt.filter(|(_, change)| waiting.contains(&change.tag));
        let held = held.copied().collect();
        self.waiting = waiting;
        Ok(Changed {
            rows: sliced.rows,
            held,
            refused: Vec::new(),
            entering,
            wanted: sliced.wanted,
        })
    }

    /// Refuses the entries whose rows somebody does not let go of.
    fn refuse_held(&mut self, held: &[Entry]) -> Result<(), ApplyError> {
        let tags: BTreeSet<TagId> = held.iter().map(|(_, of)| of.tag).collect();
        let tags: Vec<TagId> = tags.into_iter().collect();
        for named in named(self.session, &tags)? {
            self.outcome.refuse(named, "it can be taken back later");
        }
        for _ in tags.len().min(NAMED)..held.len() {
            self.outcome
                .refuse("another of them".to_owned(), "somebody else holds it");
        }
        Ok(())
    }
}

/// Puts the run's policy rows back.
fn policies(
    session: &mut WriteSession,
    site: UndoSite<'_>,
    outcome: &mut Undone,
) -> Result<(), ApplyError> {
    for (entry, change) in changed_policies(session, site.run.id)? {
        let (schema, run) = (site.schema, site.run);
        let once = || restore(session, schema, run, entry, &change);
        match once
            .retry(attempts(ATTEMPTS))
            .when(again_each_time())
            .call()?
        {
            Ok(()) => outcome.undone += 1,
            Err(why) => {
                let what = format!("{} {}", change.table.name(), change.id);
                outcome.refuse(what, why);
            }
        }
    }
    Ok(())
}

/// Takes entries back under their repository's locks, newest first; the tags of them that somebody else holds.
fn take_back(
    tx: &mut WriteTransaction<'_>,
    site: UndoSite<'_>,
    (guard, memory): (&Guard<'_>, &mut Memory),
    entries: &[Entry],
    outcome: &mut Undone,
) -> Result<HashSet<TagId>, ApplyError> {
    let ids: Vec<TagId> = entries.iter().map(|(_, change)| change.tag).collect();
    let locked = tags_by_id(tx, &ids, RowLock::SkipLocked)?;
    let held = held(tx, &ids, &locked)?;
    let accounts = guard.accounts(tx, &locked, memory)?;
    let rows: HashMap<TagId, TagRow> = locked.into_iter().map(|row| (row.id, row)).collect();
    let last = last_changes(tx, &ids)?;
    let (mut changes, mut marks, mut refused) = (vec![], vec![], vec![]);
    let mut images: Vec<(TagId, i64)> = Vec::new();
    let mut exceptions = Exceptions::default();
    for (entry, change) in entries.iter().filter(|(_, of)| !held.contains(&of.tag)) {
        let row = rows.get(&change.tag);
        let last = last.get(&change.tag);
        let protected = row.map_or(NOT_HELD, |row| Held {
            evident: guard.is_evident(row, &accounts),
            covered: guard.is_covered(row),
        });
        let restore_past = site.options.past_expiry == PastExpiry::Restore;
        let how = (guard.moment.millis(), restore_past);
        let unclear = change
            .before
            .expiry
            .0
            .is_some_and(|end| guard.disagree_on(end));
        if unclear && change.before.expiry != change.after.expiry {
            refused.push((change.tag, CLOCKS_APART.to_owned()));
            continue;
        }
        match taken_back((site.run.id, change), row, last, protected, how) {
            Ok((inverse, restored)) => {
                if let Some(row) = row {
                    restored.tell(guard.registry(), row, &mut exceptions);
                }
                let current = last.filter(|last| last.is_current);
                let beneath = current.into_iter().flat_map(|last| &last.beneath);
                images.extend(beneath.map(|older| (change.tag, *older)));
                changes.push(inverse);
                marks.push((change.tag, *entry));
            }
            Err(why) => refused.push((change.tag, why.to_string())),
        }
    }
    let written = guard.write_rows(tx, &rows, &changes)?;
    let marks: Vec<i64> = marks
        .into_iter()
        .filter(|(tag, _)| !written.refused.contains(tag))
        .map(|(_, entry)| entry)
        .collect();
    mark_undone(tx, site.run.id, &marks)?;
    record_tag_changes(tx, site.run.id, &written.altered())?;
    images.retain(|(tag, _)| !written.refused.contains(tag));
    carry_images(tx, &images)?;
    let not_written = |tag: &TagId| (*tag, NOT_WRITTEN.to_owned());
    refused.extend(written.refused.iter().map(not_written));
    outcome.undone += marks.len() as u64;
    outcome.exceptions.append(exceptions);
    for (tag, why) in refused {
        let name = rows.get(&tag).map_or("", |row| &row.name);
        outcome.refuse(format!("tag {tag} {name}").trim_end().to_owned(), &why);
    }
    Ok(held)
}

impl Action for Share<'_, '_> {
    type Row = Entry;
    type Error = ApplyError;

    fn repository(row: &Entry) -> RepositoryId {
        row.1.repository
    }

    fn prepare(&mut self, repositories: &[RepositoryId]) -> Result<(), ApplyError> {
        self.waiting.clear();
        let schema = self.site.schema;
        read_ahead(self.session, &mut self.memory, repositories, schema)
    }

    fn go_on(&mut self) -> Result<(), ApplyError> {
        go_on((self.reached)(self.outcome.undone + self.outcome.refused))
    }

    fn change(
        &mut self,
        repository: RepositoryId,
        rows: &[Entry],
        _last: bool,
    ) -> Result<Changed<Entry>, ApplyError> {
        self.batch(repository, rows)
    }

    fn leave(&mut self, (_, change): &Entry) -> Result<(), ApplyError> {
        let why = "another row of its name has the expiry that it had";
        self.outcome.refuse(format!("tag {}", change.tag), why);
        Ok(())
    }

    fn was_wanted(&mut self) {
        if self.site.part == Part::Lead {
            self.crew.somebody_waits();
        }
    }

    fn size(&mut self) -> &mut BatchSize {
        &mut self.size
    }

    fn throttle(&mut self) -> (&mut Throttle, &mut WriteSession) {
        (&mut self.throttle, self.session)
    }
}

const NOT_HELD: Held = Held {
    evident: false,
    covered: false,
};

const CLOCKS_APART: &str = "whether its expiry has passed depends on the clock: this host's and the server's are far apart";

const NOT_WRITTEN: &str = "a trigger of the database swallowed or altered the change";

//! What a run changed, taken back row by row, where a row is still as the run left it.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use backon::BlockingRetryable as _;

use super::batch::held;
use super::carry::wait_for;
use super::guard::Guard;
use super::pace::{Pace, Took};
use super::restore::restore;
use super::run::{
    ATTEMPTS, NAMED, again, again_each_time, go_on, named, open_for_hand, read_ahead,
    too_much_at_once,
};
use super::undo::{TakenBack, Undone};
use super::{ApplyError, ApplyOptions, PastExpiry};
use crate::actions::{Held, taken_back};
use crate::config::ConnectionSettings;
use crate::crew::{Crew, Failed, together};
use crate::evaluate::TagRow;
use crate::ground::{Memory, Protection};
use crate::journal::{
    FixRun, FixTotals, Part, PartOf, Phase, TagChange, backend, carry_images, changed_policies,
    changed_tags, is_worth_parting, liveness_held, mark_undone, record_tag_changes,
};
use crate::pg::WriteSession;
use crate::quay::{RepositoryId, TagId};
use crate::relations::{PolicySchema, RowLock, last_changes, tags_by_id};
use crate::report::Exceptions;
use crate::retry::{attempts, back_off};

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
    let mut before = Share::new(session, site);
    before.outcome.conducted(conducted);
    // A tag that was released because its policy was not there is judged by nobody meanwhile.
    before.policies()?;
    let mut outcome = before.outcome;
    let crew = shared_out(session, &site)?;
    let hands = crew.hands();
    let lead = backend(session)?;
    let hand = || -> Result<Undone, ApplyError> {
        let Some(mut session) = open_for_hand(settings, site.run.id, &crew) else {
            return Ok(Undone::nothing(site.run.id));
        };
        let part = Part::HandOf(lead);
        let mut share = Share::new(&mut session, UndoSite { part, ..site });
        let mut told = 0;
        while let Some(part) = crew.last() {
            share.tags(part, &mut |done| {
                crew.add(done - told);
                told = done;
                if crew.is_ended() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        }
        Ok(share.outcome)
    };
    let already = outcome.undone + outcome.refused;
    let (led, by_hands) = together(&crew, hands, hand, |at_work| {
        let mut share = Share::new(session, site);
        while let Some(part) = crew.first() {
            share.tags(part, &mut |done| {
                if crew.is_ended() {
                    return ControlFlow::Break(());
                }
                reached(already + done + crew.by_hands())
            })?;
        }
        let done = already + share.outcome.undone + share.outcome.refused;
        wait_for(at_work, &mut || reached(done + crew.by_hands()))?;
        Ok(share.outcome)
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
struct Share<'a> {
    session: &'a mut WriteSession,
    site: UndoSite<'a>,
    pace: Pace,
    memory: Memory,
    outcome: Undone,
}

/// A change to take back, with its journal entry.
type Entry = (i64, TagChange);

/// What became of an attempt at a batch.
enum Tried {
    /// Somebody else holds these rows of it; nothing of it was done.
    Held(HashSet<TagId>),
    /// It was taken back, after so long until its locks were held and its policies known.
    Done { entering: Duration },
}

impl<'a> Share<'a> {
    fn new(session: &'a mut WriteSession, site: UndoSite<'a>) -> Self {
        Self {
            session,
            site,
            pace: Pace::new(site.options.batch_time),
            memory: Memory::default(),
            outcome: Undone::nothing(site.run.id),
        }
    }

    /// Takes a part of the tags back, newest change first, a repository's rows of a page together.
    fn tags(&mut self, part: PartOf, reached: &mut Reached<'_>) -> Result<(), ApplyError> {
        let (mut cursor, mut limit) = (None, PAGE);
        loop {
            let read = changed_tags(self.session, self.site.run.id, part, cursor, limit);
            let mut page = match read.map_err(ApplyError::from) {
                Err(error) if too_much_at_once(&error) && limit > 1 => {
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
            for chunk in page.chunk_by(|a, b| a.1.repository == b.1.repository) {
                if let Some((_, change)) = chunk.first() {
                    self.repository(change.repository, chunk, reached)?;
                }
            }
        }
    }

    fn policies(&mut self) -> Result<(), ApplyError> {
        for (entry, change) in changed_policies(self.session, self.site.run.id)? {
            let (schema, run) = (self.site.schema, self.site.run);
            let once = || restore(self.session, schema, run, entry, &change);
            match once
                .retry(attempts(ATTEMPTS))
                .when(again_each_time())
                .call()?
            {
                Ok(()) => self.outcome.undone += 1,
                Err(why) => {
                    let what = format!("{} {}", change.table.name(), change.id);
                    self.outcome.refuse(what, why);
                }
            }
        }
        Ok(())
    }

    fn repository(
        &mut self,
        id: RepositoryId,
        entries: &[Entry],
        reached: &mut Reached<'_>,
    ) -> Result<(), ApplyError> {
        read_ahead(self.session, &mut self.memory, id, self.site.schema)?;
        let (mut next, mut attempts) = (0, 0);
        while next < entries.len() {
            let batch = &entries[next..entries.len().min(next + self.pace.rows())];
            let begun = Instant::now();
            match self.batch(id, batch) {
                Ok(Tried::Held(_)) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::sleep(back_off(attempts));
                }
                Ok(Tried::Held(held)) => {
                    self.refuse_held(batch, &held)?;
                    let free = batch.iter().filter(|(_, of)| !held.contains(&of.tag));
                    let free: Vec<Entry> = free.copied().collect();
                    next += batch.len();
                    attempts = 0;
                    self.repository(id, &free, reached)?;
                }
                Ok(Tried::Done { entering }) => {
                    let whole = begun.elapsed();
                    self.pace.learn(batch.len(), Took { entering, whole });
                    next += batch.len();
                    attempts = 0;
                    go_on(reached(self.outcome.undone + self.outcome.refused))?;
                }
                Err(error) if too_much_at_once(&error) && batch.len() > 1 => self.pace.halve(),
                Err(error) if error.is_duplicate_key() => {
                    let what = format!("tag {}", batch[0].1.tag);
                    self.outcome
                        .refuse(what, "another row of its name has the expiry that it had");
                    next += 1;
                }
                Err(error) if again(&error, attempts) => {
                    attempts += 1;
                    std::thread::sleep(back_off(attempts));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes a batch back.
    fn batch(&mut self, repository: RepositoryId, entries: &[Entry]) -> Result<Tried, ApplyError> {
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
            repository,
            protection,
            self.site.schema,
            self.site.run,
            self.site.options,
            &mut self.memory,
        )?;
        let entering = begun.elapsed();
        let ids: Vec<TagId> = entries.iter().map(|(_, change)| change.tag).collect();
        let locked = tags_by_id(&mut tx, &ids, RowLock::SkipLocked)?;
        let held = held(&mut tx, &ids, &locked)?;
        if !held.is_empty() {
            return Ok(Tried::Held(held));
        }
        let accounts = guard.accounts(&mut tx, &locked, &mut self.memory)?;
        let rows: HashMap<TagId, TagRow> = locked.into_iter().map(|row| (row.id, row)).collect();
        let last = last_changes(&mut tx, &ids)?;
        let (mut changes, mut marks, mut refused) = (vec![], vec![], vec![]);
        let mut images: Vec<(TagId, i64)> = Vec::new();
        let mut exceptions = Exceptions::default();
        for (entry, change) in entries {
            let row = rows.get(&change.tag);
            let last = last.get(&change.tag);
            let held = row.map_or(NOT_HELD, |row| Held {
                evident: guard.is_evident(row, &accounts),
                covered: guard.is_covered(row),
            });
            let restore_past = self.site.options.past_expiry == PastExpiry::Restore;
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
            match taken_back((self.site.run.id, change), row, last, held, how) {
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
        let written = guard.write_rows(&mut tx, &rows, &changes)?;
        let marks: Vec<i64> = marks
            .into_iter()
            .filter(|(tag, _)| !written.refused.contains(tag))
            .map(|(_, entry)| entry)
            .collect();
        mark_undone(&mut tx, self.site.run.id, &marks)?;
        record_tag_changes(&mut tx, self.site.run.id, &written.altered())?;
        images.retain(|(tag, _)| !written.refused.contains(tag));
        carry_images(&mut tx, &images)?;
        let not_written = |tag: &TagId| (*tag, NOT_WRITTEN.to_owned());
        refused.extend(written.refused.iter().map(not_written));
        if !liveness_held(&mut tx, self.site.run.id, self.site.part)? {
            return Err(ApplyError::LivenessLost(self.site.run.id));
        }
        self.site
            .run
            .advance(&mut tx, Phase::Undoing, &FixTotals::default())?;
        tx.commit()?;
        self.outcome.undone += marks.len() as u64;
        self.outcome.exceptions.append(exceptions);
        self.outcome.batches += 1;
        for (tag, why) in refused {
            let name = rows.get(&tag).map_or("", |row| &row.name);
            self.outcome
                .refuse(format!("tag {tag} {name}").trim_end().to_owned(), &why);
        }
        Ok(Tried::Done { entering })
    }

    /// Refuses the entries whose rows somebody does not let go of.
    fn refuse_held(&mut self, batch: &[Entry], held: &HashSet<TagId>) -> Result<(), ApplyError> {
        let mut tags: Vec<TagId> = held.iter().copied().collect();
        tags.sort_unstable();
        for named in named(self.session, &tags)? {
            self.outcome.refuse(named, "it can be taken back later");
        }
        let of_held = |(_, of): &&Entry| held.contains(&of.tag);
        let entries = batch.iter().filter(of_held).count();
        for _ in tags.len().min(NAMED)..entries {
            self.outcome
                .refuse("another of them".to_owned(), "somebody else holds it");
        }
        Ok(())
    }
}

const NOT_HELD: Held = Held {
    evident: false,
    covered: false,
};

const CLOCKS_APART: &str = "whether its expiry has passed depends on the clock: this host's and the server's are far apart";

const NOT_WRITTEN: &str = "a trigger of the database swallowed or altered the change";

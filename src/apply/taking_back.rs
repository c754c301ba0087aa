//! What a run changed, taken back row by row, where a row is still as the run left it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::batch::held;
use super::carry::wait_for;
use super::guard::Guard;
use super::pace::{Pace, Took};
use super::restore::restore;
use super::run::{ATTEMPTS, again, back_off, go_on, open_for_hand, read_ahead, too_much_at_once};
use super::undo::{TakenBack, Undone};
use super::{ApplyError, ApplyOptions, PastExpiry};
use crate::config::ConnectionSettings;
use crate::crew::{Crew, Failed, together};
use crate::evaluate::{Account, Found, TagRow};
use crate::ground::{Memory, Protection};
use crate::journal::{
    FixRun, FixTotals, Part, PartOf, Phase, TagChange, TagImage, backend, changed_policies,
    changed_tags, is_worth_parting, liveness_held, mark_undone,
};
use crate::pg::WriteSession;
use crate::quay::{Expiry, RepositoryId, TagId, UnixMillis};
use crate::relations::{PolicySchema, RowLock, tags_by_id};

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
    let hands = crew.hands(site.options.jobs);
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
    let all = i32::try_from(site.options.jobs).unwrap_or(1);
    let crew = Crew::new((0..all).map(|nth| PartOf { nth, all }));
    if all > 1 && is_worth_parting(session, site.run.id, crew.enough())? {
        crew.dealt(crew.enough());
        return Ok(crew);
    }
    Ok(Crew::new([PartOf::WHOLE]))
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
    /// A row of it is in somebody else's hands; nothing of it was done.
    Held,
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
        let mut cursor = None;
        loop {
            let mut page = changed_tags(self.session, self.site.run.id, part, cursor, PAGE)?;
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
            let mut attempts = 0;
            let restored = loop {
                match restore(
                    self.session,
                    self.site.schema,
                    self.site.run,
                    entry,
                    &change,
                ) {
                    Err(error) if again(&error, attempts) => {
                        attempts += 1;
                        std::thread::sleep(back_off(attempts));
                    }
                    ended => break ended?,
                }
            };
            match restored {
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
                Ok(Tried::Held) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::sleep(back_off(attempts));
                }
                Ok(tried) => {
                    match tried {
                        Tried::Held => self.refuse_held(batch),
                        Tried::Done { entering } => {
                            let whole = begun.elapsed();
                            self.pace.learn(batch.len(), Took { entering, whole });
                        }
                    }
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
        if !held(&mut tx, &ids, &locked)?.is_empty() {
            return Ok(Tried::Held);
        }
        let accounts = guard.accounts(&mut tx, &locked, &mut self.memory)?;
        let rows: HashMap<TagId, TagRow> = locked.into_iter().map(|row| (row.id, row)).collect();
        let (mut changes, mut marks, mut refused, mut past) = (vec![], vec![], vec![], 0);
        for (entry, change) in entries {
            match inverse(
                self.site.options.past_expiry,
                change,
                rows.get(&change.tag),
                &accounts,
                guard.moment.millis(),
            ) {
                Ok((inverse, passed)) => {
                    changes.push(inverse);
                    marks.push(*entry);
                    past += u64::from(passed);
                }
                Err(why) => refused.push((change.tag, why)),
            }
        }
        guard.write_rows(&mut tx, &rows, &changes)?;
        mark_undone(&mut tx, self.site.run.id, &marks)?;
        if !liveness_held(&mut tx, self.site.run.id, self.site.part)? {
            return Err(ApplyError::LivenessLost(self.site.run.id));
        }
        self.site
            .run
            .advance(&mut tx, Phase::Undoing, &FixTotals::default())?;
        tx.commit()?;
        self.outcome.undone += changes.len() as u64;
        self.outcome.past_expiries += past;
        self.outcome.batches += 1;
        for (tag, why) in refused {
            let name = rows.get(&tag).map_or("", |row| &row.name);
            self.outcome
                .refuse(format!("tag {tag} {name}").trim_end().to_owned(), why);
        }
        Ok(Tried::Done { entering })
    }

    fn refuse_held(&mut self, batch: &[Entry]) {
        for (_, change) in batch {
            self.outcome
                .refuse(format!("tag {}", change.tag), "another session holds it");
        }
    }
}

/// The change that takes a change back, and whether a past expiry was left out of it; or why
/// it cannot be.
fn inverse(
    past_expiry: PastExpiry,
    change: &TagChange,
    row: Option<&TagRow>,
    accounts: &HashMap<TagId, Account>,
    now: UnixMillis,
) -> Result<(TagChange, bool), &'static str> {
    let row = row.ok_or("the row is gone")?;
    let is = TagImage {
        immutability: row.immutability,
        expiry: row.expiry,
    };
    if is != change.after {
        return Err("it has been changed since");
    }
    let becomes_mutable = !change.before.immutability.as_column();
    let justified = accounts.get(&row.id).into_iter().flatten().any(|found| {
        matches!(
            found,
            Found::Label | Found::SetByUser(_) | Found::Kept { .. }
        )
    });
    if is.immutability.as_column() && becomes_mutable && justified {
        return Err("a label, a user or a declaration makes it immutable");
    }
    let passed = change.before.expiry != is.expiry
        && change.before.expiry.0.is_some_and(|end| end <= now)
        && past_expiry == PastExpiry::LeaveOut;
    let expiry = if passed {
        Expiry(None)
    } else {
        change.before.expiry
    };
    let after = TagImage {
        immutability: change.before.immutability,
        expiry,
    };
    Ok((
        TagChange {
            before: is,
            after,
            ..*change
        },
        passed,
    ))
}

//! A run taken back: newest change first, row by row where the row is still as the run left it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::batch::held;
use super::error::Rest;
use super::guard::Guard;
use super::pace::{Pace, Took};
use super::restore::restore;
use super::run::{back_off, end, go_on, open, passes, read_ahead, too_much_at_once};
use super::{ApplyError, ApplyOptions, PastExpiry};
use crate::config::ConnectionSettings;
use crate::evaluate::{Account, Found, TagRow};
use crate::ground::{Memory, Protection};
use crate::journal::{
    FixRun, FixTotals, JournalError, LINGERING, Phase, TagChange, TagImage, changed_policies,
    changed_tags, fix_run, hold_liveness_within, liveness_held, mark_undone, run_state,
    withdraw_kept,
};
use crate::pg::WriteSession;
use crate::quay::{Expiry, RepositoryId, RunId, TagId, UnixMillis};
use crate::relations::{PolicySchema, RowLock, tags_by_id};

/// Rows of the journal that are read at once.
const PAGE: u32 = 5_000;
/// Attempts at a batch that others are in the way of.
const ATTEMPTS: u32 = 6;
/// Refusals that are kept to be listed; all of them are counted.
const LISTED: usize = 100;

/// A row that was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row, for people.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What an undo did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The run.
    pub run: RunId,
    /// Rows taken back.
    pub undone: u64,
    /// Rows that were not.
    pub refused: u64,
    /// The first of them.
    pub refusals: Vec<Refusal>,
    /// Tags whose expiry has passed and was left out.
    pub past_expiries: u64,
    /// Write transactions.
    pub batches: u64,
}

/// What became of a run's operations, which are not taken back here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// Operations taken back.
    pub undone: u64,
    /// Operations that were not.
    pub refusals: Vec<Refusal>,
    /// Tags whose expiry has passed and was left out.
    pub past_expiries: u64,
}

/// Takes a run back: its operations by `conduct`, which came last, then the rest. `reached` is told how many rows have been dealt with.
///
/// # Errors
/// [`ApplyError`]; an undo that was cut short is begun again by the same command.
pub fn undo(
    settings: &ConnectionSettings,
    id: RunId,
    options: &ApplyOptions,
    conduct: &mut dyn FnMut(RunId) -> TakenBack,
    reached: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Undone, ApplyError> {
    let (mut session, schema) = open(settings)?;
    let run = take_over(&mut session, id, options)?;
    let mut work = Work {
        session: &mut session,
        run: &run,
        options,
        schema: PolicySchema::from(&schema),
        pace: Pace::new(options.batch_time),
        memory: Memory::default(),
        outcome: Undone {
            run: id,
            undone: 0,
            refused: 0,
            refusals: Vec::new(),
            past_expiries: 0,
            batches: 0,
        },
        reached,
    };
    work.conducted(conduct(id));
    let result = work.all();
    let outcome = work.outcome;
    result.map_err(|source| ApplyError::CutShort {
        run: id,
        rest: Rest::Unfinished(id),
        source: Box::new(source),
    })?;
    let phase = if outcome.refused == 0 {
        Phase::RolledBack
    } else {
        Phase::Done
    };
    end(&mut session, &run, phase)?;
    Ok(outcome)
}

/// Ends a run that was cut off as it is: what it did stays.
///
/// # Errors
/// [`ApplyError`], also where its worker lives.
pub fn leave_as_is(
    settings: &ConnectionSettings,
    id: RunId,
    options: &ApplyOptions,
) -> Result<(), ApplyError> {
    let (mut session, _) = open(settings)?;
    let state = run_state(&mut session, id)?;
    if !hold_liveness_within(&mut session, id, patience(state.phase))? {
        return Err(JournalError::Live {
            id,
            worker: state.worker,
        }
        .into());
    }
    let mut tx = session.begin()?;
    let run = fix_run(&mut tx, id, &options.who.worker)?;
    run.end(&mut tx, Phase::Done)?;
    tx.commit()?;
    Ok(())
}

/// A run that has ended may still hold its lock for a moment; one that has not is at work.
fn patience(phase: Phase) -> Duration {
    match phase {
        Phase::Done | Phase::RolledBack => LINGERING,
        _ => Duration::ZERO,
    }
}

fn take_over(
    session: &mut WriteSession,
    id: RunId,
    options: &ApplyOptions,
) -> Result<FixRun, ApplyError> {
    let state = run_state(session, id)?;
    if !hold_liveness_within(session, id, patience(state.phase))? {
        return Err(JournalError::Live {
            id,
            worker: state.worker,
        }
        .into());
    }
    let mut tx = session.begin()?;
    let run = fix_run(&mut tx, id, &options.who.worker)?;
    withdraw_kept(&mut tx, id)?;
    tx.commit()?;
    Ok(run)
}

struct Work<'a> {
    session: &'a mut WriteSession,
    run: &'a FixRun,
    options: &'a ApplyOptions,
    schema: PolicySchema,
    pace: Pace,
    memory: Memory,
    outcome: Undone,
    reached: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
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

impl Work<'_> {
    fn all(&mut self) -> Result<(), ApplyError> {
        // Policies came last, and go first: a tag that was released because its policy was not
        // there is judged by nobody meanwhile.
        self.policies()?;
        let mut cursor = None;
        loop {
            let mut page = changed_tags(self.session, self.run.id, cursor, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            cursor = Some(*last);
            page.sort_by_key(|(entry, change)| (change.repository, -*entry));
            for chunk in page.chunk_by(|a, b| a.1.repository == b.1.repository) {
                if let Some((_, change)) = chunk.first() {
                    self.repository(change.repository, chunk)?;
                }
            }
        }
    }

    fn conducted(&mut self, taken: TakenBack) {
        self.outcome.undone += taken.undone;
        self.outcome.past_expiries += taken.past_expiries;
        for refusal in taken.refusals {
            self.refuse(refusal.what, &refusal.why);
        }
    }

    fn policies(&mut self) -> Result<(), ApplyError> {
        for (entry, change) in changed_policies(self.session, self.run.id)? {
            let mut attempts = 0;
            let restored = loop {
                match restore(self.session, self.schema, self.run, entry, &change) {
                    Err(error) if passes(&error) && attempts < ATTEMPTS => {
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
                    self.refuse(what, why);
                }
            }
        }
        Ok(())
    }

    fn repository(&mut self, id: RepositoryId, entries: &[Entry]) -> Result<(), ApplyError> {
        read_ahead(self.session, &mut self.memory, id, self.schema)?;
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
                    go_on((self.reached)(self.outcome.undone + self.outcome.refused))?;
                }
                Err(error) if too_much_at_once(&error) && batch.len() > 1 => self.pace.halve(),
                Err(error) if error.is_duplicate_key() => {
                    let what = format!("tag {}", batch[0].1.tag);
                    self.refuse(what, "another row of its name has the expiry that it had");
                    next += 1;
                }
                Err(error) if passes(&error) && attempts < ATTEMPTS => {
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
            self.schema,
            self.run,
            self.options,
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
                self.options.past_expiry,
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
        mark_undone(&mut tx, self.run.id, &marks)?;
        if !liveness_held(&mut tx, self.run.id)? {
            return Err(ApplyError::LivenessLost(self.run.id));
        }
        self.run
            .advance(&mut tx, Phase::Undoing, &FixTotals::default())?;
        tx.commit()?;
        self.outcome.undone += changes.len() as u64;
        self.outcome.past_expiries += past;
        self.outcome.batches += 1;
        for (tag, why) in refused {
            let name = rows.get(&tag).map_or("", |row| &row.name);
            self.refuse(format!("tag {tag} {name}").trim_end().to_owned(), why);
        }
        Ok(Tried::Done { entering })
    }

    fn refuse_held(&mut self, batch: &[Entry]) {
        for (_, change) in batch {
            self.refuse(format!("tag {}", change.tag), "another session holds it");
        }
    }

    fn refuse(&mut self, what: String, why: &str) {
        self.outcome.refused += 1;
        if self.outcome.refusals.len() < LISTED {
            self.outcome.refusals.push(Refusal {
                what,
                why: why.to_owned(),
            });
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

//! The worker: drives an operation from phase to phase, over faults, to an end.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::begin::stated;
use super::cancelled::{CANCELLED, Cancelled};
use super::mark::Way;
use super::not_written::NotWritten;
use super::outcome::{Ended, Outcome};
use super::reconnect::Stuck;
use super::target::{Target, ready};
use super::walk::{ATTEMPTS, PAGE, Rounds};
use super::{OnFault, PolicyError, PolicyOptions};
use crate::batch::{BatchError as _, BatchSize, Throttle, ThrottleError, Yielding};
use crate::config::{AnswerLimit, ConnectionSettings};
use crate::crew::{Crew, Jobs};
use crate::evaluate::PolicyBook;
use crate::ground::Memory;
use crate::journal::{
    Cursor, JournalError, Part, Phase, PolicyOperation, SchemaState, Step, Sums, TagsChoice,
    add_to, advance, heartbeat, liveness_held,
};
use crate::pg::{FaultClass, Purpose, WriteSession, WriteTransaction};
use crate::quay::{RepositoryId, TagId};
use crate::relations::{PolicySchema, RowLock, add_left_out, registry_of, tags_by_id};
use crate::report::{Exceptions, NamedTags};
use crate::retry::back_off;

/// How often a worker says that it lives.
const BEAT: Duration = Duration::from_secs(5);

/// Whoever watches an operation.
pub trait Watcher {
    /// So many tags are to be changed, as an estimate.
    fn expected(&mut self, tags: u64);
    /// So many tags are changed by now, in this phase.
    fn reached(&mut self, phase: Phase, changed: u64);
    /// Whether somebody wants it to end after the current batch.
    fn interrupted(&self) -> bool;
}

/// A worker on one operation.
pub(super) struct Worker<'a> {
    pub(super) session: WriteSession,
    pub(super) schema: PolicySchema,
    pub(super) operation: PolicyOperation,
    pub(super) target: Target,
    pub(super) options: &'a PolicyOptions,
    pub(super) watcher: &'a mut dyn Watcher,
    /// Tags that could not be changed as asked.
    pub(super) exceptions: Exceptions,
    /// Those of the present walk that a trigger kept from being written.
    pub(super) not_written: NamedTags,
    /// How long it comes back for rows that others hold.
    pub(super) rounds: Rounds,
    /// When it last said that it lives.
    beaten: Instant,
    pub(super) throttle: Throttle,
    pub(super) yielding: Yielding,
    /// What batches that take protection away are judged by, as far as it does not change between them.
    pub(super) memory: Memory,
    pub(super) way: Way,
    /// Whether its session is the lead's.
    pub(super) part: Part,
    /// Who else works on the walk.
    pub(super) crew: Arc<Crew<RepositoryId>>,
    /// Whether another worker has changed tags before it.
    is_second: bool,
    /// Whether it was here before: rows that it meets may be its own, and taken off since.
    pub(super) again: bool,
    /// How many sessions it may have.
    pub(super) jobs: Jobs,
    /// How many rows the next batch takes, and how many the last one was to take.
    pub(super) size: BatchSize,
    pub(super) tried: usize,
    /// How many rows are read at once.
    pub(super) page: u32,
    /// Where it has lost its connection, and since when nothing has been committed.
    pub(super) stuck: Option<Stuck>,
    /// Why it turns back, where it does.
    cause: Option<Box<PolicyError>>,
    /// Whether it turns back because somebody wanted it to end.
    ending_by_roll_back: bool,
    pub(super) cancelled: Cancelled,
    pub(super) settings: &'a ConnectionSettings,
    begun: Instant,
}

/// Opens a session for an operation, with its limits; what the policy tables have.
pub(super) fn open(
    settings: &ConnectionSettings,
) -> Result<(WriteSession, PolicySchema), PolicyError> {
    let settings = settings.with_answer_limit(AnswerLimit::OF_BATCHES);
    let mut session = WriteSession::open_for(&settings, Purpose::Batches)?;
    let schema = SchemaState::read(&mut session)?;
    ready(&schema)?;
    Ok((session, PolicySchema::from(&schema)))
}

impl<'a> Worker<'a> {
    /// A worker that holds the operation's liveness lock already.
    pub(super) fn new(
        settings: &'a ConnectionSettings,
        (session, schema): (WriteSession, PolicySchema),
        operation: PolicyOperation,
        target: Target,
        options: &'a PolicyOptions,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        let size = BatchSize::new(options.batch_time);
        let is_second = operation.sums.changed > 0;
        let mut worker = Self {
            throttle: Throttle::new(options.limits, operation.id),
            session,
            schema,
            operation,
            target,
            options,
            watcher,
            exceptions: Exceptions::default(),
            not_written: NamedTags::default(),
            rounds: Rounds::Few,
            beaten: Instant::now(),
            yielding: Yielding::default(),
            memory: Memory::default(),
            way: Way::AtOnce,
            part: Part::Lead,
            crew: Arc::new(Crew::new([], options.jobs)),
            is_second,
            again: false,
            jobs: options.jobs,
            size,
            tried: size.rows(),
            page: PAGE,
            stuck: None,
            cause: None,
            ending_by_roll_back: false,
            cancelled: Cancelled::default(),
            settings,
            begun: Instant::now(),
        };
        worker.restate();
        worker
    }

    /// What the operation was not told when it began may be told to whoever goes on with it.
    pub(super) fn restate(&mut self) {
        let (now, then) = (stated(self.options), &mut self.operation.options);
        then.can_expire = then.can_expire.or(now.can_expire);
        then.quay_knows_active = then.quay_knows_active.or(now.quay_knows_active);
    }

    /// Drives the operation to its end.
    ///
    /// # Errors
    /// [`PolicyError`]; it says whether the operation was rolled back or is left.
    pub(super) fn drive(mut self) -> Result<Outcome, PolicyError> {
        loop {
            let error = match self.one_phase() {
                Ok(None) => continue,
                Ok(Some(ended)) => return self.ended(ended),
                Err(error) => error,
            };
            self.after(error)?;
        }
    }

    fn ended(self, ended: Ended) -> Result<Outcome, PolicyError> {
        if let (Ended::RolledBack, Some(cause)) = (ended, self.cause) {
            return Err(PolicyError::RolledBack {
                operation: self.operation.id,
                exceptions: Box::new(self.exceptions),
                cause: Some(cause),
            });
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut outcome = Outcome::of(&self.operation, ended, seconds);
        outcome.exceptions = self.exceptions;
        Ok(outcome)
    }

    /// Carries the operation's present phase out; how it ended, where that was the last.
    fn one_phase(&mut self) -> Result<Option<Ended>, PolicyError> {
        match self.operation.phase {
            Phase::Applying => {
                self.apply()?;
                // The last batch may have been under way when somebody wanted it to end.
                if self.wants_end() {
                    return Err(PolicyError::Interrupted);
                }
                self.activate().map(|()| None)
            }
            Phase::Sweeping => self.sweep().map(|()| None),
            Phase::Releasing => self.release().map(|()| None),
            Phase::Undoing => self.undo().map(|()| None),
            Phase::Done => self.told(Ended::Done),
            Phase::RolledBack => self.told(Ended::RolledBack),
        }
    }

    /// An end, once it is told what others left out before this worker: one that was killed told nobody.
    fn told(&mut self, ended: Ended) -> Result<Option<Ended>, PolicyError> {
        let releases = self.operation.options.tags == Some(TagsChoice::Release);
        if (self.is_second || self.again) && (releases || ended == Ended::RolledBack) {
            add_left_out(&mut self.session, self.operation.id, &mut self.exceptions)?;
        }
        Ok(Some(ended))
    }

    /// What follows from an error: going on, turning back, or leaving the rest.
    fn after(&mut self, error: PolicyError) -> Result<(), PolicyError> {
        tracing::warn!(operation = %self.operation.id, %error, "the operation was disturbed");
        let before_activation = self.operation.phase == Phase::Applying;
        match error {
            // Deleted by somebody else: our changes go, also after activation.
            gone @ PolicyError::Gone(_) => self.turn_back(gone),
            // Somebody else's decision, or somebody else's turn.
            error @ (PolicyError::Changed { .. }
            | PolicyError::NotSettled { .. }
            | PolicyError::NeverBegun(_)
            | PolicyError::PushedMeanwhile { .. }
            | PolicyError::Journal(JournalError::Fenced(_))) => Err(error),
            // Writes that are frozen in the middle are waited for like a failover.
            error if error.is_connection() || standby(&error) => match self.options.on_fault {
                OnFault::Stop => Err(self.left(error)),
                OnFault::Resume => self.reconnect(error),
                OnFault::RollBack => {
                    self.reconnect(error)?;
                    if self.operation.phase == Phase::Applying {
                        self.turn_back(PolicyError::Interrupted)
                    } else {
                        Ok(())
                    }
                }
            },
            error @ (PolicyError::Interrupted
            | PolicyError::Throttle(ThrottleError::Busy { .. }))
                if self.options.on_fault != OnFault::RollBack =>
            {
                Err(self.left(error))
            }
            error if error.is_cancelled() => self.after_cancellation(error),
            // Somebody else's lock: what was done so far is not taken back for it.
            error if error.passes() && self.options.on_fault != OnFault::RollBack => {
                Err(self.left(error))
            }
            error if before_activation && self.options.on_fault != OnFault::Stop => {
                self.turn_back(error)
            }
            error => Err(self.left(error)),
        }
    }

    pub(super) fn left(&self, cause: PolicyError) -> PolicyError {
        PolicyError::LeftForRecover {
            operation: self.operation.id,
            cause: Box::new(cause),
        }
    }

    fn turn_back(&mut self, cause: PolicyError) -> Result<(), PolicyError> {
        let error = cause.to_string();
        self.ending_by_roll_back =
            self.options.on_fault == OnFault::RollBack && self.watcher.interrupted();
        self.cause = Some(Box::new(cause));
        let mut cancelled = 0;
        loop {
            match self.begin_undo(&error) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_connection() => return self.reconnect(error),
                Err(error) if error.is_cancelled() && cancelled < CANCELLED => cancelled += 1,
                Err(error) => return Err(self.left(error)),
            }
        }
    }

    /// Ends a transaction of the operation: liveness, compare-and-set, commit; and remembers where
    /// the operation is now.
    pub(super) fn finish(
        part: Part,
        operation: &mut PolicyOperation,
        mut tx: WriteTransaction<'_>,
        step: Step,
    ) -> Result<(), PolicyError> {
        if !liveness_held(&mut tx, operation.id, part)? {
            return Err(PolicyError::LivenessLost(operation.id));
        }
        match part {
            Part::Lead => advance(&mut tx, operation, &step)?,
            Part::HandOf(_) => add_to(&mut tx, operation, &step.sums)?,
        }
        tx.commit()?;
        operation.phase = step.phase;
        operation.cursor = step.cursor;
        add(&mut operation.sums, &step.sums);
        Ok(())
    }

    /// Ends a batch that began so long ago; `end` says where the walk is then, if that is elsewhere.
    pub(super) fn finish_batch(
        part: Part,
        operation: &mut PolicyOperation,
        tx: WriteTransaction<'_>,
        begun: Instant,
        end: Option<Cursor>,
        sums: Sums,
    ) -> Result<(), PolicyError> {
        let step = Step {
            phase: operation.phase,
            cursor: end.or_else(|| operation.cursor.clone()),
            sums: Sums {
                batches: 1,
                longest_batch_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                ..sums
            },
            error: None,
        };
        Self::finish(part, operation, tx, step)
    }

    /// Reads ahead, in a transaction that holds nothing, what batches in these repositories are judged by.
    pub(super) fn read_ahead(&mut self, repositories: &[RepositoryId]) -> Result<(), PolicyError> {
        let mut tx = self.session.begin()?;
        self.memory.read_ahead(&mut tx, repositories, self.schema)?;
        tx.commit()?;
        Ok(())
    }

    /// Leaves a tag as it is, and names it: its new expiration is one that another row of its name has.
    pub(super) fn leave(
        &mut self,
        repository: RepositoryId,
        tag: TagId,
    ) -> Result<(), PolicyError> {
        let begun = Instant::now();
        let mut tx = self.session.begin()?;
        let registry = registry_of(&mut tx, &[repository])?;
        let rows = tags_by_id(&mut tx, &[tag], RowLock::None)?;
        let sums = Sums {
            skipped: rows.len() as u64,
            ..Sums::default()
        };
        Self::finish_batch(self.part, &mut self.operation, tx, begun, None, sums)?;
        for row in rows {
            self.exceptions.duplicates.add(&registry, &row);
        }
        Ok(())
    }

    /// Tries a step between batches again where somebody is in its way, or it waited for longer than a
    /// statement may run.
    pub(super) fn patiently<T>(
        &mut self,
        mut step: impl FnMut(&mut Self) -> Result<T, PolicyError>,
    ) -> Result<T, PolicyError> {
        let mut attempts = 0;
        loop {
            match step(self) {
                Err(error)
                    if (error.passes() || error.is_too_much())
                        && attempts < ATTEMPTS
                        && !self.wants_end() =>
                {
                    attempts += 1;
                    sleep(back_off(attempts));
                    self.beat_if_due()?;
                }
                ended => return ended,
            }
        }
    }

    /// Reads a page; where that takes longer than a statement may run, a smaller one.
    pub(super) fn paged<T>(
        &mut self,
        mut read: impl FnMut(&mut Self, u32) -> Result<T, PolicyError>,
    ) -> Result<(T, u32), PolicyError> {
        loop {
            let limit = self.page;
            match read(self, limit) {
                Err(error) if error.is_too_much() && limit > 1 => self.page = limit / 2,
                read => return read.map(|page| (page, limit)),
            }
        }
    }

    /// Whether somebody wants it to end. A roll back that was asked for by that goes on to its end.
    pub(super) fn wants_end(&self) -> bool {
        !self.ending_by_roll_back && self.watcher.interrupted()
    }

    /// Whether the work goes on, asked with nothing locked; says that the worker lives.
    pub(super) fn go_on(&mut self) -> Result<(), PolicyError> {
        if self.wants_end() {
            return Err(PolicyError::Interrupted);
        }
        self.beat_if_due()
    }

    /// Remembers what a batch that has committed did not write as asked.
    pub(super) fn remember(&mut self, not_written: NotWritten) {
        self.not_written.append(not_written.again);
        self.exceptions.not_written.append(not_written.altered);
    }

    /// Ends a walk or a pass: what a trigger kept from being written in it is skipped, for nobody goes
    /// back for it. How many they are.
    pub(super) fn skip_not_written(&mut self) -> u64 {
        let skipped = std::mem::take(&mut self.not_written);
        let count = skipped.count();
        self.exceptions.not_written.append(skipped);
        count
    }

    /// Says that the worker lives, where that is due. Every loop of a phase calls it in every round, whether it works,
    /// reads or waits: batches say so themselves, and there may be none for long.
    pub(super) fn beat_if_due(&mut self) -> Result<(), PolicyError> {
        if self.beaten.elapsed() < BEAT {
            return Ok(());
        }
        let mut tx = self.session.begin()?;
        heartbeat(&mut tx, &self.operation)?;
        tx.commit()?;
        self.beaten = Instant::now();
        Ok(())
    }

    /// The operation's text as a policy of its scope, to decide tags by.
    pub(super) fn book(&self, text: &crate::quay::PolicyText) -> PolicyBook {
        PolicyBook::of_one(self.operation.scope, text.clone())
    }
}

/// A server that accepts no writes yet: the one that is about to be promoted.
pub(super) fn standby(error: &PolicyError) -> bool {
    error.fault() == Some(FaultClass::ReadOnly)
}

pub(super) fn add(sum: &mut Sums, more: &Sums) {
    sum.matched += more.matched;
    sum.changed += more.changed;
    sum.skipped += more.skipped;
    sum.expirations_cleared += more.expirations_cleared;
    sum.batches += more.batches;
    sum.longest_batch_ms = sum.longest_batch_ms.max(more.longest_batch_ms);
}

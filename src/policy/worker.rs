//! The worker: drives an operation from phase to phase, over faults, to an end.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::begin::stated;
use super::courtesy::Courtesy;
use super::mark::Way;
use super::outcome::{Ended, Outcome, PastExpiries};
use super::safeguard::{Safeguard, point};
use super::target::{Target, ready};
use super::{OnFault, PolicyError, PolicyOptions};
use crate::config::{AnswerLimit, ConnectionSettings};
use crate::crew::Crew;
use crate::evaluate::PolicyBook;
use crate::journal::{
    JournalError, Part, Phase, PolicyOperation, SchemaState, Step, Sums, add_to, advance,
    end_hands, heartbeat, hold_liveness, liveness_held, operation,
};
use crate::pg::{FaultClass, Purpose, WriteSession, WriteTransaction};
use crate::quay::RepositoryId;
use crate::relations::PolicySchema;

/// How often a statement is tried again that somebody cancelled.
pub(super) const CANCELLED: u32 = 2;

/// How often statements were cancelled since the last batch that committed.
#[derive(Default)]
struct Cancelled {
    /// The phase, and its batches so far.
    at: Option<(Phase, u64)>,
    times: u32,
}

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
    pub(super) past_expiries: PastExpiries,
    /// When the database's load was last looked at.
    pub(super) looked: Option<Instant>,
    pub(super) courtesy: Courtesy,
    pub(super) way: Way,
    /// Whether its session is the lead's.
    pub(super) part: Part,
    /// Who else works on the walk.
    pub(super) crew: Arc<Crew<RepositoryId>>,
    /// Whether it was here before: rows that it meets may be its own, and taken off since.
    pub(super) again: bool,
    /// How many sessions it may have.
    pub(super) jobs: usize,
    /// Why it turns back, where it does.
    cause: Option<Box<PolicyError>>,
    cancelled: Cancelled,
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
        let mut worker = Self {
            session,
            schema,
            operation,
            target,
            options,
            watcher,
            past_expiries: PastExpiries::default(),
            looked: None,
            courtesy: Courtesy::default(),
            way: Way::usual(),
            part: Part::Lead,
            crew: Arc::new(Crew::new([])),
            again: false,
            jobs: options.jobs,
            cause: None,
            cancelled: Cancelled::default(),
            settings,
            begun: Instant::now(),
        };
        worker.restate();
        worker
    }

    /// What the operation was not told when it began may be told to whoever goes on with it.
    fn restate(&mut self) {
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
                past_expiries: self.past_expiries,
                cause: Some(cause),
            });
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut outcome = Outcome::of(&self.operation, ended, seconds);
        outcome.past_expiries = self.past_expiries;
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
            Phase::Done => Ok(Some(Ended::Done)),
            Phase::RolledBack => Ok(Some(Ended::RolledBack)),
        }
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
            error @ (PolicyError::Interrupted | PolicyError::Busy { .. })
                if self.options.on_fault != OnFault::RollBack =>
            {
                Err(self.left(error))
            }
            error if error.is_cancelled() => self.after_cancellation(error),
            error if before_activation && self.options.on_fault != OnFault::Stop => {
                self.turn_back(error)
            }
            error => Err(self.left(error)),
        }
    }

    /// Somebody cancelled a statement, perhaps by mistake: it is tried again. Whoever does it again and again
    /// wants the operation to end; it is left as it is, and can be resumed.
    fn after_cancellation(&mut self, error: PolicyError) -> Result<(), PolicyError> {
        let at = (self.operation.phase, self.operation.sums.batches);
        if self.cancelled.at != Some(at) {
            self.cancelled = Cancelled {
                at: Some(at),
                times: 0,
            };
        }
        self.cancelled.times += 1;
        if self.cancelled.times > CANCELLED {
            return Err(self.left(error));
        }
        sleep(back_off(self.cancelled.times));
        let id = self.operation.id;
        let row = operation(&mut self.session, id)?.ok_or(PolicyError::NeverBegun(id))?;
        if row.fence != self.operation.fence {
            return Err(JournalError::Fenced(id).into());
        }
        self.go_on_from(row);
        Ok(())
    }

    fn left(&self, cause: PolicyError) -> PolicyError {
        PolicyError::LeftForRecover {
            operation: self.operation.id,
            cause: Box::new(cause),
        }
    }

    fn turn_back(&mut self, cause: PolicyError) -> Result<(), PolicyError> {
        let error = cause.to_string();
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

    /// Reconnects, and reads from the row where the operation is. What is remembered may be wrong:
    /// a commit whose answer was lost may have happened, and a failover may have lost others.
    fn reconnect(&mut self, error: PolicyError) -> Result<(), PolicyError> {
        let begun = Instant::now();
        let mut wait = Duration::from_millis(100);
        let mut last = error;
        while begun.elapsed() < self.options.reconnect_for {
            if self.wants_end() {
                return Err(self.left(PolicyError::Interrupted));
            }
            sleep(wait);
            wait = (wait * 2).min(Duration::from_secs(5));
            match self.pick_up() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_connection() || standby(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(self.left(last))
    }

    fn pick_up(&mut self) -> Result<(), PolicyError> {
        let (mut session, schema) = open(self.settings)?;
        let id = self.operation.id;
        let Some(row) = operation(&mut session, id)? else {
            return Err(PolicyError::NeverBegun(id));
        };
        if row.fence != self.operation.fence {
            return Err(JournalError::Fenced(id).into());
        }
        // A hand's COMMIT may still be under way: what it does is to be seen from here on. And the lock
        // of our lost connection goes when the server notices; until then it is held.
        if !end_hands(&mut session, id)? {
            return Err(PolicyError::LivenessLost(id));
        }
        if !matches!(row.phase, Phase::Done | Phase::RolledBack)
            && !hold_liveness(&mut session, id)?
        {
            return Err(PolicyError::LivenessLost(id));
        }
        self.session = session;
        self.schema = schema;
        self.go_on_from(row);
        Ok(())
    }

    /// Goes on from what the operation's row says after a fault.
    pub(super) fn go_on_from(&mut self, row: PolicyOperation) {
        self.operation = row;
        self.again = true;
        self.restate();
    }

    /// Ends a transaction of the operation: liveness, compare-and-set, commit; and remembers where
    /// the operation is now.
    pub(super) fn finish(
        part: Part,
        operation: &mut PolicyOperation,
        mut tx: WriteTransaction<'_>,
        step: Step,
    ) -> Result<(), PolicyError> {
        if Safeguard::Liveness.is_on() && !liveness_held(&mut tx, operation.id, part)? {
            return Err(PolicyError::LivenessLost(operation.id));
        }
        let moved = match part {
            Part::Lead => advance(&mut tx, operation, &step),
            Part::HandOf(_) => add_to(&mut tx, operation, &step.sums),
        };
        match moved {
            Err(JournalError::Fenced(_)) if !Safeguard::Fence.is_on() => {}
            advanced => advanced?,
        }
        point("before-commit");
        tx.commit()?;
        point("after-commit");
        operation.phase = step.phase;
        operation.cursor = step.cursor;
        add(&mut operation.sums, &step.sums);
        Ok(())
    }

    /// Whether somebody wants it to end; what turns back is not stopped half-way.
    pub(super) fn wants_end(&self) -> bool {
        self.cause.is_none() && self.watcher.interrupted()
    }

    /// Says that the worker lives, while it waits.
    pub(super) fn beat(&mut self) -> Result<(), PolicyError> {
        let mut tx = self.session.begin()?;
        heartbeat(&mut tx, &self.operation)?;
        tx.commit()?;
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
    sum.expirations_cleared += more.expirations_cleared;
    sum.batches += more.batches;
    sum.longest_batch_ms = sum.longest_batch_ms.max(more.longest_batch_ms);
}

/// 50 ms, doubled with each attempt, up to two seconds, with jitter.
pub(super) fn back_off(attempt: u32) -> Duration {
    let aim = 50_u64.saturating_mul(1 << attempt.min(6)).min(2_000);
    Duration::from_millis(aim / 2 + fastrand::u64(0..=aim / 2))
}

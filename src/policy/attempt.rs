//! Attempts at an operation's first transaction, until it is known to have begun or cannot begin.

use std::thread::sleep;
use std::time::Instant;

use uuid::Uuid;

use super::cancelled::CANCELLED;
use super::outcome::{Ended, Outcome};
use super::target::{Target, target_of_scope};
use super::worker::{Watcher, Worker, open, standby};
use super::{OnFault, PolicyError, PolicyOptions, UndoRule};
use crate::batch::{BatchError as _, refuse_invisible};
use crate::config::ConnectionSettings;
use crate::journal::{
    JournalError, LINGERING, Phase, PolicyOperation, end_hands, hold_liveness,
    hold_liveness_within, operation, operation_by_fence, take_over,
};
use crate::pg::WriteSession;
use crate::relations::{Clocks, PolicySchema};
use crate::report::NamedTags;
use crate::retry::back_off;

/// What the first transaction of a command came to.
pub(super) enum First {
    /// It has committed, and the operation is this command's own.
    Begun(PolicyOperation, Target),
    /// The same, applied and activated in that transaction; tags that a trigger altered.
    Applied(PolicyOperation, Target, NamedTags),
    /// An earlier run of the same command has left this one.
    Left(PolicyOperation),
    /// There is nothing to do.
    AlreadyThere(Outcome),
}

/// An open session, and what the policy tables have.
pub(super) type Opened = (WriteSession, PolicySchema);

/// One attempt: reads, decides, and commits the operation's first transaction, which carries the
/// fence.
pub(super) trait Attempt:
    FnMut(&mut Opened, Uuid, &mut dyn Watcher) -> Result<First, PolicyError>
{
}

impl<F> Attempt for F where
    F: FnMut(&mut Opened, Uuid, &mut dyn Watcher) -> Result<First, PolicyError>
{
}

/// Begins an operation, goes on with the one that an earlier run of the same command left, and
/// drives it to its end. An earlier run that was being taken back is taken back first.
pub(super) fn carry_out(
    settings: &ConnectionSettings,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
    mut first: impl Attempt,
) -> Result<Outcome, PolicyError> {
    let mut once = || {
        // A server that cannot be reached at all is said at once.
        let mut opened = open(settings)?;
        opened.0.only_in_utf8()?;
        refuse_invisible::<PolicyError>(&mut opened.0, &options.limits)?;
        // What somebody takes back is not begun, and goes on as far as it can.
        if options.undo == UndoRule::ByItself {
            let clocks = Clocks::read(&mut opened.0)?;
            if clocks.are_apart(options.clock_margin) {
                return Err(PolicyError::ClocksApart(clocks));
            }
        }
        let begun = begin(settings, options, watcher, &mut opened, &mut first)?;
        match begun {
            First::AlreadyThere(outcome) => Ok(outcome),
            First::Left(operation) => {
                let target = target_of_scope(&mut opened.0, operation.scope)?;
                Worker::new(settings, opened, operation, target, options, watcher).drive()
            }
            First::Applied(operation, target, altered) => {
                let mut worker = Worker::new(settings, opened, operation, target, options, watcher);
                worker.exceptions.not_written.append(altered);
                worker.drive()
            }
            First::Begun(operation, target) => {
                Worker::new(settings, opened, operation, target, options, watcher).drive()
            }
        }
    };
    let outcome = once()?;
    if outcome.ended == Ended::RolledBack {
        return once();
    }
    Ok(outcome)
}

/// Attempts until the operation has begun. A connection that is lost on the way leaves open whether
/// it has: the fence tells, once the server answers again.
fn begin(
    settings: &ConnectionSettings,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
    opened: &mut Opened,
    first: &mut impl Attempt,
) -> Result<First, PolicyError> {
    let fence = Uuid::new_v4();
    let since = Instant::now();
    let (mut attempt, mut cancelled) = (0, 0);
    loop {
        let error = match first(opened, fence, watcher) {
            Ok(First::Left(left)) => match take(&mut opened.0, left, options) {
                Ok(taken) => return Ok(First::Left(taken)),
                Err(error) => error,
            },
            Ok(other) => return Ok(other),
            Err(error) => error,
        };
        let again = match &error {
            // What is in the way may be an attempt of ours that came through after all.
            PolicyError::Refused { .. } | PolicyError::Live { .. } => attempt > 0,
            // It ended, or somebody took it over, between the look and the lock.
            PolicyError::Journal(JournalError::Fenced(_)) => true,
            error if error.is_cancelled() => {
                cancelled += 1;
                cancelled <= CANCELLED
            }
            error => error.is_connection() || error.passes(),
        };
        if !again {
            return Err(error);
        }
        tracing::warn!(%error, "the operation has not begun yet");
        let refused = matches!(error, PolicyError::Refused { .. });
        let mut last = error;
        loop {
            if since.elapsed() > options.reconnect_for || watcher.interrupted() {
                return Err(last);
            }
            attempt += 1;
            sleep(back_off(attempt));
            match find_begun(settings, fence) {
                Ok((fresh, Some((operation, target)))) => {
                    *opened = fresh;
                    return Ok(First::Begun(operation, target));
                }
                Ok(_) if refused || options.on_fault != OnFault::Resume => return Err(last),
                Ok((fresh, None)) => {
                    *opened = fresh;
                    break;
                }
                Err(error) if error.is_connection() => last = error,
                // Whether the operation has begun is not known of a server that is not yet promoted.
                Err(error) if standby(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

type Found = (PolicyOperation, Target);

/// The operation that carries the fence, with its liveness lock; on a new session.
fn find_begun(
    settings: &ConnectionSettings,
    fence: Uuid,
) -> Result<(Opened, Option<Found>), PolicyError> {
    let mut fresh = open(settings)?;
    let Some(found) = operation_by_fence(&mut fresh.0, fence)? else {
        return Ok((fresh, None));
    };
    let ended = matches!(found.phase, Phase::Done | Phase::RolledBack);
    // The lost connection holds the lock until the server notices.
    if !ended && !hold_liveness(&mut fresh.0, found.id)? {
        return Err(PolicyError::LivenessLost(found.id));
    }
    let target = target_of_scope(&mut fresh.0, found.scope)?;
    Ok((fresh, Some((found, target))))
}

/// Takes over what an earlier run of the same command left: its worker must be gone.
fn take(
    session: &mut WriteSession,
    mut found: PolicyOperation,
    options: &PolicyOptions,
) -> Result<PolicyOperation, PolicyError> {
    if !hold_liveness_within(session, found.id, LINGERING)? {
        return Err(PolicyError::Live {
            operation: found.id,
            worker: found.worker,
        });
    }
    end_hands(session, found.id)?;
    let mut tx = session.begin()?;
    found.fence = take_over(&mut tx, &found, &options.who.worker)?;
    tx.commit()?;
    operation(session, found.id)?.ok_or(PolicyError::NeverBegun(found.id))
}

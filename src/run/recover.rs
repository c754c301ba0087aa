//! Recovery of everything that was interrupted, policy operations and fix runs alike.

use std::cell::RefCell;
use std::time::Duration;

use super::RunError;
use super::conduct::{goes_on, take_back_all};
use crate::apply::{self, ApplyOptions};
use crate::config::ConnectionSettings;
use crate::journal::Kind;
use crate::policy::{self, Ended, Found, How, PolicyError, PolicyOptions, Watcher};
use crate::quay::OperationId;
use crate::report::Exceptions;

/// What became of one operation.
#[derive(Debug)]
pub enum Recovered {
    /// It was finished.
    Finished {
        /// The operation.
        operation: OperationId,
        /// Tags that could not be changed as asked.
        exceptions: Exceptions,
        /// How many were skipped, by whichever worker.
        skipped: u64,
    },
    /// It was taken back.
    TakenBack {
        /// The operation.
        operation: OperationId,
        /// Tags that are not as before.
        exceptions: Exceptions,
        /// Rows of a fix run that were not taken back.
        refused: u64,
        /// The first of them: what, and why.
        refusals: Vec<String>,
    },
    /// It was finished or taken back by somebody else meanwhile.
    Elsewhere(OperationId),
    /// It is left: a live worker has it, or something went wrong.
    Left(OperationId, RunError),
}

/// What to recover, and how.
#[derive(Clone, Debug)]
pub struct RecoverRequest {
    /// Only this operation.
    pub only: Option<OperationId>,
    /// How.
    pub how: How,
    /// How long to wait for a worker that may be alive.
    pub wait: Duration,
    /// How operations are carried out.
    pub policy: PolicyOptions,
    /// How fix runs are taken back.
    pub apply: ApplyOptions,
}

/// Lists what has not ended; only looks.
///
/// # Errors
/// [`RunError`] where the database does not answer.
pub fn unfinished(settings: &ConnectionSettings) -> Result<Vec<Found>, RunError> {
    Ok(policy::interrupted(settings)?)
}

/// Recovers each operation that was interrupted. What cannot be recovered does not keep the others
/// from it.
///
/// # Errors
/// [`RunError`] where they cannot even be listed, or nothing at all can be recovered in this database.
pub fn recover(
    settings: &ConnectionSettings,
    request: &RecoverRequest,
    watcher: &mut dyn Watcher,
) -> Result<Vec<Recovered>, RunError> {
    let mut recovered = Vec::new();
    for found in unfinished(settings)? {
        let id = found.operation.id;
        if request.only.is_some_and(|only| only != id) {
            continue;
        }
        if watcher.interrupted() {
            recovered.push(Recovered::Left(id, PolicyError::Interrupted.into()));
            continue;
        }
        let kind = found.operation.kind;
        match by_kind(settings, (id, kind), request, watcher) {
            // What is wrong with the database or the role is wrong for every operation.
            Recovered::Left(_, error) if recovered.is_empty() && error.is_of_the_database() => {
                return Err(error);
            }
            one => recovered.push(one),
        }
    }
    Ok(recovered)
}

/// Recovers one operation; none where it has ended.
pub(super) fn recover_one(
    settings: &ConnectionSettings,
    id: OperationId,
    request: &RecoverRequest,
    watcher: &mut dyn Watcher,
) -> Result<Option<Recovered>, RunError> {
    let found = unfinished(settings)?;
    let found = found.iter().find(|found| found.operation.id == id);
    Ok(found.map(|found| by_kind(settings, (id, found.operation.kind), request, watcher)))
}

fn by_kind(
    settings: &ConnectionSettings,
    (id, kind): (OperationId, Kind),
    request: &RecoverRequest,
    watcher: &mut dyn Watcher,
) -> Recovered {
    let outcome = if kind == Kind::Fix {
        recover_fix(settings, id, request, watcher)
    } else {
        recover_policy(settings, id, request, watcher)
    };
    outcome.unwrap_or_else(|error| Recovered::Left(id, error))
}

fn recover_policy(
    settings: &ConnectionSettings,
    id: OperationId,
    request: &RecoverRequest,
    watcher: &mut dyn Watcher,
) -> Result<Recovered, RunError> {
    let outcome = policy::recover(
        settings,
        id,
        request.how,
        request.wait,
        &request.policy,
        watcher,
    );
    match outcome {
        Ok(None) => Ok(Recovered::Elsewhere(id)),
        Ok(Some(outcome)) if outcome.ended == Ended::Done => Ok(Recovered::Finished {
            operation: id,
            exceptions: outcome.exceptions,
            skipped: outcome.sums.skipped,
        }),
        Ok(Some(outcome)) => Ok(Recovered::TakenBack {
            operation: id,
            exceptions: outcome.exceptions,
            refused: 0,
            refusals: Vec::new(),
        }),
        Err(PolicyError::RolledBack { exceptions, .. }) => Ok(Recovered::TakenBack {
            operation: id,
            exceptions: *exceptions,
            refused: 0,
            refusals: Vec::new(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// A fix run's plan is not stored: what it has done is taken back, or stays.
fn recover_fix(
    settings: &ConnectionSettings,
    id: OperationId,
    request: &RecoverRequest,
    watcher: &mut dyn Watcher,
) -> Result<Recovered, RunError> {
    if request.how == How::Resume {
        let left = apply::leave_as_is(settings, id, &request.apply)?;
        return Ok(Recovered::Finished {
            operation: id,
            exceptions: left.exceptions,
            skipped: left.skipped,
        });
    }
    let alone = PolicyOptions {
        parent: None,
        ..request.policy.clone()
    };
    let watcher = RefCell::new(watcher);
    let undone = apply::undo(
        settings,
        id,
        &request.apply,
        &mut |run| {
            let means = (&request.apply, &alone);
            take_back_all(settings, run, means, &mut **watcher.borrow_mut())
        },
        &mut |_| goes_on(&**watcher.borrow()),
    )?;
    Ok(Recovered::TakenBack {
        operation: id,
        exceptions: undone.exceptions,
        refused: undone.refused,
        refusals: undone
            .refusals
            .into_iter()
            .map(|refusal| format!("{}: {}", refusal.what, refusal.why))
            .collect(),
    })
}

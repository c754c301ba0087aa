//! Recovery of everything that was interrupted, policy operations and fix runs alike.

use std::time::Duration;

use super::RunError;
use crate::apply::{self, ApplyOptions};
use crate::config::ConnectionSettings;
use crate::journal::Kind;
use crate::policy::{
    self, Ended, Found, How, Outcome, PastExpiries, PolicyError, PolicyOptions, Watcher,
};
use crate::quay::OperationId;

/// What became of one operation.
#[derive(Debug)]
pub enum Recovered {
    /// It was finished.
    Finished(OperationId),
    /// It was taken back.
    TakenBack {
        /// The operation.
        operation: OperationId,
        /// Tags whose expiry has passed meanwhile and was not written back.
        past_expiries: PastExpiries,
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
/// [`RunError`] where they cannot even be listed.
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
        let outcome = if found.operation.kind == Kind::Fix {
            recover_fix(settings, id, request)
        } else {
            recover_policy(settings, id, request, watcher)
        };
        recovered.push(outcome.unwrap_or_else(|error| Recovered::Left(id, error)));
    }
    Ok(recovered)
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
        Ok(Some(outcome)) if outcome.ended == Ended::Done => Ok(Recovered::Finished(id)),
        Ok(Some(Outcome { past_expiries, .. }))
        | Err(PolicyError::RolledBack { past_expiries, .. }) => Ok(Recovered::TakenBack {
            operation: id,
            past_expiries,
        }),
        Err(error) => Err(error.into()),
    }
}

/// A fix run's plan is not stored: what it has done is taken back, or stays.
fn recover_fix(
    settings: &ConnectionSettings,
    id: OperationId,
    request: &RecoverRequest,
) -> Result<Recovered, RunError> {
    if request.how == How::Resume {
        apply::leave_as_is(settings, id, &request.apply)?;
        return Ok(Recovered::Finished(id));
    }
    let undone = apply::undo(settings, id, &request.apply, &mut |_| {
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(Recovered::TakenBack {
        operation: id,
        past_expiries: PastExpiries::of_number(undone.past_expiries),
    })
}

//! How an operation ended.

use crate::journal::{PolicyOperation, Sums};
use crate::quay::{OperationId, PolicyUuid};
use crate::report::Exceptions;

/// The end that an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was meant.
    Done,
    /// As if it had never been.
    RolledBack,
    /// There was nothing to do: an equal active policy is there.
    AlreadyThere,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The operation; none where there was nothing to do.
    pub operation: Option<OperationId>,
    /// The policy.
    pub policy: PolicyUuid,
    /// The end.
    pub ended: Ended,
    /// `atomic` or `phased`.
    pub strategy: String,
    /// The sums, over all workers that it had.
    pub sums: Sums,
    /// Tags that could not be changed as asked.
    pub exceptions: Exceptions,
    /// How long this worker took.
    pub seconds: f64,
}

impl Outcome {
    /// Whether tags were skipped, or have to be looked at: the exit status is then not 0.
    pub fn wants_a_look(&self) -> bool {
        self.sums.skipped > 0 || self.exceptions.want_a_look()
    }

    pub(super) fn of(operation: &PolicyOperation, ended: Ended, seconds: f64) -> Self {
        Self {
            operation: Some(operation.id),
            policy: operation.policy.clone(),
            ended,
            strategy: operation.options.strategy.clone(),
            sums: operation.sums,
            exceptions: Exceptions::default(),
            seconds,
        }
    }
}

//! What keeps a policy operation from its end.

use miette::Diagnostic;
use thiserror::Error;

use crate::batch::{BatchError, ThrottleError};
use crate::journal::JournalError;
use crate::pg::{FaultClass, PgError};
use crate::quay::{OperationId, PolicyUuid};
use crate::relations::Clocks;
use crate::report::Exceptions;

/// An operation was refused, or did not go to its end.
#[derive(Debug, Error, Diagnostic)]
pub enum PolicyError {
    /// The request itself cannot be carried out; nothing has been changed.
    #[error("{sentence}")]
    Refused {
        /// What is wrong.
        sentence: String,
        /// What to do.
        #[help]
        help: String,
    },
    /// A live worker has the operation, or the policy.
    #[error("operation {operation} is at work on it: {worker}")]
    #[diagnostic(help(
        "wait until it has ended; `quay-doctor recover --list` shows how far it is"
    ))]
    Live {
        /// The operation.
        operation: OperationId,
        /// Who works on it.
        worker: String,
    },
    /// Somebody still reads the policies as they were.
    #[error("operation {operation} cannot go on: {readers}")]
    #[diagnostic(help(
        "transactions that may have read the policies before the change are still open: end them, then `quay-doctor recover` goes on"
    ))]
    NotSettled {
        /// The operation.
        operation: OperationId,
        /// Who.
        readers: String,
    },
    /// Somebody changed our policy row.
    #[error("policy {policy} is not as operation {operation} has it: {difference}")]
    #[diagnostic(help(
        "somebody changed it meanwhile, and nothing more is done: put it back and `quay-doctor recover`, or delete the policy and `quay-doctor recover`"
    ))]
    Changed {
        /// The operation.
        operation: OperationId,
        /// The policy.
        policy: PolicyUuid,
        /// What differs.
        difference: String,
    },
    /// A trigger of the database keeps a policy's row from being written as asked.
    #[error("the row of policy {0} was not written as asked")]
    #[diagnostic(help(
        "a trigger of the database alters or swallows it; nothing of this step has been changed"
    ))]
    NotKept(PolicyUuid),
    /// Our policy row is gone; the operation turns back.
    #[error("policy {0} was deleted by somebody else")]
    #[diagnostic(help("its changes were taken back; create it again if it is wanted"))]
    Gone(PolicyUuid),
    /// The clocks of this host and of the server are too far apart to begin anything.
    #[error("nothing is begun: {0}")]
    #[diagnostic(help(
        "expiry dates are judged by both: set the wrong clock right; nothing has been changed"
    ))]
    ClocksApart(Clocks),
    /// Rows whose end lies between the two clocks.
    #[error("whether {rows} tags have expired depends on the clock, and {clocks}; left as they are: {}", examples.join("; "))]
    #[diagnostic(help("set the wrong clock right, then `quay-doctor recover` goes on"))]
    ClocksDisagree {
        /// How many.
        rows: u64,
        /// What the clocks say.
        clocks: Clocks,
        /// The first of them.
        examples: Vec<String>,
    },
    /// Rows that somebody else holds could not be had.
    #[error("{rows} tags are held by other transactions: {}", examples.join("; "))]
    #[diagnostic(help("`quay-doctor recover` goes on when they have ended"))]
    Held {
        /// How many.
        rows: u64,
        /// The first of them, each with who holds it.
        examples: Vec<String>,
    },
    /// Tags whose immutability may be the pending policy's doing wait for a decision.
    #[error(
        "operation {operation} is rolled back, but {tags} tags pushed meanwhile are immutable and may be so because of it: {examples}"
    )]
    #[diagnostic(help(
        "say --quay-knows-active true|false, or decide with `quay-doctor fix`: they are in its plan"
    ))]
    PushedMeanwhile {
        /// The operation.
        operation: OperationId,
        /// How many.
        tags: u64,
        /// The first of them.
        examples: String,
    },
    /// An expiry is at stake, and nobody has said whether it must be cleared.
    #[error(
        "{tags} tags would lose their expiry, and it is not stated whether immutable tags may expire (--immutable-tags-can-expire true|false)"
    )]
    #[diagnostic(help(
        "say what FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE is in Quay's config.yaml: --immutable-tags-can-expire true|false; nothing has been changed"
    ))]
    ExpiryNotStated {
        /// How many.
        tags: u64,
    },
    /// The connection that an operation works on lost its liveness lock.
    #[error("operation {0} lost its liveness lock: another backend answers on this connection")]
    #[diagnostic(help(
        "a pooler in transaction mode does that: connect to the server itself, or to a pooler in session mode"
    ))]
    LivenessLost(OperationId),
    /// Somebody wants it to end.
    #[error("interrupted")]
    Interrupted,
    /// The operation's row is not there: a failover lost it, and everything that came after.
    #[error("the database knows nothing of operation {0}: it was never begun")]
    #[diagnostic(help("a failover lost it before it was replicated: run the same command again"))]
    NeverBegun(OperationId),
    /// The operation failed, and was taken back.
    #[error("operation {operation} was rolled back: {}", as_before(exceptions))]
    RolledBack {
        /// The operation.
        operation: OperationId,
        /// Tags that are not as before.
        exceptions: Box<Exceptions>,
        /// Why.
        #[source]
        cause: Option<Box<PolicyError>>,
    },
    /// The operation failed, and the rest is left.
    #[error("operation {operation} is not finished")]
    #[diagnostic(help("nothing is lost: `quay-doctor recover` finishes it or takes it back"))]
    LeftForRecover {
        /// The operation.
        operation: OperationId,
        /// Why.
        #[source]
        cause: Box<PolicyError>,
    },
    /// The limits that were set.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Throttle(#[from] ThrottleError),
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// The database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pg(#[from] PgError),
}

impl PolicyError {
    pub(super) fn refused(sentence: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused {
            sentence: sentence.into(),
            help: help.into(),
        }
    }

    /// Whether usage or configuration is wrong, and nothing has been changed.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::ExpiryNotStated { .. } | Self::ClocksApart(_) => true,
            Self::Throttle(ThrottleError::NotVisible) => true,
            Self::Journal(error) if error.is_configuration() => true,
            Self::Pg(error) => error.is_configuration(),
            _ => false,
        }
    }

    /// Whether the connection is gone.
    pub(super) fn is_connection(&self) -> bool {
        self.fault() == Some(FaultClass::Connection) || matches!(self, Self::LivenessLost(_))
    }

    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Pg(error) | Self::Journal(JournalError::Pg(error)) => Some(error),
            _ => None,
        }
    }
}

impl BatchError for PolicyError {
    fn fault(&self) -> Option<FaultClass> {
        self.pg().map(PgError::class)
    }

    fn is_duplicate_key(&self) -> bool {
        self.pg().and_then(PgError::sqlstate) == Some("23505")
    }
}

fn as_before(exceptions: &Exceptions) -> String {
    if exceptions.is_empty() {
        return "everything is as before".to_owned();
    }
    format!(
        "everything is as before, except that {}",
        exceptions.sentences().join("; ")
    )
}

//! What keeps corrections from being carried out.

use std::fmt;

use miette::Diagnostic;
use thiserror::Error;

use crate::batch::{BatchError, ThrottleError};
use crate::correction::PlanFileError;
use crate::journal::JournalError;
use crate::pg::{FaultClass, PgError};
use crate::quay::RunId;
use crate::relations::Clocks;

/// A run could not begin, or was cut short.
#[derive(Debug, Error, Diagnostic)]
pub enum ApplyError {
    /// An expiry would be cleared, and nobody has said whether it must be.
    #[error(
        "{tags} tags would lose their expiry, and it is not stated whether immutable tags may expire"
    )]
    #[diagnostic(help(
        "say what FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE is in Quay's config.yaml: --immutable-tags-can-expire true|false; nothing has been changed"
    ))]
    ExpiryNotStated {
        /// How many.
        tags: u64,
    },
    /// The clocks of this host and of the server are too far apart to begin anything.
    #[error("nothing is begun: {0}")]
    #[diagnostic(help(
        "expiry dates are judged by both: set the wrong clock right; nothing has been changed"
    ))]
    ClocksApart(Clocks),
    /// The plan is larger than it may be.
    #[error("the plan has {planned} corrections, and at most {limit} are allowed")]
    #[diagnostic(help(
        "look at the plan; then go on with: --max-changes {planned}. Nothing has been changed"
    ))]
    TooMany {
        /// How many there are.
        planned: u64,
        /// How many may be.
        limit: u64,
    },
    /// The plan does not hold everything that is wrong: an older version wrote plans that were cut off.
    #[error("the plan is incomplete: {missing} violations of its rules are not in it")]
    #[diagnostic(help("nothing has been changed; make the plan again: fix --out FILE"))]
    Incomplete {
        /// How many are not in it.
        missing: u64,
    },
    /// All or nothing was asked for, and all is not possible.
    #[error(
        "all or nothing: of {planned} corrections, {changed} no longer fit and {held} are about rows that somebody else holds"
    )]
    #[diagnostic(help(
        "nothing has been changed; plan anew, or say --strategy phased, which leaves such rows out"
    ))]
    NotAll {
        /// How many were planned.
        planned: u64,
        /// How many no longer hold.
        changed: u64,
        /// How many are about rows in other hands.
        held: u64,
    },
    /// Some of the plan cannot be done in one transaction.
    #[error("the plan has {operations} operations on policies, which one transaction cannot hold")]
    #[diagnostic(help(
        "an operation has phases, and waits between them: leave --strategy atomic out; each is whole in itself"
    ))]
    NotAtomic {
        /// How many.
        operations: u64,
    },
    /// A batch would have left a violation that was not there before.
    #[error(
        "a batch in repository {repository} would make a new violation of `{rule}`; it was rolled back"
    )]
    #[diagnostic(help("this is a defect of quay-doctor: please report it, with the plan"))]
    WouldViolate {
        /// The repository.
        repository: String,
        /// The rule.
        rule: String,
    },
    /// The connection that a run works on lost its liveness lock.
    #[error("run {0} lost its liveness lock: another backend answers on this connection")]
    #[diagnostic(help(
        "a pooler in transaction mode does that: connect to the server itself, or to a pooler in session mode"
    ))]
    LivenessLost(RunId),
    /// The run was cut short; what it did so far is in the journal.
    #[error("run {run} was cut short")]
    #[diagnostic(help(
        "every batch is done whole or not at all: `quay-doctor fix undo {run}` takes it back; {rest}, and `fix --apply` goes on with a run of its own"
    ))]
    CutShort {
        /// The run.
        run: RunId,
        /// What is left of it.
        rest: Rest,
        /// Why.
        #[source]
        source: Box<ApplyError>,
    },
    /// Somebody wanted it to end before it began.
    #[error("interrupted before the run began")]
    #[diagnostic(help("nothing has been changed"))]
    NotBegun,
    /// Somebody wanted it to end.
    #[error("interrupted")]
    Interrupted,
    /// The plan is not for this database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    PlanFile(#[from] PlanFileError),
    /// What is to be handed out cannot be written.
    #[error("the script could not be written")]
    #[diagnostic(help("nothing has been changed"))]
    Unwritten(#[from] std::io::Error),
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

/// What is left of a run that was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing: it could be ended, and what it did stands.
    Ended(RunId),
    /// Its row: `recover` finds it.
    Unfinished(RunId),
    /// All of it happened or nothing: the answer to its commit was lost.
    NotKnown(RunId),
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(_) => f.write_str("what it did stands, there is nothing to recover"),
            Self::Unfinished(run) => {
                write!(f, "`quay-doctor recover {run} --resume` lets it stand")
            }
            Self::NotKnown(run) => {
                write!(
                    f,
                    "`quay-doctor history {run}` tells whether all of it happened or nothing"
                )
            }
        }
    }
}

impl ApplyError {
    /// Whether usage or configuration is wrong.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Pg(error) | Self::Journal(JournalError::Pg(error)) => error.is_configuration(),
            Self::ExpiryNotStated { .. }
            | Self::Throttle(ThrottleError::NotVisible)
            | Self::ClocksApart(_)
            | Self::NotAtomic { .. }
            | Self::TooMany { .. }
            | Self::Incomplete { .. }
            | Self::PlanFile(_)
            | Self::Journal(
                JournalError::Absent
                | JournalError::Incomplete { .. }
                | JournalError::NotReadable { .. }
                | JournalError::NoSuchRun(_)
                | JournalError::NotAFix(_),
            ) => true,
            _ => false,
        }
    }

    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Pg(error) | Self::Journal(JournalError::Pg(error)) => Some(error),
            _ => None,
        }
    }
}

impl BatchError for ApplyError {
    fn fault(&self) -> Option<FaultClass> {
        self.pg().map(PgError::class)
    }

    fn is_duplicate_key(&self) -> bool {
        self.pg().and_then(PgError::sqlstate) == Some("23505")
    }
}

//! Everything that can keep a check or a fix from its end, put together.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::apply::ApplyError;
use crate::correction::{PlanError, PlanFileError};
use crate::journal::JournalError;
use crate::pg::{FaultClass, PgError};
use crate::policy::PolicyError;
use crate::report::BaselineError;
use crate::rules::RuleError;
use crate::scan::ScanError;

/// A run could not go to its end.
#[derive(Debug, Error, Diagnostic)]
pub enum RunError {
    /// The rules.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Rule(#[from] RuleError),
    /// The scan.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scan(#[from] ScanError),
    /// The plan.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanError),
    /// The plan's document.
    #[error(transparent)]
    #[diagnostic(transparent)]
    PlanFile(#[from] PlanFileError),
    /// The corrections.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Apply(#[from] ApplyError),
    /// The policy operation.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Policy(#[from] PolicyError),
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// The file that scans are recorded in.
    #[error("the history of scans in {} cannot be used: {reason}", file.display())]
    #[diagnostic(help("it holds a JSON document a line, as --record-to writes them"))]
    HistoryFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A recorded scan.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recorded(#[from] BaselineError),
    /// A standby has broken the scan off too often.
    #[error("the standby broke the scan off, times: {times}; the last time: {error}")]
    #[diagnostic(help(
        "it replays changes that remove rows which the scan still sees: raise max_standby_streaming_delay or switch hot_standby_feedback on there, or check the primary"
    ))]
    BrokenOff {
        /// How often.
        times: u32,
        /// The last time.
        #[source]
        error: Box<RunError>,
    },
    /// A scan that was to be planned by was cut short.
    #[error("there is no plan: {why}")]
    #[diagnostic(help(
        "a plan of half a scan would look like a whole one; nothing has been changed"
    ))]
    NoPlan {
        /// Why it was cut short.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pg(#[from] PgError),
}

impl RunError {
    /// What the failure means, where it is the database's.
    pub fn class(&self) -> Option<FaultClass> {
        match self {
            Self::BrokenOff { .. } => Some(FaultClass::RecoveryConflict),
            _ => self.pg().map(PgError::class),
        }
    }

    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Pg(error)
            | Self::Scan(ScanError::Pg(error) | ScanError::Journal(JournalError::Pg(error)))
            | Self::Journal(JournalError::Pg(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether this is how a recovery conflict on a standby ends a scan: a query is cancelled, with
    /// a class of its own; a session that waits in a transaction is ended, and all that is seen of
    /// it in the end may be that the connection is gone.
    pub(super) fn is_broken_off(&self) -> bool {
        match self.pg() {
            Some(PgError::Connect { .. }) | None => false,
            Some(error) if error.is_unanswered() => false,
            Some(error) => matches!(
                error.class(),
                FaultClass::RecoveryConflict | FaultClass::Connection
            ),
        }
    }

    /// Whether the server said nothing for longer than it may.
    pub(super) fn is_unanswered(&self) -> bool {
        self.pg().is_some_and(PgError::is_unanswered)
    }

    /// Whether the database, or the role, is not one to work in, so that nothing was begun.
    pub(super) fn is_of_the_database(&self) -> bool {
        match self {
            Self::Policy(PolicyError::Pg(error))
            | Self::Apply(ApplyError::Pg(error))
            | Self::Pg(error) => error.is_configuration(),
            _ => false,
        }
    }

    /// Whether usage or configuration is wrong, so that the same command cannot ever succeed;
    /// otherwise the answer is not known, or the work not finished.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Rule(_) | Self::Plan(_) | Self::PlanFile(_) => true,
            Self::Scan(ScanError::Pg(error) | ScanError::Journal(JournalError::Pg(error))) => {
                error.is_configuration()
            }
            Self::Scan(error) => matches!(
                error,
                ScanError::NotQuay { .. }
                    | ScanError::TooOld { .. }
                    | ScanError::UnusableActive { .. }
                    | ScanError::Unknown { .. }
                    | ScanError::Journal(JournalError::NotReadable { .. })
            ),
            Self::HistoryFile { .. }
            | Self::Recorded(_)
            | Self::BrokenOff { .. }
            | Self::NoPlan { .. } => false,
            Self::Apply(error) => error.is_usage(),
            Self::Policy(error) => error.is_usage(),
            Self::Journal(error) => matches!(
                error,
                JournalError::Absent
                    | JournalError::Incomplete { .. }
                    | JournalError::NotReadable { .. }
                    | JournalError::NoSuchRun(_)
                    | JournalError::NotAFix(_)
            ),
            Self::Pg(error) => error.is_configuration(),
        }
    }
}

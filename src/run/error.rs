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
    /// The database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pg(#[from] PgError),
}

impl RunError {
    /// What the failure means, where it is the database's.
    pub fn class(&self) -> Option<FaultClass> {
        match self {
            Self::Pg(error)
            | Self::Scan(ScanError::Pg(error) | ScanError::Journal(JournalError::Pg(error)))
            | Self::Journal(JournalError::Pg(error)) => Some(error.class()),
            _ => None,
        }
    }

    /// Whether usage or configuration is wrong, so that the same command cannot ever succeed;
    /// otherwise the answer is not known, or the work not finished.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Rule(_) | Self::Plan(_) | Self::PlanFile(_) => true,
            Self::Scan(error) => matches!(
                error,
                ScanError::NotQuay { .. }
                    | ScanError::TooOld { .. }
                    | ScanError::UnusableActive { .. }
                    | ScanError::Unknown { .. }
            ),
            Self::HistoryFile { .. } | Self::Recorded(_) => false,
            Self::Apply(error) => error.is_usage(),
            Self::Policy(error) => error.is_usage(),
            Self::Journal(error) => matches!(
                error,
                JournalError::Absent | JournalError::NoSuchRun(_) | JournalError::NotAFix(_)
            ),
            Self::Pg(error) => error.is_configuration(),
        }
    }
}

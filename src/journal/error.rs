//! What can go wrong with the journal.

use miette::Diagnostic;
use thiserror::Error;

use crate::pg::PgError;
use crate::quay::OperationId;

/// The journal cannot be read or written as asked.
#[derive(Debug, Error, Diagnostic)]
pub enum JournalError {
    /// The journal's tables are not there.
    #[error("this database has no journal yet")]
    #[diagnostic(help(
        "run `quay-doctor migrate up --to 1`: it adds a schema of our own and touches no table of Quay's"
    ))]
    Absent,
    /// Some of the journal's tables are missing.
    #[error("the journal is incomplete: {tables} missing in the schema quay_doctor")]
    #[diagnostic(help("`quay-doctor migrate verify` says what else is not as it should be"))]
    Incomplete {
        /// Which.
        tables: String,
    },
    /// The journal's tables are there, and our role may not read them.
    #[error("this role may not read the journal (schema quay_doctor: {tables})")]
    #[diagnostic(help(
        "GRANT USAGE ON SCHEMA quay_doctor TO …; GRANT SELECT ON ALL TABLES IN SCHEMA quay_doctor TO …; \
         deploy/roles.sql gives each role what it needs"
    ))]
    NotReadable {
        /// Which.
        tables: String,
    },
    /// No operation has this id.
    #[error("the journal knows no run {0}")]
    #[diagnostic(help("the id is the `run` that `fix --apply` printed"))]
    NoSuchRun(OperationId),
    /// The operation is of another kind.
    #[error("operation {0} is no fix run")]
    #[diagnostic(help("`fix undo` takes back fix runs only"))]
    NotAFix(OperationId),
    /// A live worker holds the operation.
    #[error("operation {id} is at work: {worker}")]
    #[diagnostic(help("wait until it has ended, or stop it first"))]
    Live {
        /// Its id.
        id: OperationId,
        /// Who works on it.
        worker: String,
    },
    /// Somebody else has taken the operation over.
    #[error("operation {0} was taken over by somebody else")]
    #[diagnostic(help("nothing more is done here; see the journal for how it went on"))]
    Fenced(OperationId),
    /// A row of the journal does not read as this program writes it.
    #[error("a row of the journal cannot be understood: {0}")]
    #[diagnostic(help("was it changed by hand, or written by a newer version?"))]
    Unreadable(String),
    /// The database did not do its part.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pg(#[from] PgError),
}

impl JournalError {
    /// Whether the database or the role has to be set up first.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Absent | Self::Incomplete { .. } | Self::NotReadable { .. }
        )
    }
}

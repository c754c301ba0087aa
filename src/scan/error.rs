//! Why a scan cannot begin or go on.

use miette::Diagnostic;
use thiserror::Error;

use crate::journal::JournalError;
use crate::pg::PgError;

/// A scan cannot begin, or was cut short.
#[derive(Debug, Error, Diagnostic)]
pub enum ScanError {
    /// The database is not Quay's.
    #[error("this is not Quay's database: it has no {}", missing.join(", "))]
    #[diagnostic(help(
        "check the database's name in the URL, and that the role's search_path shows Quay's schema"
    ))]
    NotQuay {
        /// The tables that are missing.
        missing: Vec<String>,
    },
    /// Quay's, but older than immutability policies.
    #[error("this Quay is older than immutability policies: it has no {}", missing.join(", "))]
    #[diagnostic(help("there is nothing to look at before Quay 3.17"))]
    TooOld {
        /// The tables that are missing.
        missing: Vec<String>,
    },
    /// `active` has a shape that this program does not understand.
    #[error("the column {table}.active cannot be used: {reason}")]
    #[diagnostic(help("it must be boolean NOT NULL; see `quay-doctor migrate status`"))]
    UnusableActive {
        /// The table.
        table: &'static str,
        /// What differs.
        reason: String,
    },
    /// No namespace or repository has the name that was asked for.
    #[error("there is no {what} `{name}`")]
    #[diagnostic(help("names are compared exactly, capitals included"))]
    Unknown {
        /// "namespace" or "repository".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Names in a database without an encoding are no text.
    #[error("names that are no UTF-8 cannot be read, and what holds of them is not known: {}", rows.join(", "))]
    #[diagnostic(help(
        "the database's encoding is SQL_ASCII, which takes any bytes; Quay cannot read these rows either: rename or delete them"
    ))]
    Unreadable {
        /// The first of them.
        rows: Vec<String>,
    },
    /// The journal could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// The database did not do its part.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pg(#[from] PgError),
}

//! Why a plan's document is not carried out.

use miette::Diagnostic;
use thiserror::Error;

/// A document that is no plan for this database. Always exit status 2; nothing has been changed.
#[derive(Debug, Error, Diagnostic)]
pub enum PlanFileError {
    /// It cannot be read, or is no plan.
    #[error("the plan {file} cannot be read: {reason}")]
    #[diagnostic(help(
        "`fix --out FILE` writes a plan; docs/schemas/plan-file.json describes it. Nothing has been changed"
    ))]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be written.
    #[error("the plan {file} cannot be written: {reason}")]
    #[diagnostic(help("nothing has been changed"))]
    Unwritable {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// It says something else than its digest was made of.
    #[error(
        "the plan {file} was changed after it was made: its digest is {is}, and it says {said}"
    )]
    #[diagnostic(help(
        "a plan is carried out as it was made or not at all; make it anew with the choices that are meant. Nothing has been changed"
    ))]
    Tampered {
        /// The file.
        file: String,
        /// What it says.
        said: String,
        /// What it is.
        is: String,
    },
    /// It was made for another database.
    #[error("the plan {file} was made for the database {of}, and this is {here}")]
    #[diagnostic(help("make a plan for this database. Nothing has been changed"))]
    Foreign {
        /// The file.
        file: String,
        /// Whose it is.
        of: String,
        /// Where it was to be carried out.
        here: String,
    },
    /// Something else is stated about Quay now.
    #[error("the plan {file} was made with {flag} {then}, and now it is stated to be {now}")]
    #[diagnostic(help(
        "what becomes of expiry dates depends on it: make the plan anew. Nothing has been changed"
    ))]
    OtherFeatures {
        /// The file.
        file: String,
        /// The option.
        flag: &'static str,
        /// As it was stated.
        then: &'static str,
        /// As it is stated.
        now: &'static str,
    },
}

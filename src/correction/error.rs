//! What can be wrong with the choices that a plan is made by.

use miette::Diagnostic;
use thiserror::Error;

/// A plan cannot be made as asked. Always exit status 2; nothing has been changed.
#[derive(Debug, Error, Diagnostic)]
pub enum PlanError {
    /// `--remedy` without an equals sign.
    #[error("`{0}` is no choice of a remedy")]
    #[diagnostic(help("it has the form RULE=NAME, as in orphaned-immutable-tag=release"))]
    Malformed(String),
    /// A file of decisions is not as it should be.
    #[error("{file}:{line}: {reason}")]
    #[diagnostic(help("{help}"))]
    Decision {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
        /// What was probably meant.
        help: String,
    },
    /// The rule has no remedy of this name.
    #[error("the rule `{rule}` has no remedy `{name}`")]
    #[diagnostic(help("its remedies are: {remedies}"))]
    NoSuchRemedy {
        /// The rule.
        rule: String,
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        remedies: String,
    },
    /// The remedy is not a correction of rows but an operation on a policy.
    #[error("`{rule}={name}` changes a policy and all of its tags; `fix` does not do that")]
    #[diagnostic(help(
        "create or change the policy in Quay, then run `quay-doctor check` again: tags that it then matches are no longer in question"
    ))]
    PolicyOperation {
        /// The rule.
        rule: String,
        /// The remedy.
        name: String,
    },
    /// The remedy is not a correction of rows but the end of an operation.
    #[error("`{rule}={name}` ends an operation that was interrupted; `fix` does not do that")]
    #[diagnostic(help("a fix run is taken back by `quay-doctor fix undo RUN`"))]
    Recovery {
        /// The rule.
        rule: String,
        /// The remedy.
        name: String,
    },
    /// The remedy is known, and this version cannot carry it out.
    #[error("`fix` of this version cannot do `{rule}={name}` yet")]
    #[diagnostic(help("`quay-doctor rules explain {rule}` says what it does; do it in Quay"))]
    NotYet {
        /// The rule.
        rule: String,
        /// The remedy.
        name: String,
    },
}

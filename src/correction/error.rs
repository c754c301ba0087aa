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
    /// The remedy wants something that only a person can say.
    #[error("`{rule}={name}` needs a new pattern, and which one only a person can say")]
    #[diagnostic(help(
        "`quay-doctor policy update UUID --pattern P` writes it and applies it to the tags"
    ))]
    PolicyOperation {
        /// The rule.
        rule: String,
        /// The remedy.
        name: String,
    },
    /// `recreate` without a pattern.
    #[error("it is not said which policy to create again")]
    #[diagnostic(help(
        "`quay-doctor fix` proposes a pattern for each scope with orphans; name one with --pattern"
    ))]
    PatternMissing,
    /// A pattern without `recreate`.
    #[error("a pattern is given, and no policy is to be created again")]
    #[diagnostic(help("it goes with --remedy orphaned-immutable-tag=recreate"))]
    PatternUnused,
}

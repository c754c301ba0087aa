//! What can be wrong with a rule file, or with the choice of rules.

use miette::Diagnostic;
use thiserror::Error;

use crate::config::{line_of, meant_by};

/// A rule cannot be used. Always exit status 2.
#[derive(Debug, Error, Diagnostic)]
pub enum RuleError {
    /// The file is not a rule file: bad TOML, an unknown key, a wrong type.
    #[error("{file}:{line}: {reason}")]
    #[diagnostic(help("{help}"))]
    Syntax {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
        /// What was probably meant.
        help: String,
    },
    /// The file is well formed, and means nothing.
    #[error("{file}: {reason}")]
    #[diagnostic(help(
        "docs/rule-files.md describes rule files; `quay-doctor rules test` tries them"
    ))]
    Invalid {
        /// The file's name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A folder of rule files cannot be read.
    #[error("the rule files in {folder} cannot be read: {reason}")]
    #[diagnostic(help("--checks takes a folder with .toml files"))]
    Unreadable {
        /// The folder.
        folder: String,
        /// What is wrong.
        reason: String,
    },
    /// No rule has this name.
    #[error("there is no rule `{id}`")]
    #[diagnostic(help("{help}"))]
    Unknown {
        /// The name that was asked for.
        id: String,
        /// The nearest name, or all of them.
        help: String,
    },
}

impl RuleError {
    /// A complaint of the TOML reader, with the line that it points at.
    pub(super) fn syntax(file: &str, error: &toml::de::Error) -> Self {
        Self::Syntax {
            file: file.to_owned(),
            line: line_of(error),
            reason: error.message().to_owned(),
            help: meant_by(error.message())
                .unwrap_or_else(|| "docs/rule-files.md describes the keys of a rule file".into()),
        }
    }
}

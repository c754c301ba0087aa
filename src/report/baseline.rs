//! Known violations: a report that was kept, whose violations fail no run.

use std::collections::{BTreeMap, BTreeSet};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::evaluate::{Subject, Violation};

/// The text is no report of `check --format json`.
#[derive(Debug, Error, Diagnostic)]
#[error("{file} is no baseline: {reason}")]
#[diagnostic(help("write one with `quay-doctor check --format json > FILE`"))]
pub struct BaselineError {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub reason: String,
}

/// What tells one violation from another, whichever scan finds it: names and not ids, which a
/// restored database may have given anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViolationKey {
    /// The rule.
    pub rule: String,
    /// "tag", "policy", "operation" or "row".
    pub kind: String,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: Option<String>,
    /// A tag's name, a policy's uuid, an operation's id, a row's name.
    pub name: String,
}

impl From<&Violation> for ViolationKey {
    fn from(violation: &Violation) -> Self {
        let (kind, name) = match &violation.subject {
            Subject::Tag(tag) => ("tag", tag.row.name.clone()),
            Subject::Policy(policy) => ("policy", policy.uuid.0.clone()),
            Subject::Operation(operation) => ("operation", operation.id.to_string()),
            Subject::Row(row) => ("row", row.name.clone()),
        };
        let (namespace, repository) = violation.subject.place();
        Self {
            rule: violation.rule.0.clone(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            repository: (!repository.is_empty()).then(|| repository.to_owned()),
            name,
        }
    }
}

/// A report as JSON, as far as it is read again.
#[derive(Deserialize)]
struct Report {
    tool: String,
    violations: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    rule: String,
    subject: ListedSubject,
}

#[derive(Deserialize)]
struct ListedSubject {
    kind: String,
    id: i64,
    namespace: String,
    repository: Option<String>,
    name: String,
}

/// Known violations, and which of them were found again.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    known: BTreeMap<ViolationKey, Met>,
}

/// Whether a known violation was found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    NotYet,
    Again,
}

impl Baseline {
    /// Reads a report that `check --format json` wrote.
    ///
    /// # Errors
    /// [`BaselineError`] where it is something else.
    pub fn parse(file: &str, text: &str) -> Result<Self, BaselineError> {
        let wrong = |reason: String| BaselineError {
            file: file.to_owned(),
            reason,
        };
        let report: Report =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if report.tool != "quay-doctor" {
            return Err(wrong(format!("it was written by `{}`", report.tool)));
        }
        let keys = report.violations.into_iter().map(|listed| {
            let ListedSubject {
                kind,
                id,
                namespace,
                repository,
                name,
            } = listed.subject;
            ViolationKey {
                rule: listed.rule,
                // The document calls an operation by its kind.
                name: if kind == "operation" {
                    id.to_string()
                } else {
                    name
                },
                kind,
                namespace,
                repository,
            }
        });
        Ok(Self {
            known: keys.map(|key| (key, Met::NotYet)).collect(),
        })
    }

    /// Whether a violation is known; it then counts as found again.
    pub fn knows(&mut self, violation: &Violation) -> bool {
        match self.known.get_mut(&ViolationKey::from(violation)) {
            Some(met) => {
                *met = Met::Again;
                true
            }
            None => false,
        }
    }

    /// Known violations of these rules that were not found again.
    pub fn stale(&self, rules: &BTreeSet<String>) -> Vec<ViolationKey> {
        self.known
            .iter()
            .filter(|(key, met)| **met == Met::NotYet && rules.contains(&key.rule))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused() {
        for text in ["", "[]", "{}", r#"{"tool": "other", "violations": []}"#] {
            assert!(Baseline::parse("f", text).is_err(), "{text}");
        }
        assert!(Baseline::parse("f", r#"{"tool": "quay-doctor", "violations": []}"#).is_ok());
    }
}

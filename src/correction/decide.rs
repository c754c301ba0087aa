//! Decisions by scope, from a file: raw as typed, then valid as meant, then held against the
//! registry's names.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use toml::Spanned;

use super::PlanError;
use super::choice::remedy;
use crate::config::nearest;
use crate::evaluate::{Registry, Subject};
use crate::quay::PolicyUuid;
use crate::rules::{Catalogue, RemedyKind, RuleError, RuleId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    decision: Vec<Spanned<Raw>>,
}

/// A decision as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    rule: Spanned<String>,
    remedy: Spanned<String>,
    namespace: Option<Spanned<String>>,
    repository: Option<Spanned<String>>,
    policy: Option<Spanned<String>>,
}

/// What a decision is about. A smaller place outweighs a larger one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Namespace(String),
    Repository(String, String),
    Policy(PolicyUuid),
}

impl Place {
    fn weight(&self) -> u8 {
        match self {
            Self::Namespace(_) => 0,
            Self::Repository(..) => 1,
            Self::Policy(_) => 2,
        }
    }

    fn holds(&self, subject: &Subject) -> bool {
        let (namespace, repository) = subject.place();
        match (self, subject) {
            (Self::Namespace(name), _) => name == namespace,
            (Self::Repository(of, name), _) => of == namespace && name == repository,
            (Self::Policy(uuid), Subject::Policy(policy)) => policy.uuid == *uuid,
            (Self::Policy(_), _) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Decision {
    rule: RuleId,
    remedy: RemedyKind,
    place: Place,
    line: usize,
    /// The line that names what is inside the namespace.
    inner_line: usize,
}

/// The decisions of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    file: String,
    all: Vec<Decision>,
}

impl Decisions {
    /// Reads a file of decisions, `docs/schemas/decisions.json`.
    ///
    /// # Errors
    /// [`PlanError::Decision`] with the line, for anything that is not as it should be.
    pub fn parse(file: &str, text: &str, catalogue: &Catalogue) -> Result<Self, PlanError> {
        let reader = Reader {
            file,
            text,
            catalogue,
        };
        let raw: RawFile = toml::from_str(text).map_err(|error| reader.syntax(&error))?;
        let mut decisions = Self {
            file: file.to_owned(),
            all: Vec::with_capacity(raw.decision.len()),
        };
        let mut seen = HashSet::new();
        for raw in raw.decision {
            let decision = reader.decision(raw)?;
            if !seen.insert((decision.rule.clone(), decision.place.clone())) {
                let reason = format!("`{}` is decided for this scope already", decision.rule);
                return Err(reader.wrong(decision.line, reason, "say it once".to_owned()));
            }
            decisions.all.push(decision);
        }
        Ok(decisions)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them is for this remedy.
    pub(super) fn name(&self, remedy: RemedyKind) -> bool {
        self.all.iter().any(|decision| decision.remedy == remedy)
    }

    /// Holds the decisions' scopes against what is there: a name that nothing has is a mistake.
    ///
    /// # Errors
    /// [`PlanError::Decision`] with the line and the nearest name.
    pub fn only_about(
        &self,
        registry: &Registry,
        policies: &HashSet<PolicyUuid>,
    ) -> Result<(), PlanError> {
        let namespaces: BTreeSet<&str> = registry
            .namespaces
            .values()
            .map(|namespace| namespace.name.as_str())
            .collect();
        let repositories: BTreeSet<(&str, &str)> = registry
            .repositories
            .keys()
            .map(|id| registry.repository_names(*id))
            .collect();
        for decision in &self.all {
            let unknown = |line, what: &str, name: &str, near: Option<&str>| PlanError::Decision {
                file: self.file.clone(),
                line,
                reason: format!("there is no {what} `{}`", name.escape_debug()),
                help: near.map_or_else(
                    || format!("no {what} has a name like it"),
                    |near| format!("did you mean `{}`?", near.escape_debug()),
                ),
            };
            match &decision.place {
                Place::Namespace(name) | Place::Repository(name, _)
                    if !namespaces.contains(name.as_str()) =>
                {
                    let near = nearest(name, namespaces.iter().copied());
                    return Err(unknown(decision.line, "namespace", name, near));
                }
                Place::Repository(namespace, name)
                    if !repositories.contains(&(namespace.as_str(), name.as_str())) =>
                {
                    let inside = repositories.iter().filter(|(of, _)| of == namespace);
                    let near = nearest(name, inside.map(|(_, name)| *name));
                    return Err(unknown(decision.inner_line, "repository", name, near));
                }
                Place::Policy(uuid) if !policies.contains(uuid) => {
                    let near = nearest(&uuid.0, policies.iter().map(|uuid| uuid.0.as_str()));
                    return Err(unknown(decision.line, "policy", &uuid.0, near));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The decision on a subject, by its place in the file, where there is one: of several the one
    /// about the smallest scope.
    pub(super) fn on(&self, rule: &RuleId, subject: &Subject) -> Option<(usize, RemedyKind)> {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, decision)| decision.rule == *rule && decision.place.holds(subject))
            .max_by_key(|(_, decision)| decision.place.weight())
            .map(|(index, decision)| (index, decision.remedy))
    }

    /// Those that decided nothing, a sentence each.
    pub(super) fn idle(&self, used: &BTreeSet<usize>) -> Vec<String> {
        let idle = self.all.iter().enumerate();
        idle.filter(|(index, _)| !used.contains(index))
            .map(|(_, decision)| {
                format!(
                    "{}:{}: nothing here violates `{}`",
                    self.file, decision.line, decision.rule
                )
            })
            .collect()
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    catalogue: &'a Catalogue,
}

impl Reader<'_> {
    fn decision(&self, raw: Spanned<Raw>) -> Result<Decision, PlanError> {
        let begun = self.line(raw.span().start);
        let raw = raw.into_inner();
        let rule_line = self.line(raw.rule.span().start);
        let rule = self.catalogue.get(raw.rule.get_ref()).map_err(|error| {
            let help = match &error {
                RuleError::Unknown { help, .. } => help.clone(),
                _ => String::new(),
            };
            self.wrong(rule_line, error.to_string(), help)
        })?;
        let remedy_line = self.line(raw.remedy.span().start);
        let remedy = remedy(rule, raw.remedy.get_ref()).map_err(|error| {
            let names = rule.remedies.iter().map(|r| r.name.to_string());
            let names: Vec<String> = names.collect();
            let help = nearest(raw.remedy.get_ref(), names.iter().map(String::as_str)).map_or_else(
                || format!("its remedies are: {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.wrong(remedy_line, error.to_string(), help)
        })?;
        let line_of = |name: &Spanned<String>| self.line(name.span().start);
        let (place, line, inner_line) = match (raw.namespace, raw.repository, raw.policy) {
            (Some(namespace), None, None) => {
                let line = line_of(&namespace);
                (Place::Namespace(namespace.into_inner()), line, line)
            }
            (Some(namespace), Some(repository), None) => {
                let lines = (line_of(&namespace), line_of(&repository));
                let place = Place::Repository(namespace.into_inner(), repository.into_inner());
                (place, lines.0, lines.1)
            }
            (None, None, Some(policy)) => {
                let line = line_of(&policy);
                (Place::Policy(PolicyUuid(policy.into_inner())), line, line)
            }
            _ => {
                return Err(self.wrong(
                    begun,
                    "a decision is about a namespace, a repository of it, or a policy".to_owned(),
                    "name `namespace`, `namespace` and `repository`, or `policy`".to_owned(),
                ));
            }
        };
        Ok(Decision {
            rule: rule.id.clone(),
            remedy,
            place,
            line,
            inner_line,
        })
    }

    /// The line of a byte, from 1.
    fn line(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().iter().take(byte);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn syntax(&self, error: &toml::de::Error) -> PlanError {
        let line = error.span().map_or(1, |span| self.line(span.start));
        let complaint = error.message();
        // "unknown field `nmae`, expected one of `name`, `kind`": every second piece is a name.
        let mut names = complaint.split('`').skip(1).step_by(2);
        let typed = names.next().filter(|_| complaint.starts_with("unknown"));
        let help = typed.and_then(|typed| nearest(typed, names)).map_or_else(
            || "docs/schemas/decisions.json describes a file of decisions".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        self.wrong(line, complaint.trim().to_owned(), help)
    }

    fn wrong(&self, line: usize, reason: String, help: String) -> PlanError {
        PlanError::Decision {
            file: self.file.to_owned(),
            line,
            reason,
            help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[decision]]\n\
        rule = \"orphaned-immutable-tag\"\n\
        namespace = \"acme\"\n\
        remedy = \"release\"\n\n\
        [[decision]]\n\
        rule = \"orphaned-immutable-tag\"\n\
        namespace = \"acme\"\n\
        repository = \"shop\"\n\
        remedy = \"keep\"\n";

    fn parse(text: &str) -> Result<Decisions, (usize, String, String)> {
        let catalogue = Catalogue::built_in().expect("valid");
        Decisions::parse("d.toml", text, &catalogue).map_err(|error| match error {
            PlanError::Decision {
                line, reason, help, ..
            } => (line, reason, help),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn a_complaint_has_its_line_and_what_was_meant() {
        assert_eq!(parse(GOOD).expect("valid").all.len(), 2);
        for (from, to, line, says, meant) in [
            (
                "namespace = \"acme\"\nrepo",
                "namespce = \"acme\"\nrepo",
                8,
                "unknown field",
                "did you mean `namespace`?",
            ),
            (
                "remedy = \"keep\"",
                "remedy = \"kepp\"",
                10,
                "no remedy `kepp`",
                "did you mean `keep`?",
            ),
            (
                "rule = \"orphaned-immutable-tag\"\nnamespace = \"acme\"\nremedy",
                "rule = \"orphaned-imutable-tag\"\nnamespace = \"acme\"\nremedy",
                2,
                "no rule",
                "did you mean `orphaned-immutable-tag`?",
            ),
            (
                "repository = \"shop\"\n",
                "",
                8,
                "decided for this scope already",
                "say it once",
            ),
            (
                "namespace = \"acme\"\nrepository",
                "repository",
                6,
                "a decision is about",
                "name `namespace`",
            ),
            (
                "[[decision]]\nrule",
                "[[decisions]]\nrule",
                1,
                "unknown field",
                "did you mean `decision`?",
            ),
            (
                "remedy = \"release\"",
                "remedy = 1",
                4,
                "invalid type",
                "docs/schemas/decisions.json",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let (at, reason, help) = parse(&text).expect_err(to);
            assert_eq!(at, line, "{reason}");
            assert!(reason.contains(says), "{reason}");
            assert!(help.contains(meant), "{help}");
        }
    }
}

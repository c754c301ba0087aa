//! A file of decisions as typed, and what it means; every complaint has its line.

use std::collections::HashSet;

use serde::Deserialize;
use toml::Spanned;

use super::{Decision, Decisions, Place};
use crate::config::nearest;
use crate::correction::PlanError;
use crate::correction::choice::remedy;
use crate::quay::{Polarity, PolicyUuid, StoredPolicy};
use crate::rules::{Catalogue, RemedyKind, RuleError};

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
    pattern: Option<Spanned<String>>,
    #[serde(rename = "not-matching")]
    not_matching: Option<Spanned<bool>>,
    namespace: Option<Spanned<String>>,
    repository: Option<Spanned<String>>,
    policy: Option<Spanned<String>>,
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
        let recreate = self.recreated(raw.pattern, raw.not_matching, remedy)?;
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
            recreate,
            line,
            inner_line,
        })
    }

    /// What a decision creates again: its own pattern, or none where the command line gives one.
    fn recreated(
        &self,
        pattern: Option<Spanned<String>>,
        not_matching: Option<Spanned<bool>>,
        remedy: RemedyKind,
    ) -> Result<Option<StoredPolicy>, PlanError> {
        let Some(pattern) = pattern else {
            return match not_matching {
                None => Ok(None),
                Some(alone) => Err(self.wrong(
                    self.line(alone.span().start),
                    "`not-matching` without a pattern".to_owned(),
                    "it goes with `pattern`".to_owned(),
                )),
            };
        };
        if remedy != RemedyKind::Recreate {
            return Err(self.wrong(
                self.line(pattern.span().start),
                format!("a pattern is given, and `{remedy}` creates no policy"),
                "it goes with remedy = \"recreate\"".to_owned(),
            ));
        }
        Ok(Some(StoredPolicy {
            pattern: pattern.into_inner().trim().to_owned(),
            polarity: match not_matching.map(Spanned::into_inner) {
                Some(true) => Polarity::NotMatching,
                Some(false) | None => Polarity::Matching,
            },
        }))
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

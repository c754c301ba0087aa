//! A rule: raw as typed in its file, then valid as meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Evidence, Fact, RuleError, SubjectKind};

/// A rule's name, which is also its file's name. For ever: never renamed, never reused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(transparent)]
pub struct RuleId(pub String);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something will surprise somebody.
    Warning,
    /// Protection is missing or unaccounted for.
    Error,
    /// The registry itself fails.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

/// What can be done about a violation: a closed set, each member a type of correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyKind {
    /// Make the tag mutable again, with the expiry that the journal knows.
    Release,
    /// Make the tag immutable.
    Protect,
    /// Create the policy again and finish its job; `policy create` does that.
    Recreate,
    /// Declare that the tag is meant to stay as it is.
    Keep,
    /// Delete the policy row.
    Delete,
    /// Apply the policy to its tags and activate it; `policy activate` does that.
    Activate,
}

impl fmt::Display for RemedyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::Protect => "protect",
            Self::Recreate => "recreate",
            Self::Keep => "keep",
            Self::Delete => "delete",
            Self::Activate => "activate",
        })
    }
}

/// Whether a remedy may be applied unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Takes nobody's protection away: applied unless another is chosen.
    Safe,
    /// Somebody has to decide.
    Decision,
}

/// One remedy of a rule, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Remedy {
    /// Its name, as `--remedy RULE=NAME` takes it.
    pub name: RemedyKind,
    /// Whether it may be applied unasked.
    pub weight: Weight,
    /// What it does, in a sentence.
    pub does: String,
    /// What it costs, in a sentence.
    pub costs: String,
}

/// A rule file, as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleFile {
    id: RuleId,
    summary: String,
    reason: String,
    severity: Severity,
    subject: SubjectKind,
    condition: Vec<Fact>,
    must_hold: Vec<Fact>,
    #[serde(default)]
    excused_by: Vec<Evidence>,
    message: String,
    #[serde(default)]
    remedy: Vec<Remedy>,
}

/// A valid rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// What must hold, in a sentence.
    pub summary: String,
    /// What goes wrong, for whom, where it does not hold.
    pub reason: String,
    /// How bad a violation is.
    pub severity: Severity,
    /// What it is about.
    pub subject: SubjectKind,
    /// All of these make a row a subject of the rule.
    pub condition: Vec<Fact>,
    /// At least one of these must be true of a subject.
    pub must_hold: Vec<Fact>,
    /// Any of these explains a violation.
    pub excused_by: Vec<Evidence>,
    /// What to say of a violation.
    pub message: String,
    /// What can be done, the preferred first.
    pub remedies: Vec<Remedy>,
}

impl Rule {
    /// Parses and validates a rule file.
    ///
    /// # Errors
    /// [`RuleError`], naming the file and, where the text itself is wrong, the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, RuleError> {
        let raw: RuleFile =
            toml::from_str(text).map_err(|error| RuleError::syntax(file, &error))?;
        raw.validate(file)
    }

    /// The remedy that is applied unasked, if there is one.
    pub fn default_remedy(&self) -> Option<&Remedy> {
        self.remedies
            .iter()
            .find(|remedy| remedy.weight == Weight::Safe)
    }
}

impl RuleFile {
    fn validate(self, file: &str) -> Result<Rule, RuleError> {
        let stem = file
            .rsplit('/')
            .next()
            .and_then(|n| n.strip_suffix(".toml"));
        let complain = |reason: String| RuleError::Invalid {
            file: file.to_owned(),
            reason,
        };
        if stem != Some(&self.id.0) {
            return Err(complain(format!(
                "its id is {}, its file's name is not",
                self.id
            )));
        }
        for fact in self.condition.iter().chain(&self.must_hold) {
            if fact.subject() != self.subject {
                return Err(complain(format!(
                    "`{fact}` is a fact about a {}, and the rule is about a {}",
                    fact.subject(),
                    self.subject
                )));
            }
        }
        if self.condition.is_empty() || self.must_hold.is_empty() {
            return Err(complain(
                "condition and must-hold name at least one fact each".into(),
            ));
        }
        if self.subject == SubjectKind::Policy && !self.excused_by.is_empty() {
            return Err(complain(
                "evidence excuses tags only; use a fact in must-hold".into(),
            ));
        }
        Ok(Rule {
            id: self.id,
            summary: self.summary,
            reason: self.reason.trim().to_owned(),
            severity: self.severity,
            subject: self.subject,
            condition: self.condition,
            must_hold: self.must_hold,
            excused_by: self.excused_by,
            message: self.message,
            remedies: self.remedy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
        id = "x"
        summary = "s"
        reason = "r"
        severity = "error"
        subject = "tag"
        condition = ["live"]
        must-hold = ["immutable"]
        message = "m"
    "#;

    #[test]
    fn a_mistyped_key_is_an_error_with_its_line() {
        let error = Rule::parse("x.toml", &SOUND.replace("message", "mesage"));
        let text = error.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("x.toml:9"), "{text}");
        assert!(text.contains("mesage"), "{text}");
    }

    #[test]
    fn a_fact_about_another_subject_is_an_error() {
        let text = SOUND.replace("[\"live\"]", "[\"inactive\"]");
        assert!(matches!(
            Rule::parse("x.toml", &text),
            Err(RuleError::Invalid { .. })
        ));
        assert!(Rule::parse("x.toml", SOUND).is_ok());
    }

    #[test]
    fn a_rule_is_called_as_its_file() {
        assert!(Rule::parse("checks/x.toml", SOUND).is_ok());
        assert!(Rule::parse("checks/y.toml", SOUND).is_err());
    }
}

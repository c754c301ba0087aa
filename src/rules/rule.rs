//! A rule, valid as meant.

use std::fmt;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Evidence, Example, Fact, SubjectKind};

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
/// `--remedy RULE=NAME` takes these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyKind {
    /// Make the tag mutable again, with the expiry that the journal knows.
    Release,
    /// Make the tag immutable.
    Protect,
    /// Create the policy again and finish its job, as `policy create` does.
    Recreate,
    /// Declare that the tag is meant to stay as it is.
    Keep,
    /// Delete the policy row.
    Delete,
    /// Apply the policy to its tags and activate it, as `policy activate` does.
    Activate,
    /// Stop enforcing the policy, as `policy deactivate` does; its tags are kept.
    Deactivate,
    /// Write another pattern. Which one, nobody but a person knows: `policy update` takes it.
    Update,
    /// Make one policy of several that decide the same.
    Merge,
    /// Give a repository's policy its repository's namespace.
    MendNamespace,
    /// Take an immutable tag's expiry away.
    ClearExpiry,
    /// Finish an operation, as `recover --resume` does.
    Resume,
    /// Take an operation back, as `recover --roll-back` does.
    RollBack,
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
            Self::Deactivate => "deactivate",
            Self::Update => "update",
            Self::Merge => "merge",
            Self::MendNamespace => "mend-namespace",
            Self::ClearExpiry => "clear-expiry",
            Self::Resume => "resume",
            Self::RollBack => "roll-back",
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

/// What carries a remedy out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doer {
    /// `quay-doctor fix`: a change of rows, or an operation that it conducts.
    #[default]
    Fix,
    /// `quay-doctor policy`: it wants something that only a person can say.
    Policy,
}

impl Doer {
    /// For people, after a remedy's name.
    pub fn note(self) -> &'static str {
        match self {
            Self::Fix => "quay-doctor fix",
            Self::Policy => "quay-doctor policy, or by hand in Quay",
        }
    }
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
    /// What carries it out.
    #[serde(default)]
    pub by: Doer,
}

/// Where a violation is less severe than the rule's others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Milder {
    /// Where all of these are true of the subject.
    pub when: Vec<Fact>,
    /// The severity there.
    pub severity: Severity,
}

/// A user's own query: every row that it returns is a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowQuery {
    /// One SELECT, without parameters; run read-only in the scan's snapshot.
    pub sql: String,
    /// How long it may take.
    pub time_limit: Duration,
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
    /// Where a violation is less severe.
    pub milder: Option<Milder>,
    /// What it is about.
    pub subject: SubjectKind,
    /// All of these make a row a subject of the rule; where there is none, every row is one.
    pub condition: Vec<Fact>,
    /// At least one of these must be true of a subject.
    pub must_hold: Vec<Fact>,
    /// Any of these explains a violation.
    pub excused_by: Vec<Evidence>,
    /// What to say of a violation; `{name}` stands for something about the subject.
    pub message: String,
    /// What can be done, the preferred first.
    pub remedies: Vec<Remedy>,
    /// Small worlds that show what the rule says.
    pub examples: Vec<Example>,
    /// The query, of a rule about rows.
    pub query: Option<RowQuery>,
}

impl Rule {
    /// The remedy that is applied unasked, if there is one.
    pub fn default_remedy(&self) -> Option<&Remedy> {
        self.remedies
            .iter()
            .find(|remedy| remedy.weight == Weight::Safe && remedy.by == Doer::Fix)
    }

    /// Whether the rule names this fact anywhere.
    pub fn names(&self, fact: Fact) -> bool {
        self.condition.contains(&fact) || self.must_hold.contains(&fact)
    }
}

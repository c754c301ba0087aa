//! Examples of a rule: small worlds in memory, and what the rule says of them.

use serde::{Deserialize, Serialize};

use super::Evidence;

/// What an example shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// At least one subject violates the rule; the others are sound.
    Violated,
    /// There is a subject, and every one is sound.
    Sound,
    /// At least one subject would violate the rule, but for evidence; the others are sound.
    Excused,
    /// At least one subject cannot be decided; none is violated.
    Undecided,
    /// At least one subject is settling; none is violated.
    Settling,
    /// The rule is about no row of this world.
    NoSubject,
}

impl Shows {
    /// The name as rule files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Violated => "violated",
            Self::Sound => "sound",
            Self::Excused => "excused",
            Self::Undecided => "undecided",
            Self::Settling => "settling",
            Self::NoSubject => "no-subject",
        }
    }
}

/// One example: an organisation `acme` with the repository `shop`, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Example {
    /// What it shows.
    pub shows: Shows,
    /// What happened, in a sentence.
    pub story: String,
    /// FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE, where it is stated.
    pub immutable_tags_can_expire: Option<bool>,
    /// Where the organisation's images come from.
    #[serde(default)]
    pub source: ExampleSource,
    /// Rows of `tag`, all in acme/shop.
    #[serde(default)]
    pub tag: Vec<ExampleTag>,
    /// Rows of the policy tables.
    #[serde(default)]
    pub policy: Vec<ExamplePolicy>,
    /// Unfinished operations about acme.
    #[serde(default)]
    pub operation: Vec<ExampleOperation>,
}

/// Where an organisation's images come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleSource {
    /// Pushes.
    #[default]
    Pushes,
    /// Another registry, on a schedule.
    Mirror,
    /// Another registry, on demand.
    ProxyCache,
}

/// A tag of an example.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExampleTag {
    /// `name`.
    pub name: String,
    /// `immutable`.
    #[serde(default)]
    pub immutable: bool,
    /// `hidden`.
    #[serde(default)]
    pub hidden: bool,
    /// When it ends, or ended.
    pub ends: Option<ExampleEnd>,
    /// What is known about it.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// When a tag ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleEnd {
    /// In the future.
    Later,
    /// In the past.
    Before,
}

/// What a policy of an example governs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleScope {
    /// The namespace acme.
    #[default]
    Namespace,
    /// The repository acme/shop.
    Repository,
}

/// How old a policy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleAge {
    /// Older than every limit.
    Old,
    /// Just created.
    New,
    /// `created_date` is NULL.
    #[default]
    Unknown,
}

/// Whether a worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleWorker {
    /// It does.
    Live,
    /// It does not.
    Gone,
}

/// A policy of an example.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExamplePolicy {
    /// `tag_pattern`.
    pub pattern: Option<String>,
    /// `tag_pattern_matches`.
    pub matches: Option<bool>,
    /// The stored text itself, instead of a pattern.
    pub text: Option<String>,
    /// What it governs.
    #[serde(default)]
    pub of: ExampleScope,
    /// `active` is false.
    #[serde(default)]
    pub inactive: bool,
    /// How old it is.
    #[serde(default)]
    pub age: ExampleAge,
    /// The row's `namespace_id` is another namespace's.
    #[serde(default)]
    pub in_another_namespace: bool,
    /// The worker of the unfinished operation that owns it, where one does.
    pub owner: Option<ExampleWorker>,
    /// An operation left it inactive on purpose.
    #[serde(default)]
    pub staged: bool,
    /// The operator has accepted that it cannot be decided.
    #[serde(default)]
    pub accepted: bool,
}

/// An unfinished operation of an example.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExampleOperation {
    /// Whether its worker lives.
    pub worker: ExampleWorker,
}

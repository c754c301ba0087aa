//! The vocabulary of rule files: subjects, facts about them, evidence that excuses them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a rule is about: one row of this kind at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A row of `tag`.
    Tag,
    /// A row of one of the two policy tables.
    Policy,
}

/// One thing that can be true of a subject. A fact may also be unknown; what follows from an
/// unknown fact is undecided, never assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// Tag: not hidden, and without an end or with one in the future.
    Live,
    /// Tag: `immutable` is true.
    Immutable,
    /// Tag: `immutable` is false.
    Mutable,
    /// Tag: an active policy of its repository, or of the repository's namespace, makes it
    /// immutable when it is pushed.
    MatchedByActivePolicy,
    /// Policy: `active` is true, or the column does not exist.
    Active,
    /// Policy: `active` is false.
    Inactive,
    /// Policy: an operation with a live worker owns it.
    OwnedByLiveOperation,
    /// Policy: `created_date` is less than `--stale-after` ago. An unknown date is old.
    Young,
    /// Policy: an operation left it inactive on purpose.
    StagedOnPurpose,
}

impl Fact {
    /// The subject that the fact is about.
    pub fn subject(self) -> SubjectKind {
        match self {
            Self::Live | Self::Immutable | Self::Mutable | Self::MatchedByActivePolicy => {
                SubjectKind::Tag
            }
            Self::Active
            | Self::Inactive
            | Self::OwnedByLiveOperation
            | Self::Young
            | Self::StagedOnPurpose => SubjectKind::Policy,
        }
    }
}

/// What can account for a tag whose state no policy accounts for. Where it is found, the tag is
/// reported as explained, and counted as a violation only when that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The manifest carries the label `quay.immutable=true` (registry_oci_model.py:631-661).
    Label,
    /// The newest audit entry of the tag says that a user set its immutability.
    SetByUser,
    /// The newest audit entry of the tag says that an administrator took its immutability off.
    TakenOffByAdministrator,
    /// Somebody has declared that the tag is meant to stay immutable.
    Kept,
    /// A live operation is at work on the tag.
    LiveOperation,
}

/// Names as they stand in rule files, for messages.
macro_rules! name_as_typed {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match serde_json::to_value(self) {
                    Ok(serde_json::Value::String(name)) => f.write_str(&name),
                    _ => write!(f, "{self:?}"),
                }
            }
        }
    )*};
}
name_as_typed!(SubjectKind, Fact, Evidence);

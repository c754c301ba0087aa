//! Corrections: a closed set. Each has a precondition, a change, and its inverse in the journal.

use serde::{Deserialize, Serialize};

use crate::evaluate::{PolicySubject, TagSubject};
use crate::quay::{RepositoryId, TagId, UnixMillis};

/// A tag that a correction is about, with the state that the plan expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagTarget {
    /// The tag as it was judged.
    pub subject: TagSubject,
}

impl TagTarget {
    /// The tag's id.
    pub fn id(&self) -> TagId {
        self.subject.row.id
    }

    /// Its repository: corrections are carried out a repository at a time.
    pub fn repository(&self) -> RepositoryId {
        self.subject.row.repository
    }
}

/// What becomes of a tag's expiry when it is made immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpiryChange {
    /// It has none, or immutable tags may expire.
    Untouched,
    /// It is cleared, as Quay does where immutable tags cannot expire.
    Cleared(UnixMillis),
    /// It would have to be known whether immutable tags may expire.
    NotKnown(UnixMillis),
}

/// One correction. In a plan's document the variant is the remedy, and what it holds is the state
/// that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "remedy", content = "expects", rename_all = "kebab-case")]
pub enum Correction {
    /// Make an orphan mutable again, with the expiry that the journal knows.
    Release(TagTarget),
    /// Make a tag immutable, as its policy says.
    Protect(TagTarget, ExpiryChange),
    /// Declare that an orphan is meant to stay immutable; the tag itself is not changed.
    Keep(TagTarget),
    /// Delete an inactive policy that nothing is at work on.
    DeletePolicy(PolicySubject),
}

impl Correction {
    /// The tag that it is about.
    pub fn tag(&self) -> Option<&TagTarget> {
        match self {
            Self::Release(tag) | Self::Protect(tag, _) | Self::Keep(tag) => Some(tag),
            Self::DeletePolicy(_) => None,
        }
    }

    /// What it does, in a word.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Release(_) => "release",
            Self::Protect(..) => "protect",
            Self::Keep(_) => "keep",
            Self::DeletePolicy(_) => "delete",
        }
    }

    /// Whether somebody's protection is taken away: such a batch holds the policy tables.
    pub fn takes_protection_away(&self) -> bool {
        matches!(self, Self::Release(_))
    }
}

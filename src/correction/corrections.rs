//! Corrections: a closed set. Each has a precondition, a change, and its inverse in the journal.

use serde::{Deserialize, Serialize};

use super::Operation;
use super::operations::scope_of;
use crate::evaluate::{PolicySubject, PolicyTwin, TagSubject};
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
///
/// The precondition of each is that its rule is still violated by that row, evidence considered,
/// when the row is locked; what more it asks for stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "remedy", content = "expects", rename_all = "kebab-case")]
pub enum Correction {
    /// Make a tag mutable again, with the expiry that the journal knows. Inverse: immutable again,
    /// without it.
    Release(TagTarget),
    /// Make a tag immutable, as its policy says. Inverse: mutable again, with its expiry.
    Protect(TagTarget, ExpiryChange),
    /// Take an immutable tag's expiry away, where it lies beyond the clocks' margin and no other
    /// row of the name is alive. Inverse: the expiry, unless it has passed.
    ClearExpiry(TagTarget, UnixMillis),
    /// Declare that an orphan is meant to stay immutable; the tag itself is not changed. Inverse:
    /// the declaration is withdrawn.
    Keep(TagTarget),
    /// Delete an inactive policy that no operation owns. Inverse: the row, byte for byte.
    DeletePolicy(PolicySubject),
    /// Delete a policy that another one of its scope repeats, which stays. Inverse: the row, while
    /// one that decides alike is active.
    Merge(PolicySubject, PolicyTwin),
    /// Delete a policy that one of another scope covers, which stays. Inverse: the same.
    DeleteCovered(PolicySubject, PolicyTwin),
    /// Write the repository's namespace into its policy's row. Inverse: the namespace that was
    /// there.
    MendNamespace(PolicySubject),
    /// Conduct an operation on a policy, linked to the run. Inverse: the operation is taken back.
    Operation(Operation),
}

impl Correction {
    /// The tag that it is about.
    pub fn tag(&self) -> Option<&TagTarget> {
        match self {
            Self::Release(tag)
            | Self::Protect(tag, _)
            | Self::ClearExpiry(tag, _)
            | Self::Keep(tag) => Some(tag),
            _ => None,
        }
    }

    /// The policy row that it is about.
    pub fn policy(&self) -> Option<&PolicySubject> {
        match self {
            Self::DeletePolicy(policy)
            | Self::Merge(policy, _)
            | Self::DeleteCovered(policy, _)
            | Self::MendNamespace(policy) => Some(policy),
            Self::Operation(operation) => operation.policy(),
            _ => None,
        }
    }

    /// The operation that it is.
    pub fn operation(&self) -> Option<&Operation> {
        match self {
            Self::Operation(operation) => Some(operation),
            _ => None,
        }
    }

    /// What it does, in a word: the remedy's name.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Release(_) => "release",
            Self::Protect(..) => "protect",
            Self::ClearExpiry(..) => "clear-expiry",
            Self::Keep(_) => "keep",
            Self::DeletePolicy(_) | Self::DeleteCovered(..) => "delete",
            Self::Merge(..) => "merge",
            Self::MendNamespace(_) => "mend-namespace",
            Self::Operation(operation) => operation.verb(),
        }
    }

    /// What it does, in a sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Release(tag) => format!("makes {} mutable again", tag.name()),
            Self::Protect(tag, ExpiryChange::Untouched) => {
                format!("makes {} immutable", tag.name())
            }
            Self::Protect(tag, _) => {
                format!("makes {} immutable and clears its expiry", tag.name())
            }
            Self::ClearExpiry(tag, _) => format!("clears the expiry of {}", tag.name()),
            Self::Keep(tag) => format!("declares {} to be meant to stay immutable", tag.name()),
            Self::DeletePolicy(policy) => format!(
                "deletes the inactive policy {} (`{}`) of {}",
                policy.uuid.0,
                policy.pattern,
                scope_of(policy)
            ),
            Self::Merge(policy, twin) | Self::DeleteCovered(policy, twin) => format!(
                "deletes policy {} (`{}`) of {}; policy {} stays and decides alike",
                policy.uuid.0,
                policy.pattern,
                scope_of(policy),
                twin.uuid.0
            ),
            Self::MendNamespace(policy) => format!(
                "writes the namespace {} into policy {} (`{}`) of {}",
                policy.namespace,
                policy.uuid.0,
                policy.pattern,
                scope_of(policy)
            ),
            Self::Operation(operation) => operation.sentence(),
        }
    }

    /// Whether somebody's protection is taken away: such a batch holds the policy tables.
    pub fn takes_protection_away(&self) -> bool {
        matches!(self, Self::Release(_))
    }

    /// Whether a policy's row is gone afterwards.
    pub(super) fn removes_a_policy(&self) -> bool {
        matches!(
            self,
            Self::DeletePolicy(_)
                | Self::Merge(..)
                | Self::DeleteCovered(..)
                | Self::Operation(Operation::Delete(_))
        )
    }
}

impl TagTarget {
    fn name(&self) -> String {
        let TagSubject {
            namespace,
            repository,
            row,
            ..
        } = &self.subject;
        format!("{namespace}/{repository}:{}", row.name)
    }
}

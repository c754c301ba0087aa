//! Corrections that are operations: conducted phase by phase elsewhere, only described here.

use serde::{Deserialize, Serialize};

use crate::evaluate::{OperationSubject, PolicySubject};
use crate::quay::{OperationId, Polarity, StoredPolicy};

/// An operation that a run conducts.
///
/// None of them is a plain change of a policy's row: a policy that becomes active has to be applied
/// to its tags first, one that goes has to be waited for, and both are what policy operations do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", content = "of", rename_all = "kebab-case")]
pub enum Operation {
    /// Create a lost policy again. Taken back: its row goes, then its marks.
    Recreate(Recreation),
    /// Apply an inactive policy to its tags and activate it. Taken back: inactive again, and its
    /// marks go.
    Activate(PolicySubject, Impact),
    /// Set an active policy inactive; its tags are declared to be meant. Taken back: active again,
    /// with what was pushed meanwhile.
    Deactivate(PolicySubject),
    /// Delete a policy; its tags are declared to be meant. Taken back: the row, and then the same.
    Delete(PolicySubject),
    /// End an operation that was interrupted. Taken back: a creation or an activation that was
    /// finished, as a whole; nothing else.
    Recover(Interrupted, Recovery),
}

/// An operation that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interrupted {
    /// Its id.
    pub id: OperationId,
    /// What it is, as the journal spells it.
    pub kind: String,
    /// The namespace's name; empty for a fix run, which is about no single scope.
    pub namespace: String,
    /// The repository's name, for an operation on a repository's policy.
    pub repository: Option<String>,
}

impl From<&OperationSubject> for Interrupted {
    fn from(subject: &OperationSubject) -> Self {
        Self {
            id: subject.id,
            kind: subject.kind.to_owned(),
            namespace: subject.namespace.clone(),
            repository: subject.repository.clone(),
        }
    }
}

/// How an interrupted operation is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovery {
    /// The rest of it is done.
    Resume,
    /// What it did is taken back, where it is not activated yet.
    RollBack,
}

/// What a policy does to existing tags, as far as that was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impact {
    /// Live mutable tags that become immutable.
    pub becomes_immutable: u64,
    /// Of these, those whose expiry is cleared.
    pub expiries_cleared: u64,
    /// Of these, those whose expiry is at stake: it is not stated whether immutable tags may expire.
    pub expiries_not_stated: u64,
}

/// A policy to create again, where it was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recreation {
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name, for a policy of one repository.
    pub repository: Option<String>,
    /// The policy.
    pub policy: StoredPolicy,
    /// Orphans that it explains.
    pub explains: u64,
    /// What it does to the other tags.
    pub impact: Impact,
}

impl Operation {
    /// The policy that is there already.
    pub fn policy(&self) -> Option<&PolicySubject> {
        match self {
            Self::Activate(policy, _) | Self::Deactivate(policy) | Self::Delete(policy) => {
                Some(policy)
            }
            Self::Recreate(_) | Self::Recover(..) => None,
        }
    }

    /// What it does to existing tags, where it applies a policy.
    pub fn impact(&self) -> Option<Impact> {
        match self {
            Self::Recreate(recreation) => Some(recreation.impact),
            Self::Activate(_, impact) => Some(*impact),
            _ => None,
        }
    }

    /// What it does to existing tags, for whoever counts it.
    pub fn impact_mut(&mut self) -> Option<&mut Impact> {
        match self {
            Self::Recreate(recreation) => Some(&mut recreation.impact),
            Self::Activate(_, impact) => Some(impact),
            _ => None,
        }
    }

    /// Where: namespace and repository, each empty where there is none.
    pub fn place(&self) -> (&str, &str) {
        let (namespace, repository) = match self {
            Self::Recreate(of) => (&of.namespace, &of.repository),
            Self::Activate(of, _) | Self::Deactivate(of) | Self::Delete(of) => {
                (&of.namespace, &of.repository)
            }
            Self::Recover(of, _) => (&of.namespace, &of.repository),
        };
        (namespace, repository.as_deref().unwrap_or_default())
    }

    /// What it does, in a word: the remedy's name.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Recreate(_) => "recreate",
            Self::Activate(..) => "activate",
            Self::Deactivate(_) => "deactivate",
            Self::Delete(_) => "delete",
            Self::Recover(_, Recovery::Resume) => "resume",
            Self::Recover(_, Recovery::RollBack) => "roll-back",
        }
    }

    /// What it does, in a sentence for people.
    pub fn sentence(&self) -> String {
        let named = |policy: &PolicySubject| {
            format!(
                "policy {} (`{}`) of {}",
                policy.uuid.0,
                policy.pattern,
                scope_of(policy)
            )
        };
        match self {
            Self::Recreate(of) => format!(
                "creates the policy `{}`{} in {}: it explains {}, and {}",
                of.policy.pattern,
                match of.policy.polarity {
                    Polarity::Matching => "",
                    Polarity::NotMatching => " (what does not match is immutable)",
                },
                place(&of.namespace, of.repository.as_deref()),
                tags(of.explains, "orphan"),
                of.impact.says(),
            ),
            Self::Activate(policy, impact) => format!(
                "applies {} to its tags and activates it: {}",
                named(policy),
                impact.says()
            ),
            Self::Deactivate(policy) => format!(
                "sets {} inactive; its tags are declared to be meant",
                named(policy)
            ),
            Self::Delete(policy) => {
                format!(
                    "deletes {}; its tags are declared to be meant",
                    named(policy)
                )
            }
            Self::Recover(operation, Recovery::Resume) => {
                format!("finishes operation {} ({})", operation.id, operation.kind)
            }
            Self::Recover(operation, Recovery::RollBack) => {
                format!("takes operation {} ({}) back", operation.id, operation.kind)
            }
        }
    }
}

impl Impact {
    fn says(self) -> String {
        let becomes = tags(self.becomes_immutable, "mutable tag");
        match self.expiries_cleared + self.expiries_not_stated {
            0 => format!("makes {becomes} immutable"),
            some => format!("makes {becomes} immutable ({some} with an expiry)"),
        }
    }
}

/// A policy's scope, for people.
pub(super) fn scope_of(policy: &PolicySubject) -> String {
    place(&policy.namespace, policy.repository.as_deref())
}

fn place(namespace: &str, repository: Option<&str>) -> String {
    repository.map_or_else(
        || namespace.to_owned(),
        |repository| format!("{namespace}/{repository}"),
    )
}

fn tags(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

//! Entries of Quay's audit log that speak of immutability.

use serde::{Deserialize, Serialize};

use super::Immutability;

/// The key by which entries written by this program are told from a user's acts.
pub const MARK_KEY: &str = "quay_doctor_operation";

/// Kinds of audit entries, looked up by name: their ids depend on how Quay's migrations were run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// A user set or took off one tag's immutability (also written when nothing changed).
    ChangeTagImmutability,
    /// A push was made immutable by a policy; `repo` is null and `repository_id` NULL.
    TagMadeImmutableByPolicy,
    /// A policy's retroactive pass ended.
    TagsMadeImmutableByPolicy,
    /// A policy was created; no uuid in the entry.
    CreateImmutabilityPolicy,
    /// A policy was changed; no uuid in the entry.
    UpdateImmutabilityPolicy,
    /// A policy was deleted; uuid, but no pattern in the entry.
    DeleteImmutabilityPolicy,
}

impl AuditKind {
    /// `logentrykind.name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChangeTagImmutability => "change_tag_immutability",
            Self::TagMadeImmutableByPolicy => "tag_made_immutable_by_policy",
            Self::TagsMadeImmutableByPolicy => "tags_made_immutable_by_policy",
            Self::CreateImmutabilityPolicy => "create_immutability_policy",
            Self::UpdateImmutabilityPolicy => "update_immutability_policy",
            Self::DeleteImmutabilityPolicy => "delete_immutability_policy",
        }
    }
}

/// What a `change_tag_immutability` entry says happened to its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImmutabilityChange {
    /// A user set it, or confirmed it.
    Set,
    /// An administrator took it off: `immutable` false where `previous_immutable` was true.
    TakenOff,
    /// It was off and stayed off: says nothing.
    StayedOff,
}

/// The keys of the entry's `metadata_json` that matter here.
#[derive(Deserialize)]
struct Metadata {
    username: Option<String>,
    tag: Option<String>,
    immutable: Option<bool>,
    previous_immutable: Option<bool>,
    #[serde(rename = "quay_doctor_operation")]
    mark: Option<serde_json::Value>,
}

impl ImmutabilityChange {
    /// Reads the metadata of a `change_tag_immutability` entry: the tag's name and the change.
    ///
    /// `None` where the entry is one of ours, or does not have the shape that Quay writes: such an
    /// entry is nobody's act that we could name.
    pub fn from_metadata(metadata_json: &str) -> Option<(String, Self)> {
        let metadata: Metadata = serde_json::from_str(metadata_json).ok()?;
        if metadata.mark.is_some() {
            return None;
        }
        let change = match Immutability::from_column(metadata.immutable?) {
            Immutability::Immutable => Self::Set,
            Immutability::Mutable if metadata.previous_immutable == Some(true) => Self::TakenOff,
            Immutability::Mutable => Self::StayedOff,
        };
        Some((metadata.tag?, change))
    }

    /// Who did it, where the entry says.
    pub fn username(metadata_json: &str) -> Option<String> {
        serde_json::from_str::<Metadata>(metadata_json)
            .ok()?
            .username
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_ours_is_nobodys_act() {
        let quays = r#"{"tag":"v1","immutable":true,"previous_immutable":false,"repo":"r"}"#;
        assert_eq!(
            ImmutabilityChange::from_metadata(quays),
            Some(("v1".to_owned(), ImmutabilityChange::Set))
        );
        let ours = r#"{"tag":"v1","immutable":true,"quay_doctor_operation":7}"#;
        assert_eq!(ImmutabilityChange::from_metadata(ours), None);
        assert!(ours.contains(MARK_KEY));
    }

    #[test]
    fn taking_off_counts_only_where_it_was_on() {
        let off = r#"{"tag":"v1","immutable":false,"previous_immutable":true}"#;
        let stayed = r#"{"tag":"v1","immutable":false,"previous_immutable":false}"#;
        let silent = r#"{"tag":"v1","immutable":false}"#;
        let change = |text| ImmutabilityChange::from_metadata(text).map(|(_, change)| change);
        assert_eq!(change(off), Some(ImmutabilityChange::TakenOff));
        assert_eq!(change(stayed), Some(ImmutabilityChange::StayedOff));
        assert_eq!(change(silent), Some(ImmutabilityChange::StayedOff));
        assert_eq!(change("[1]"), None);
    }
}

//! Entries of Quay's audit log that speak of immutability.

use serde::Serialize;
use serde_json::Value;

use super::python_json::made_strict;

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

/// What a `change_tag_immutability` entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedChange {
    /// The tag's name.
    pub tag: String,
    /// What happened to it.
    pub change: ImmutabilityChange,
    /// Who did it, where the entry says.
    pub user: Option<String>,
}

impl AuditedChange {
    /// Reads the metadata of a `change_tag_immutability` entry, as Python's `json.loads` would.
    ///
    /// `None` where the entry is one of ours, or does not have the shape that Quay writes: such an
    /// entry is nobody's act that we could name.
    pub fn from_metadata(metadata_json: &str) -> Option<Self> {
        let metadata: Value = serde_json::from_str(metadata_json)
            .or_else(|_| serde_json::from_str(&made_strict(metadata_json)))
            .ok()?;
        if metadata.get(MARK_KEY).is_some_and(|mark| !mark.is_null()) {
            return None;
        }
        let change = match metadata.get("immutable")?.as_bool()? {
            true => ImmutabilityChange::Set,
            false if metadata["previous_immutable"] == Value::Bool(true) => {
                ImmutabilityChange::TakenOff
            }
            false => ImmutabilityChange::StayedOff,
        };
        Some(Self {
            tag: metadata.get("tag")?.as_str()?.to_owned(),
            change,
            user: metadata["username"].as_str().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_ours_is_nobodys_act() {
        let quays = r#"{"tag":"v1","immutable":true,"previous_immutable":false,"repo":"r"}"#;
        let read = AuditedChange::from_metadata(quays).expect("an act");
        assert_eq!((&*read.tag, read.change), ("v1", ImmutabilityChange::Set));
        let ours = r#"{"tag":"v1","immutable":true,"quay_doctor_operation":7}"#;
        assert_eq!(AuditedChange::from_metadata(ours), None);
        assert!(ours.contains(MARK_KEY));
    }

    #[test]
    fn taking_off_counts_only_where_it_was_on() {
        let off = r#"{"tag":"v1","immutable":false,"previous_immutable":true}"#;
        let stayed = r#"{"tag":"v1","immutable":false,"previous_immutable":false}"#;
        let silent = r#"{"tag":"v1","immutable":false}"#;
        let change = |text| AuditedChange::from_metadata(text).map(|read| read.change);
        assert_eq!(change(off), Some(ImmutabilityChange::TakenOff));
        assert_eq!(change(stayed), Some(ImmutabilityChange::StayedOff));
        assert_eq!(change(silent), Some(ImmutabilityChange::StayedOff));
        assert_eq!(change("[1]"), None);
    }

    #[test]
    fn what_python_reads_beside_the_tag_takes_no_act_away() {
        for beside in [
            r#""username": "\ud800""#,
            r#""username": 7"#,
            r#""x": NaN"#,
            r#""tag": "another", "x": {"tag": "v2"}"#,
        ] {
            let text = format!(r#"{{{beside}, "immutable": true, "tag": "v\u0031"}}"#);
            let read = AuditedChange::from_metadata(&text);
            assert_eq!(read.map(|read| read.tag).as_deref(), Some("v1"), "{text}");
        }
    }
}

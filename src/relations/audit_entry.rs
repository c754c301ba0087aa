//! Entries of Quay's audit log that we write, each with our mark.

use crate::pg::{PgError, WriteTransaction};
use crate::quay::{
    AuditKind, Immutability, MARK_KEY, NamespaceId, OperationId, RepositoryId, dumps,
};

/// One marked `change_tag_immutability` entry, as Quay would have written it for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedChange {
    /// The tag's name.
    pub tag: String,
    /// Its repository.
    pub repository: RepositoryId,
    /// The repository's name.
    pub repository_name: String,
    /// Its namespace; the entry's account.
    pub namespace: NamespaceId,
    /// The namespace's name.
    pub namespace_name: String,
    /// As the tag was.
    pub before: Immutability,
    /// As it is now.
    pub after: Immutability,
}

/// Writes one marked entry a tag into `logentry3`, in the transaction of the change. Nothing is
/// written where Quay has no such kind: it is then older than immutability.
///
/// # Errors
/// [`PgError`] where the rows cannot be written.
pub fn write_marked_changes(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    actor: &str,
    changes: &[MarkedChange],
) -> Result<(), PgError> {
    let accounts: Vec<i32> = changes.iter().map(|change| change.namespace.0).collect();
    let repositories: Vec<i32> = changes.iter().map(|change| change.repository.0).collect();
    let metadata: Vec<String> = changes
        .iter()
        .map(|change| {
            // Quay's own keys, in its order, and then the mark.
            dumps(&serde_json::json!({
                "username": actor,
                "repo": change.repository_name,
                "tag": change.tag,
                "namespace": change.namespace_name,
                "immutable": change.after.as_column(),
                "previous_immutable": change.before.as_column(),
                MARK_KEY: operation,
            }))
        })
        .collect();
    tx.execute(
        r"
        INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
        SELECT k.id, entry.account_id, entry.repository_id,
            timezone('utc', clock_timestamp()), entry.metadata_json
        FROM logentrykind k,
            unnest($2::int[], $3::int[], $4::text[])
                AS entry (account_id, repository_id, metadata_json)
        WHERE k.name = $1
        ",
        &[
            &AuditKind::ChangeTagImmutability.name(),
            &accounts,
            &repositories,
            &metadata,
        ],
    )?;
    Ok(())
}

/// An entry about a policy, as Quay would have written it, and marked.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyEntry<'a> {
    /// Its kind.
    pub kind: AuditKind,
    /// The namespace; the entry's account.
    pub namespace: NamespaceId,
    /// The namespace's name.
    pub namespace_name: &'a str,
    /// The repository of a repository's policy, with its name.
    pub repository: Option<(RepositoryId, &'a str)>,
    /// What the kind says beyond that.
    pub says: serde_json::Value,
}

/// Writes an entry about a policy into `logentry3`, in the transaction that makes it true.
///
/// # Errors
/// [`PgError`] where the row cannot be written.
pub fn write_policy_entry(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    entry: &PolicyEntry<'_>,
) -> Result<(), PgError> {
    let mut metadata = serde_json::json!({ "namespace": entry.namespace_name });
    if let Some((_, name)) = entry.repository {
        metadata["repo"] = name.into();
    }
    if let Some(says) = entry.says.as_object() {
        for (key, value) in says {
            metadata[key] = value.clone();
        }
    }
    metadata[MARK_KEY] = serde_json::json!(operation);
    tx.execute(
        r"
        INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
        SELECT k.id, $2, $3, timezone('utc', clock_timestamp()), $4
        FROM logentrykind k
        WHERE k.name = $1
        ",
        &[
            &entry.kind.name(),
            &entry.namespace.0,
            &entry.repository.map(|(id, _)| id.0),
            &dumps(&metadata),
        ],
    )?;
    Ok(())
}

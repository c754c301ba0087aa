//! Keep evidence: what somebody has declared to be meant.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::JournalError;
use super::operation::{Identity, scope};
use crate::pg::{Columns, Statements, WriteTransaction};
use crate::quay::{NamespaceId, OperationId, PolicyText, RepositoryId, Scope, TagId};

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptWhat {
    /// One tag row.
    Tag(TagId),
    /// Every tag of the scope that this policy text makes immutable.
    Policy(PolicyText),
}

/// One declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub scope: Scope,
    /// What.
    pub what: KeptWhat,
    /// Who declared it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// The declarations in force about these tags, or about whole scopes that may hold them.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn kept(
    pg: &mut impl Statements,
    tags: &[TagId],
    repositories: &[RepositoryId],
    namespaces: &[NamespaceId],
) -> Result<Vec<Kept>, JournalError> {
    let tags: Vec<i32> = tags.iter().map(|id| id.0).collect();
    let repositories: Vec<i32> = repositories.iter().map(|id| id.0).collect();
    let namespaces: Vec<i32> = namespaces.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r"
        SELECT scope_kind, scope_id, tag_id, policy_text, actor, reason
        FROM quay_doctor.kept
        WHERE withdrawn_at IS NULL
            AND (tag_id = ANY ($1)
                OR policy_text IS NOT NULL
                    AND (scope_kind = 'repository' AND scope_id = ANY ($2)
                        OR scope_kind = 'namespace' AND scope_id = ANY ($3)))
        ORDER BY id
        ",
        &[&tags, &repositories, &namespaces],
    )?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(scope) = scope(row.read(0)?, row.read(1)?)? else {
            return Err(JournalError::Unreadable("kept without a scope".to_owned()));
        };
        let what = match (row.read::<Option<i32>>(2)?, row.read::<Option<String>>(3)?) {
            (Some(tag), _) => KeptWhat::Tag(TagId(tag)),
            (None, Some(text)) => KeptWhat::Policy(PolicyText(text)),
            (None, None) => return Err(JournalError::Unreadable("kept without a what".to_owned())),
        };
        found.push(Kept {
            scope,
            what,
            actor: row.read(4)?,
            reason: row.read(5)?,
        });
    }
    Ok(found)
}

/// Which of these tags were declared to be meant, one by one, since a moment.
///
/// # Errors
/// [`JournalError`] where the server does not answer.
pub fn kept_since(
    pg: &mut impl Statements,
    tags: &[TagId],
    since: DateTime<Utc>,
) -> Result<HashSet<TagId>, JournalError> {
    let tags: Vec<i32> = tags.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r"
        SELECT tag_id FROM quay_doctor.kept
        WHERE tag_id = ANY ($1) AND withdrawn_at IS NULL AND kept_at >= $2
        ",
        &[&tags, &since],
    )?;
    let mut kept = HashSet::new();
    for row in &rows {
        kept.insert(TagId(row.read(0)?));
    }
    Ok(kept)
}

/// Declares that tags of a repository stay immutable.
///
/// # Errors
/// [`JournalError`] where the rows cannot be written.
pub fn record_kept(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    repository: RepositoryId,
    tags: &[TagId],
    who: &Identity,
) -> Result<(), JournalError> {
    if tags.is_empty() {
        return Ok(());
    }
    let tags: Vec<i32> = tags.iter().map(|id| id.0).collect();
    tx.execute(
        r"
        INSERT INTO quay_doctor.kept (operation_id, scope_kind, scope_id, tag_id, actor, reason)
        SELECT $1, 'repository', $2, tag, $4, $5
        FROM unnest($3::int[]) AS tag
        ",
        &[&operation.0, &repository.0, &tags, &who.actor, &who.reason],
    )?;
    Ok(())
}

/// Declares that every tag of a scope that a policy's text makes immutable stays so.
///
/// # Errors
/// [`JournalError`] where the row cannot be written.
pub fn record_kept_policy(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    scope: Scope,
    text: &PolicyText,
    who: &Identity,
) -> Result<(), JournalError> {
    let (kind, id) = match scope {
        Scope::Namespace(id) => ("namespace", id.0),
        Scope::Repository(id) => ("repository", id.0),
    };
    tx.execute(
        r"
        INSERT INTO quay_doctor.kept
            (operation_id, scope_kind, scope_id, policy_text, actor, reason)
        VALUES ($1, $2, $3, $4, $5, $6)
        ",
        &[&operation.0, &kind, &id, &text.0, &who.actor, &who.reason],
    )?;
    Ok(())
}

/// Withdraws everything that an operation declared; how many declarations there were.
///
/// # Errors
/// [`JournalError`] where the rows cannot be written.
pub fn withdraw_kept(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
) -> Result<u64, JournalError> {
    Ok(tx.execute(
        r"
        UPDATE quay_doctor.kept SET withdrawn_at = clock_timestamp()
        WHERE operation_id = $1 AND withdrawn_at IS NULL
        ",
        &[&operation.0],
    )?)
}

//! A policy operation's row: what it says, how it begins, how it is found.
//!
//! The row is the only truth about how far an operation is: after every reconnection phase, cursor
//! and fence are read from it, never remembered. A failover may have lost the last batches.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::JournalError;
use super::operation::{Identity, Kind, Phase, scope};
use crate::pg::{Columns, Row, Statements, WriteTransaction};
use crate::quay::{OperationId, PolicyText, PolicyUuid, RepositoryId, RunId, Scope, TagId};

/// What becomes of tags that a policy no longer covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagsChoice {
    /// They stay immutable; that is written down as evidence.
    Keep,
    /// They become mutable again where nothing else makes them immutable.
    Release,
}

/// What an operation was asked for beyond its configuration; whoever takes it over needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationOptions {
    /// Whether the policy is meant to stay inactive.
    #[serde(default)]
    pub inactive: bool,
    /// What becomes of tags that are no longer covered.
    #[serde(default)]
    pub tags: Option<TagsChoice>,
    /// The inactive row that stages an update.
    #[serde(default)]
    pub staged: Option<PolicyUuid>,
    /// Whether immutable tags may expire, where it was stated.
    #[serde(default)]
    pub can_expire: Option<bool>,
    /// Whether the Quay in front of the database knows the column `active`, where it was stated.
    #[serde(default)]
    pub quay_knows_active: Option<bool>,
    /// Whether Quay's audit log is to be written.
    #[serde(default)]
    pub audit: bool,
    /// The newest entry of Quay's log before it began: later acts are known by their ids.
    #[serde(default)]
    pub last_entry_before: Option<i64>,
    /// `atomic` or `phased`.
    #[serde(default)]
    pub strategy: String,
    /// Whether an expiration that has passed is written back; not written down by older versions.
    #[serde(default)]
    pub restore_past_expiry: Option<bool>,
    /// How far clocks may be apart, in milliseconds; not written down by older versions.
    #[serde(default)]
    pub clock_margin_ms: Option<i64>,
    /// Only tags with greater ids are marked: the policy was in force before, and what was left
    /// mutable under it then stays as it is.
    #[serde(default)]
    pub only_after: Option<i64>,
}

/// Where the walk over a scope has arrived: everything up to and with this row is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The repository.
    pub repository: RepositoryId,
    /// The tag's name.
    pub name: String,
    /// The tag.
    pub tag: TagId,
}

/// What an operation has done so far, or a batch adds to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Live tags that the pattern makes immutable, as far as they were looked at.
    pub matched: u64,
    /// Tags changed.
    pub changed: u64,
    /// Tags that could not be changed as asked.
    pub skipped: u64,
    /// Expiry dates cleared.
    pub expirations_cleared: u64,
    /// Write transactions.
    pub batches: u64,
    /// The longest of them, in milliseconds.
    pub longest_batch_ms: u64,
}

/// An operation as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyOperation {
    /// Its id.
    pub id: OperationId,
    /// What it is.
    pub kind: Kind,
    /// How far it is.
    pub phase: Phase,
    /// What the policy governs.
    pub scope: Scope,
    /// The policy.
    pub policy: PolicyUuid,
    /// Its text before, where there was one.
    pub before: Option<PolicyText>,
    /// Its text after, where there is to be one.
    pub after: Option<PolicyText>,
    /// What else was asked for.
    pub options: OperationOptions,
    /// Where the walk is.
    pub cursor: Option<Cursor>,
    /// `tag_id_seq`'s last value before it began: later rows were pushed since.
    pub last_tag_id_before: i64,
    /// What every batch compares.
    pub fence: Uuid,
    /// Who works, or worked, on it.
    pub worker: String,
    /// Who asked for it.
    pub actor: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// What it has done.
    pub sums: Sums,
}

/// What a new operation is.
#[derive(Clone, Debug)]
pub struct NewOperation<'a> {
    /// What it is.
    pub kind: Kind,
    /// The phase that it begins in.
    pub phase: Phase,
    /// What the policy governs.
    pub scope: Scope,
    /// The namespace's name and, for a repository's policy, the repository's.
    pub names: (&'a str, Option<&'a str>),
    /// The policy.
    pub policy: &'a PolicyUuid,
    /// Its text before.
    pub before: Option<&'a PolicyText>,
    /// Its text after.
    pub after: Option<&'a PolicyText>,
    /// What else was asked for.
    pub options: &'a OperationOptions,
    /// `tag_id_seq`'s last value, read before the policy row was written.
    pub last_tag_id_before: i64,
    /// The fix run that conducts it.
    pub parent: Option<RunId>,
    /// Made by the caller, who can find the row by it where the answer to COMMIT is lost.
    pub fence: Uuid,
}

/// Writes the row of a new operation.
///
/// # Errors
/// [`JournalError`] where it cannot be written.
pub fn begin_operation(
    tx: &mut WriteTransaction<'_>,
    new: &NewOperation<'_>,
    who: &Identity,
) -> Result<OperationId, JournalError> {
    let (scope_kind, scope_id) = match new.scope {
        Scope::Namespace(id) => ("namespace", id.0),
        Scope::Repository(id) => ("repository", id.0),
    };
    let ended = matches!(new.phase, Phase::Done | Phase::RolledBack);
    let row = tx.query_one(
        r"
        INSERT INTO quay_doctor.operation
            (kind, phase, scope_kind, scope_id, namespace_name, repository_name, policy_uuid,
             policy_before, policy_after, options, last_tag_id_before, fence, worker, actor,
             reason, tool_version, finished_at, parent_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
            CASE WHEN $17 THEN clock_timestamp() END, $18)
        RETURNING id
        ",
        &[
            &new.kind.as_column(),
            &new.phase.as_column(),
            &scope_kind,
            &scope_id,
            &new.names.0,
            &new.names.1,
            &new.policy.0,
            &new.before.map(|text| &text.0),
            &new.after.map(|text| &text.0),
            &serde_json::json!(new.options),
            &new.last_tag_id_before,
            &new.fence,
            &who.worker,
            &who.actor,
            &who.reason,
            &env!("CARGO_PKG_VERSION"),
            &ended,
            &new.parent.map(|run| run.0),
        ],
    )?;
    Ok(OperationId(row.read(0)?))
}

/// Policy operations as [`read`] reads them, by what is asked of the row.
macro_rules! operations_where {
    ($condition:literal) => {
        concat!(
            r"
            SELECT id, kind, phase, scope_kind, scope_id, policy_uuid, policy_before,
                policy_after, options, cursor_repository_id, cursor_name, cursor_tag_id,
                last_tag_id_before, fence, worker, actor, started_at, tags_matched,
                tags_changed, expirations_cleared, batches, longest_batch_ms, tags_skipped
            FROM quay_doctor.operation
            WHERE kind <> 'fix' AND ",
            $condition
        )
    };
}

/// Reads an operation; none where there is no such row: a failover may have lost it.
///
/// # Errors
/// [`JournalError`] where it cannot be understood, or is no policy operation.
pub fn operation(
    pg: &mut impl Statements,
    id: OperationId,
) -> Result<Option<PolicyOperation>, JournalError> {
    let row = pg.query_opt(operations_where!("id = $1"), &[&id.0])?;
    row.as_ref().map(read).transpose()
}

/// Finds the operation that began with this fence: how a lost answer to its COMMIT is settled.
///
/// # Errors
/// [`JournalError`] where it cannot be understood.
pub fn operation_by_fence(
    pg: &mut impl Statements,
    fence: Uuid,
) -> Result<Option<PolicyOperation>, JournalError> {
    let row = pg.query_opt(operations_where!("fence = $1"), &[&fence])?;
    row.as_ref().map(read).transpose()
}

/// The unfinished operation that owns a policy row: its own, or the one that stages its update.
///
/// # Errors
/// [`JournalError`] where it cannot be understood.
pub fn owner_of(
    pg: &mut impl Statements,
    policy: &PolicyUuid,
) -> Result<Option<PolicyOperation>, JournalError> {
    let row = pg.query_opt(
        operations_where!(
            r"finished_at IS NULL AND (policy_uuid = $1 OR options ->> 'staged' = $1)
            ORDER BY id
            LIMIT 1"
        ),
        &[&policy.0],
    )?;
    row.as_ref().map(read).transpose()
}

/// The creation of this text in this scope that is being taken back, where there is one.
///
/// # Errors
/// [`JournalError`] where it cannot be understood.
pub fn being_undone(
    pg: &mut impl Statements,
    of: Scope,
    text: &PolicyText,
) -> Result<Option<PolicyOperation>, JournalError> {
    let (kind, id) = match of {
        Scope::Namespace(id) => ("namespace", id.0),
        Scope::Repository(id) => ("repository", id.0),
    };
    let row = pg.query_opt(
        operations_where!(
            r"finished_at IS NULL AND kind = 'create' AND phase = 'undoing'
                AND scope_kind = $1 AND scope_id = $2 AND policy_after = $3
            ORDER BY id
            LIMIT 1"
        ),
        &[&kind, &id, &text.0],
    )?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<PolicyOperation, JournalError> {
    let id = OperationId(row.read(0)?);
    let missing = |what: &str| JournalError::Unreadable(format!("operation {id} has no {what}"));
    let options: serde_json::Value = row.read(8)?;
    let count = |column: usize| -> Result<u64, JournalError> {
        Ok(u64::try_from(row.read::<i64>(column)?).unwrap_or(0))
    };
    let cursor = match (
        row.read::<Option<i32>>(9)?,
        row.read::<Option<String>>(10)?,
        row.read::<Option<i32>>(11)?,
    ) {
        (Some(repository), Some(name), Some(tag)) => Some(Cursor {
            repository: RepositoryId(repository),
            name,
            tag: TagId(tag),
        }),
        _ => None,
    };
    Ok(PolicyOperation {
        id,
        kind: Kind::from_column(row.read(1)?)?,
        phase: Phase::from_column(row.read(2)?)?,
        scope: scope(row.read(3)?, row.read(4)?)?.ok_or_else(|| missing("scope"))?,
        policy: row
            .read::<Option<String>>(5)?
            .map(PolicyUuid)
            .ok_or_else(|| missing("policy"))?,
        before: row.read::<Option<String>>(6)?.map(PolicyText),
        after: row.read::<Option<String>>(7)?.map(PolicyText),
        options: serde_json::from_value(options)
            .map_err(|error| JournalError::Unreadable(format!("options of {id}: {error}")))?,
        cursor,
        last_tag_id_before: row.read::<Option<i64>>(12)?.unwrap_or(i64::MAX),
        fence: row.read(13)?,
        worker: row.read(14)?,
        actor: row.read(15)?,
        started: row.read(16)?,
        sums: Sums {
            matched: count(17)?,
            changed: count(18)?,
            expirations_cleared: count(19)?,
            batches: count(20)?,
            longest_batch_ms: count(21)?,
            skipped: count(22)?,
        },
    })
}

/// Policies that other operations have put in force, or may have, since a moment.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn changed_since(
    pg: &mut impl Statements,
    ours: OperationId,
    since: DateTime<Utc>,
) -> Result<Vec<PolicyUuid>, JournalError> {
    let rows = pg.query(
        r"
        SELECT policy_uuid
        FROM quay_doctor.operation
        WHERE id <> $1 AND kind IN ('create', 'activate', 'update') AND policy_uuid IS NOT NULL
            AND (finished_at IS NULL OR finished_at >= $2)
        ",
        &[&ours.0, &since],
    )?;
    rows.iter()
        .map(|row| Ok(PolicyUuid(row.read(0)?)))
        .collect()
}

//! What has been done: every operation and run, and what became of one tag.

use chrono::{DateTime, Utc};

use super::JournalError;
use super::operation::{Kind, Phase};
use crate::pg::{Columns, Row, Statements};
use crate::quay::{Expiry, Immutability, OperationId, RunId, TagId, UnixMillis};

use super::TagImage;

/// Which part of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryOf {
    /// Only this operation.
    pub operation: Option<OperationId>,
    /// Only operations that changed a tag of this repository and name.
    pub tag: Option<TagPath>,
    /// Only operations that began after this.
    pub since: Option<DateTime<Utc>>,
}

/// A tag, as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPath {
    /// The namespace.
    pub namespace: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

/// One operation or run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its id.
    pub id: OperationId,
    /// What it is.
    pub kind: Kind,
    /// The fix run that it belongs to, and is taken back with.
    pub run: Option<RunId>,
    /// How far it is, or how it ended.
    pub phase: Phase,
    /// The namespace, and the repository, as they were called then.
    pub place: Option<(String, Option<String>)>,
    /// The policy.
    pub policy: Option<String>,
    /// Its text before.
    pub before: Option<String>,
    /// Its text after.
    pub after: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: Option<DateTime<Utc>>,
    /// Tags changed.
    pub changed: i64,
    /// Expiry dates cleared.
    pub expirations_cleared: i64,
    /// What went wrong.
    pub error: Option<String>,
}

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryChange {
    /// Whose.
    pub operation: OperationId,
    /// The tag row.
    pub tag: TagId,
    /// The tag's path as it is now, where its row is still there.
    pub path: Option<TagPath>,
    /// As it was.
    pub before: TagImage,
    /// As it was left.
    pub after: TagImage,
    /// When it was taken back.
    pub undone: Option<DateTime<Utc>>,
}

/// The operations, newest first, at most `limit`.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn history(
    pg: &mut impl Statements,
    of: &HistoryOf,
    limit: u32,
) -> Result<Vec<HistoryRow>, JournalError> {
    let (namespace, repository, tag) = parts(of.tag.as_ref());
    pg.query(
        r#"
        SELECT o.id, o.kind, o.phase, o.namespace_name, o.repository_name, o.policy_uuid,
            o.policy_before, o.policy_after, o.actor, o.reason, o.started_at, o.finished_at,
            o.tags_changed, o.expirations_cleared, o.error, o.parent_id
        FROM quay_doctor.operation o
        WHERE ($1::bigint IS NULL OR o.id = $1)
            AND ($2::timestamptz IS NULL OR o.started_at >= $2)
            AND ($3::text IS NULL OR EXISTS (
                SELECT FROM quay_doctor.tag_change c
                JOIN tag t ON t.id = c.tag_id
                JOIN repository r ON r.id = t.repository_id
                JOIN "user" u ON u.id = r.namespace_user_id
                WHERE c.operation_id = o.id
                    AND u.username = $3 AND r.name = $4 AND t.name = $5))
        ORDER BY o.id DESC
        LIMIT $6
        "#,
        &[
            &of.operation.map(|id| id.0),
            &of.since,
            &namespace,
            &repository,
            &tag,
            &i64::from(limit),
        ],
    )?
    .iter()
    .map(row)
    .collect()
}

fn parts(path: Option<&TagPath>) -> (Option<&str>, Option<&str>, Option<&str>) {
    path.map_or((None, None, None), |path| {
        (
            Some(path.namespace.as_str()),
            Some(path.repository.as_str()),
            Some(path.tag.as_str()),
        )
    })
}

fn row(row: &Row) -> Result<HistoryRow, JournalError> {
    let namespace: Option<String> = row.read(3)?;
    let repository: Option<String> = row.read(4)?;
    Ok(HistoryRow {
        id: OperationId(row.read(0)?),
        kind: Kind::from_column(row.read(1)?)?,
        phase: Phase::from_column(row.read(2)?)?,
        place: namespace.map(|namespace| (namespace, repository)),
        policy: row.read(5)?,
        before: row.read(6)?,
        after: row.read(7)?,
        actor: row.read(8)?,
        reason: row.read(9)?,
        started: row.read(10)?,
        finished: row.read(11)?,
        changed: row.read(12)?,
        expirations_cleared: row.read(13)?,
        error: row.read(14)?,
        run: row.read::<Option<i64>>(15)?.map(OperationId),
    })
}

/// How many operations there are, and how many changes of tags.
///
/// # Errors
/// [`JournalError`] where the server does not answer.
pub fn how_many(
    pg: &mut impl Statements,
    of: &HistoryOf,
    counted: Counted,
) -> Result<u64, JournalError> {
    let (namespace, repository, tag) = parts(of.tag.as_ref());
    let row = match counted {
        Counted::Operations => pg.query_one(
            r#"
            SELECT count(*)
            FROM quay_doctor.operation o
            WHERE ($1::bigint IS NULL OR o.id = $1)
                AND ($2::timestamptz IS NULL OR o.started_at >= $2)
                AND ($3::text IS NULL OR EXISTS (
                    SELECT FROM quay_doctor.tag_change c
                    JOIN tag t ON t.id = c.tag_id
                    JOIN repository r ON r.id = t.repository_id
                    JOIN "user" u ON u.id = r.namespace_user_id
                    WHERE c.operation_id = o.id
                        AND u.username = $3 AND r.name = $4 AND t.name = $5))
            "#,
            &[
                &of.operation.map(|id| id.0),
                &of.since,
                &namespace,
                &repository,
                &tag,
            ],
        )?,
        Counted::Changes => pg.query_one(
            r#"
            SELECT count(*)
            FROM quay_doctor.tag_change c
            LEFT JOIN tag t ON t.id = c.tag_id
            LEFT JOIN repository r ON r.id = t.repository_id
            LEFT JOIN "user" u ON u.id = r.namespace_user_id
            WHERE ($1::bigint IS NULL OR c.operation_id = $1)
                AND ($2::text IS NULL OR u.username = $2 AND r.name = $3 AND t.name = $4)
            "#,
            &[&of.operation.map(|id| id.0), &namespace, &repository, &tag],
        )?,
    };
    Ok(u64::try_from(row.read::<i64>(0)?).unwrap_or(0))
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Operations and runs.
    Operations,
    /// Changes of tags.
    Changes,
}

/// Changes of tags, newest first, from below the entry `before` on, at most `limit`; each with its entry.
///
/// # Errors
/// [`JournalError`] where the server does not answer.
pub fn changes(
    pg: &mut impl Statements,
    of: &HistoryOf,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, HistoryChange)>, JournalError> {
    let (namespace, repository, tag) = parts(of.tag.as_ref());
    let rows = pg.query(
        r#"
        SELECT c.operation_id, c.tag_id, t.name, c.immutable_before, c.lifetime_end_ms_before,
            c.immutable_after, c.lifetime_end_ms_after, c.undone_at, c.id, r.name, u.username
        FROM quay_doctor.tag_change c
        LEFT JOIN tag t ON t.id = c.tag_id
        LEFT JOIN repository r ON r.id = t.repository_id
        LEFT JOIN "user" u ON u.id = r.namespace_user_id
        WHERE ($1::bigint IS NULL OR c.operation_id = $1)
            AND ($2::text IS NULL OR u.username = $2 AND r.name = $3 AND t.name = $4)
            AND ($6::bigint IS NULL OR c.id < $6)
        ORDER BY c.id DESC
        LIMIT $5
        "#,
        &[
            &of.operation.map(|id| id.0),
            &namespace,
            &repository,
            &tag,
            &i64::from(limit),
            &before,
        ],
    )?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        let image = |immutable: usize, end: usize| -> Result<TagImage, JournalError> {
            Ok(TagImage {
                immutability: Immutability::from_column(row.read(immutable)?),
                expiry: Expiry(row.read::<Option<i64>>(end)?.map(UnixMillis)),
            })
        };
        let path = match (row.read(10)?, row.read(9)?, row.read(2)?) {
            (Some(namespace), Some(repository), Some(tag)) => Some(TagPath {
                namespace,
                repository,
                tag,
            }),
            _ => None,
        };
        let change = HistoryChange {
            operation: OperationId(row.read(0)?),
            tag: TagId(row.read(1)?),
            path,
            before: image(3, 4)?,
            after: image(5, 6)?,
            undone: row.read(7)?,
        };
        changes.push((row.read(8)?, change));
    }
    Ok(changes)
}

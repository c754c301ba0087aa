//! Entries of the journal beside the rows that they are about: what may be pruned.
//!
//! Never anything of an operation that has not ended; never the entry of a tag that is immutable
//! now, for its before-image is what a release of it restores; never a declaration in force. An
//! operation's own row stays as long as anything of it stays, and as long as the policy that it is
//! about is there: it says whether that policy is inactive on purpose.

use chrono::{DateTime, Utc};

use crate::journal::JournalError;
use crate::pg::{Columns, PgError, Statements, WriteTransaction};
use crate::quay::OperationId;

/// What of one operation may be pruned, and what may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable {
    /// The operation.
    pub operation: OperationId,
    /// What it is, as the journal spells it.
    pub kind: String,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// Entries of tags that may go.
    pub tag_changes: u64,
    /// Entries of tags that stay: their rows are immutable.
    pub immutable: u64,
    /// Declarations in force.
    pub kept: u64,
    /// Whether its own row may go, with its policy entries and withdrawn declarations.
    pub whole: bool,
}

/// The moment before which an operation has to have ended, by the server's clock.
///
/// # Errors
/// [`PgError`] where the server does not answer, or the age reaches beyond its calendar.
pub fn prune_before(
    pg: &mut impl Statements,
    older_than: std::time::Duration,
) -> Result<DateTime<Utc>, PgError> {
    pg.query_one(
        "SELECT clock_timestamp() - make_interval(secs => $1)",
        &[&older_than.as_secs_f64()],
    )?
    .read(0)
}

/// An operation's row, called `o`, may go.
macro_rules! may_go {
    () => {
        r"
    NOT EXISTS (SELECT FROM quay_doctor.kept k
        WHERE k.operation_id = o.id AND k.withdrawn_at IS NULL)
    AND NOT EXISTS (SELECT FROM repositoryimmutabilitypolicy p WHERE p.uuid = o.policy_uuid)
    AND NOT EXISTS (SELECT FROM namespaceimmutabilitypolicy p WHERE p.uuid = o.policy_uuid)
    AND NOT EXISTS (SELECT FROM quay_doctor.operation child WHERE child.parent_id = o.id)"
    };
}

/// The operations that ended before a moment, oldest first, from after `after` on, at most `limit`.
/// An operation that others belong to stays until they are gone: they come first, for they began
/// later, only where this is asked again.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn prunable(
    pg: &mut impl Statements,
    before: DateTime<Utc>,
    after: Option<OperationId>,
    limit: u32,
) -> Result<Vec<Prunable>, JournalError> {
    let rows = pg.query(
        concat!(
            r"
            SELECT o.id, o.kind, o.finished_at, c.may_go, c.immutable, k.kept,",
            may_go!(),
            r"
            FROM (
                SELECT * FROM quay_doctor.operation
                WHERE finished_at < $1 AND id > $2
                ORDER BY id
                LIMIT $3
            ) o
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE t.id IS NULL) AS may_go,
                    count(t.id) AS immutable
                FROM quay_doctor.tag_change c
                LEFT JOIN tag t ON t.id = c.tag_id AND t.immutable
                WHERE c.operation_id = o.id
            ) c
            CROSS JOIN LATERAL (
                SELECT count(*) AS kept
                FROM quay_doctor.kept k
                WHERE k.operation_id = o.id AND k.withdrawn_at IS NULL
            ) k
            ORDER BY o.id
            "
        ),
        &[&before, &after.map_or(0, |id| id.0), &i64::from(limit)],
    )?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let count = |column| -> Result<u64, PgError> {
            Ok(u64::try_from(row.read::<i64>(column)?).unwrap_or(0))
        };
        let immutable = count(4)?;
        found.push(Prunable {
            operation: OperationId(row.read(0)?),
            kind: row.read(1)?,
            finished: row.read(2)?,
            tag_changes: count(3)?,
            immutable,
            kept: count(5)?,
            whole: row.read::<bool>(6)? && immutable == 0,
        });
    }
    Ok(found)
}

/// Holds an operation that ended before a moment until the transaction ends: nobody takes it over
/// to undo it meanwhile. `false` where it is gone, or at work again.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody holds it for longer than we wait.
pub fn hold_ended(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    before: DateTime<Utc>,
) -> Result<bool, PgError> {
    let held = tx.query_opt(
        "SELECT id FROM quay_doctor.operation WHERE id = $1 AND finished_at < $2 FOR UPDATE",
        &[&operation.0, &before],
    )?;
    Ok(held.is_some())
}

/// Has the server say whether this role may prune at all, also while nothing is old enough: a
/// scheduled prune of the wrong role fails on its first night, not after a year of success.
///
/// # Errors
/// [`PgError`], of class privilege where a right is missing.
pub fn ask_to_prune(tx: &mut WriteTransaction<'_>) -> Result<(), PgError> {
    for asking in [
        "DELETE FROM quay_doctor.tag_change WHERE false",
        "DELETE FROM quay_doctor.policy_change WHERE false",
        "DELETE FROM quay_doctor.kept WHERE false",
        "DELETE FROM quay_doctor.operation WHERE false",
    ] {
        tx.execute(asking, &[])?;
    }
    Ok(())
}

/// Takes out entries of an operation's tags, at most `limit` looked at from after `after` on: how
/// many went, and the last one that was looked at.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn prune_tag_changes(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    after: i64,
    limit: u32,
) -> Result<(u64, Option<i64>), PgError> {
    let row = tx.query_one(
        r"
        WITH page AS MATERIALIZED (
            SELECT id, tag_id
            FROM quay_doctor.tag_change
            WHERE operation_id = $1 AND id > $2
            ORDER BY id
            LIMIT $3
        ), gone AS (
            DELETE FROM quay_doctor.tag_change c
            USING page
            WHERE c.operation_id = $1 AND c.id = page.id
                AND c.id > $2 AND c.id <= (SELECT max(id) FROM page)
                AND NOT EXISTS (SELECT FROM tag t WHERE t.id = page.tag_id AND t.immutable)
            RETURNING c.id
        )
        SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page)
        ",
        &[&operation.0, &after, &i64::from(limit)],
    )?;
    let gone = u64::try_from(row.read::<i64>(0)?).unwrap_or(0);
    Ok((gone, row.read(1)?))
}

/// Takes out what is left of an operation, where nothing of it has to stay; whether it is gone.
///
/// # Errors
/// [`PgError`] where a statement fails.
pub fn prune_operation(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
) -> Result<bool, PgError> {
    let gone = tx.execute(
        concat!(
            r"
            DELETE FROM quay_doctor.operation o
            WHERE o.id = $1 AND o.finished_at IS NOT NULL AND",
            may_go!(),
            r"
                AND NOT EXISTS (SELECT FROM quay_doctor.tag_change c WHERE c.operation_id = o.id)
            "
        ),
        &[&operation.0],
    )?;
    if gone == 0 {
        return Ok(false);
    }
    for left in [
        "DELETE FROM quay_doctor.policy_change WHERE operation_id = $1",
        "DELETE FROM quay_doctor.kept WHERE operation_id = $1",
    ] {
        tx.execute(left, &[&operation.0])?;
    }
    Ok(true)
}

//! Marking plain tags immutable: journaled and changed by one statement, with a lock before or without.

use crate::pg::{Columns, PgError, Statements, WriteTransaction};
use crate::quay::{OperationId, TagId};

/// What became of rows that were to be marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Rows that were there, and not held by somebody else.
    pub locked: Vec<TagId>,
    /// Those of them that are immutable now, and were not.
    pub marked: Vec<TagId>,
    /// Plain ones that are not as asked: a trigger swallowed the change, or altered it.
    pub refused: Vec<TagId>,
    /// Mutable ones that have an end: locked, and left for a closer look.
    pub expiring: Vec<TagId>,
}

/// Writes down what an UPDATE of plain rows returned: a trigger may have swallowed it, or altered it.
macro_rules! journaled {
    () => {
        "INSERT INTO quay_doctor.tag_change
                (operation_id, tag_id, repository_id, immutable_before, immutable_after,
                 lifetime_end_ms_after)
            SELECT $1, id, repository_id, false, immutable, lifetime_end_ms
            FROM marked
            WHERE immutable OR lifetime_end_ms IS NOT NULL"
    };
}

/// Makes rows immutable that are mutable, visible and without an end, and writes their before-images
/// down. Most rows of most registries are like that, and nothing about them needs a decision.
///
/// The before-image is read by the lock: what `FOR NO KEY UPDATE` returns is the row's latest
/// version, also where somebody changed it after this statement began.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn mark_plain(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    tags: &[TagId],
) -> Result<Marks, PgError> {
    if tags.is_empty() {
        return Ok(Marks::default());
    }
    let ids: Vec<i32> = tags.iter().map(|id| id.0).collect();
    let row = tx.query_one(
        concat!(
            r"
        WITH locked AS MATERIALIZED (
            SELECT id, repository_id, lifetime_end_ms, NOT immutable AND NOT hidden AS mutable
            FROM tag
            WHERE id = ANY ($2)
            ORDER BY id
            FOR NO KEY UPDATE SKIP LOCKED
        ), plain AS (
            SELECT id, repository_id FROM locked WHERE mutable AND lifetime_end_ms IS NULL
        ), marked AS (
            UPDATE tag SET immutable = true FROM plain WHERE tag.id = plain.id
            RETURNING tag.id, tag.repository_id, tag.immutable, tag.lifetime_end_ms
        ), journaled AS (
            ",
            journaled!(),
            r"
        ), kept AS (
            SELECT id FROM marked WHERE immutable AND lifetime_end_ms IS NULL
        )
        SELECT coalesce(array_agg(id), '{}'),
            (SELECT coalesce(array_agg(id), '{}') FROM kept),
            (SELECT coalesce(array_agg(id), '{}') FROM plain
             WHERE id NOT IN (SELECT id FROM kept)),
            coalesce(array_agg(id) FILTER (WHERE mutable AND lifetime_end_ms IS NOT NULL), '{}')
        FROM locked
        "
        ),
        &[&operation.0, &ids],
    )?;
    let tags = |column: usize| -> Result<Vec<TagId>, PgError> {
        Ok(row
            .read::<Vec<i32>>(column)?
            .into_iter()
            .map(TagId)
            .collect())
    };
    Ok(Marks {
        locked: tags(0)?,
        marked: tags(1)?,
        refused: tags(2)?,
        expiring: tags(3)?,
    })
}

/// The same as [`mark_plain`] without a lock before the change, which takes a tenth less of the server: the
/// rows come back from the UPDATE, and what a plain row was before is known. The condition holds of the
/// very version that is replaced, since PostgreSQL looks again at a row that somebody changed meanwhile.
///
/// A row with an `xmax` is one that somebody holds, or held: it is left, since rows are never waited for.
/// Whoever takes hold of one between the look at it and its change is waited for, for as long as
/// [`lock_repository_limiting_waits`](super::lock_repository_limiting_waits) says.
///
/// Returns the rows that are immutable now, and were not; and those that a trigger altered. One that it
/// swallowed did not come back, and is left as one that somebody holds.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody does not let go.
pub fn mark_at_once(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    tags: &[TagId],
) -> Result<(Vec<TagId>, Vec<TagId>), PgError> {
    let ids: Vec<i32> = tags.iter().map(|id| id.0).collect();
    let row = tx.query_one(
        concat!(
            r"
            WITH marked AS (
                UPDATE tag
                SET immutable = true
                WHERE id = ANY ($2) AND NOT immutable AND NOT hidden AND lifetime_end_ms IS NULL
                    AND xmax = 0
                RETURNING id, repository_id, immutable, lifetime_end_ms
            ), journaled AS (
                ",
            journaled!(),
            r"
            )
            SELECT coalesce(array_agg(id) FILTER (WHERE immutable AND lifetime_end_ms IS NULL), '{}'),
                coalesce(array_agg(id) FILTER (WHERE lifetime_end_ms IS NOT NULL), '{}')
            FROM marked
            "
        ),
        &[&operation.0, &ids],
    )?;
    let tags = |column: usize| -> Result<Vec<TagId>, PgError> {
        let ids: Vec<i32> = row.read(column)?;
        Ok(ids.into_iter().map(TagId).collect())
    };
    Ok((tags(0)?, tags(1)?))
}

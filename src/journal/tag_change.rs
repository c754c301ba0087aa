//! Before-images of tags. They belong to the tag row, whichever operation wrote them.

use std::collections::HashMap;

use super::JournalError;
use crate::pg::{Columns, Statements, WriteTransaction};
use crate::quay::{Expiry, Immutability, OperationId, RepositoryId, TagId, UnixMillis};

/// The two columns of a tag that this program ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagImage {
    /// `immutable`.
    pub immutability: Immutability,
    /// `lifetime_end_ms`.
    pub expiry: Expiry,
}

/// One change of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// The tag.
    pub tag: TagId,
    /// Its repository.
    pub repository: RepositoryId,
    /// As it was, from a locking read.
    pub before: TagImage,
    /// As we leave it.
    pub after: TagImage,
}

/// Writes changes down, in the transaction that makes them.
///
/// # Errors
/// [`JournalError`] where the rows cannot be written.
pub fn record_tag_changes(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    changes: &[TagChange],
) -> Result<(), JournalError> {
    if changes.is_empty() {
        return Ok(());
    }
    let tags: Vec<i32> = changes.iter().map(|c| c.tag.0).collect();
    let repositories: Vec<i32> = changes.iter().map(|c| c.repository.0).collect();
    let immutable = |image: fn(&TagChange) -> TagImage| -> Vec<bool> {
        changes
            .iter()
            .map(|c| image(c).immutability.as_column())
            .collect()
    };
    let ends = |image: fn(&TagChange) -> TagImage| -> Vec<Option<i64>> {
        changes
            .iter()
            .map(|c| image(c).expiry.0.map(|end| end.0))
            .collect()
    };
    tx.execute(
        r"
        INSERT INTO quay_doctor.tag_change
            (operation_id, tag_id, repository_id, immutable_before, immutable_after,
             lifetime_end_ms_before, lifetime_end_ms_after)
        SELECT $1, change.*
        FROM unnest($2::int[], $3::int[], $4::bool[], $5::bool[], $6::bigint[], $7::bigint[])
            AS change
        ",
        &[
            &operation.0,
            &tags,
            &repositories,
            &immutable(|c| c.before),
            &immutable(|c| c.after),
            &ends(|c| c.before),
            &ends(|c| c.after),
        ],
    )?;
    Ok(())
}

/// Writes entries anew as they are, so that they have the transaction that writes their tags now: a change
/// that goes back to the version of a tag which an entry left keeps the entry as good as it was.
///
/// # Errors
/// [`JournalError`] where the rows cannot be written.
pub fn carry_images(
    tx: &mut WriteTransaction<'_>,
    entries: &[(TagId, i64)],
) -> Result<(), JournalError> {
    if entries.is_empty() {
        return Ok(());
    }
    let tags: Vec<i32> = entries.iter().map(|(tag, _)| tag.0).collect();
    let ids: Vec<i64> = entries.iter().map(|(_, entry)| *entry).collect();
    tx.execute(
        r"
        UPDATE quay_doctor.tag_change SET undone_at = undone_at
        WHERE tag_id = ANY ($1) AND id = ANY ($2)
        ",
        &[&tags, &ids],
    )?;
    Ok(())
}

/// The newest change of each of these tags that is not undone: whose it is, and what it left.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn newest_changes(
    pg: &mut impl Statements,
    tags: &[TagId],
) -> Result<HashMap<TagId, (OperationId, Immutability)>, JournalError> {
    let ids: Vec<i32> = tags.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r"
        SELECT tag.id, newest.operation_id, newest.immutable_after
        FROM unnest($1::int[]) AS tag (id)
        CROSS JOIN LATERAL (
            SELECT operation_id, immutable_after
            FROM quay_doctor.tag_change
            WHERE tag_id = tag.id AND undone_at IS NULL
            ORDER BY id DESC
            LIMIT 1
        ) newest
        ",
        &[&ids],
    )?;
    let mut newest = HashMap::with_capacity(rows.len());
    for row in &rows {
        let left = Immutability::from_column(row.read(2)?);
        newest.insert(TagId(row.read(0)?), (OperationId(row.read(1)?), left));
    }
    Ok(newest)
}

/// One part of several of an operation's changes: those of a repository are all in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// Which, from 0 on.
    pub nth: i32,
    /// Of how many.
    pub all: i32,
}

impl PartOf {
    /// Everything.
    pub const WHOLE: Self = Self { nth: 0, all: 1 };
}

/// Whether an operation has so many changes that are not undone, and the first of them lies in another
/// repository than the last.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn is_worth_parting(
    pg: &mut impl Statements,
    operation: OperationId,
    rows: u64,
) -> Result<bool, JournalError> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let row = pg.query_one(
        r"
        SELECT CASE
            WHEN (SELECT repository_id FROM quay_doctor.tag_change
                  WHERE operation_id = $1 AND undone_at IS NULL ORDER BY id LIMIT 1)
                IS DISTINCT FROM
                (SELECT repository_id FROM quay_doctor.tag_change
                 WHERE operation_id = $1 AND undone_at IS NULL ORDER BY id DESC LIMIT 1)
            THEN (SELECT count(*) >= $2
                  FROM (SELECT FROM quay_doctor.tag_change
                        WHERE operation_id = $1 AND undone_at IS NULL LIMIT $2) AS changes)
            ELSE false
        END
        ",
        &[&operation.0, &rows],
    )?;
    Ok(row.read(0)?)
}

/// A part of the changes of an operation that are not undone, newest first, from below `before` on, at
/// most `limit`, each with its journal id.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn changed_tags(
    pg: &mut impl Statements,
    operation: OperationId,
    part: PartOf,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, TagChange)>, JournalError> {
    let rows = pg.query(
        r"
        SELECT id, tag_id, repository_id, immutable_before, immutable_after,
            lifetime_end_ms_before, lifetime_end_ms_after
        FROM quay_doctor.tag_change
        WHERE operation_id = $1 AND undone_at IS NULL AND ($2::bigint IS NULL OR id < $2)
            AND abs(repository_id % $4) = $5
        ORDER BY id DESC
        LIMIT $3
        ",
        &[
            &operation.0,
            &before,
            &i64::from(limit),
            &part.all,
            &part.nth,
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
        changes.push((
            row.read(0)?,
            TagChange {
                tag: TagId(row.read(1)?),
                repository: RepositoryId(row.read(2)?),
                before: image(3, 5)?,
                after: image(4, 6)?,
            },
        ));
    }
    Ok(changes)
}

/// Marks changes of an operation as undone, in the transaction that undoes them. The ends of the
/// range keep a planner that has no statistics of the journal yet from going over all of the
/// operation's rows for each batch.
///
/// # Errors
/// [`JournalError`] where the rows cannot be written.
pub fn mark_undone(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    entries: &[i64],
) -> Result<(), JournalError> {
    let (Some(first), Some(last)) = (entries.iter().min(), entries.iter().max()) else {
        return Ok(());
    };
    tx.execute(
        r"
        UPDATE quay_doctor.tag_change SET undone_at = clock_timestamp()
        WHERE operation_id = $1 AND id BETWEEN $3 AND $4 AND id = ANY ($2)
        ",
        &[&operation.0, &entries, first, last],
    )?;
    Ok(())
}

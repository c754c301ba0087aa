//! What the journal knows of tags as they are now.

use std::collections::HashMap;

use crate::journal::{TagChange, TagImage};
use crate::pg::{Columns, PgError, Statements};
use crate::quay::{Expiry, Immutability, OperationId, RepositoryId, TagId, UnixMillis};

/// The change of ours that made a tag what it is, as far as the journal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// The journal's entry.
    pub entry: i64,
    /// Whose it is.
    pub operation: OperationId,
    /// The change.
    pub change: TagChange,
    /// Whether the row is the very version that the change left. If not, somebody has written it since,
    /// or has written the whole table (a dump that was restored, pg_repack), which looks the same.
    pub is_current: bool,
    /// Entries before it that the change went back to: they are current again when it is undone.
    pub beneath: Vec<i64>,
}

impl LastChange {
    /// Its entry, and those beneath it.
    pub fn entries(&self) -> impl Iterator<Item = i64> {
        std::iter::once(self.entry).chain(self.beneath.iter().copied())
    }
}

/// The last change of each of these tags that is not undone. Rows and entries of one transaction have the
/// same `xmin`, which neither a lock on the row nor VACUUM, FREEZE included, changes. None of our
/// transactions has a savepoint, or its rows would have several.
///
/// An entry whose version the row is outweighs one that is newer: the newer one did not write the row.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn last_changes(
    pg: &mut impl Statements,
    tags: &[TagId],
) -> Result<HashMap<TagId, LastChange>, PgError> {
    let mut changes = HashMap::with_capacity(tags.len());
    for some in tags.chunks(FIT) {
        let ids: Vec<i32> = some.iter().map(|id| id.0).collect();
        for row in &pg.query(LAST_CHANGES, &[&ids])? {
            let tag = TagId(row.read(0)?);
            let image = |immutable: usize, end: usize| -> Result<TagImage, PgError> {
                Ok(TagImage {
                    immutability: Immutability::from_column(row.read(immutable)?),
                    expiry: Expiry(row.read::<Option<i64>>(end)?.map(UnixMillis)),
                })
            };
            let last = LastChange {
                entry: row.read(2)?,
                operation: OperationId(row.read(3)?),
                change: TagChange {
                    tag,
                    repository: RepositoryId(row.read(1)?),
                    before: image(4, 6)?,
                    after: image(5, 7)?,
                },
                is_current: row.read(8)?,
                beneath: row.read(9)?,
            };
            changes.insert(tag, last);
        }
    }
    Ok(changes)
}

/// Rows that fit into one answer: it is had under Quay's lock, and a client that is frozen does not take more.
const FIT: usize = 300;

const LAST_CHANGES: &str = r"
    SELECT t.id, t.repository_id, last.id, last.operation_id, last.immutable_before,
        last.immutable_after, last.lifetime_end_ms_before, last.lifetime_end_ms_after,
        last.is_current,
        ARRAY(
            SELECT c.id
            FROM quay_doctor.tag_change c
            WHERE last.is_current AND c.tag_id = t.id AND c.id < last.id
                AND c.undone_at IS NULL AND c.xmin = t.xmin
        )
    FROM unnest($1::int[]) AS asked (id)
    JOIN tag t ON t.id = asked.id
    CROSS JOIN LATERAL (
        SELECT c.*, c.xmin = t.xmin AS is_current
        FROM quay_doctor.tag_change c
        WHERE c.tag_id = asked.id AND c.undone_at IS NULL
        ORDER BY c.xmin = t.xmin DESC, c.id DESC
        LIMIT 1
    ) last
";

//! What the journal tells about one tag, newest first.

use chrono::{DateTime, Utc};

use super::{JournalError, TagChange, TagImage};
use crate::pg::{Columns, Statements};
use crate::quay::{Expiry, Immutability, OperationId, RepositoryId, TagId, UnixMillis};

/// One change of a tag, with the operation that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldChange {
    /// The change.
    pub change: TagChange,
    /// The operation.
    pub operation: OperationId,
    /// What it was, as the journal spells it.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When the operation began.
    pub started: DateTime<Utc>,
    /// When the change was taken back, if it was.
    pub undone: Option<DateTime<Utc>>,
}

/// The newest changes of a tag, at most `limit`.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn told_changes(
    pg: &mut impl Statements,
    tag: TagId,
    limit: u32,
) -> Result<Vec<ToldChange>, JournalError> {
    let rows = pg.query(
        r"
        SELECT c.repository_id, c.immutable_before, c.lifetime_end_ms_before, c.immutable_after,
            c.lifetime_end_ms_after, c.undone_at, o.id, o.kind, o.actor, o.reason, o.started_at
        FROM quay_doctor.tag_change c
        JOIN quay_doctor.operation o ON o.id = c.operation_id
        WHERE c.tag_id = $1
        ORDER BY c.id DESC
        LIMIT $2
        ",
        &[&tag.0, &i64::from(limit)],
    )?;
    let mut told = Vec::with_capacity(rows.len());
    for row in &rows {
        let image = |immutable: usize| -> Result<TagImage, JournalError> {
            Ok(TagImage {
                immutability: Immutability::from_column(row.read(immutable)?),
                expiry: Expiry(row.read::<Option<i64>>(immutable + 1)?.map(UnixMillis)),
            })
        };
        told.push(ToldChange {
            change: TagChange {
                tag,
                repository: RepositoryId(row.read(0)?),
                before: image(1)?,
                after: image(3)?,
            },
            undone: row.read(5)?,
            operation: OperationId(row.read(6)?),
            kind: row.read(7)?,
            actor: row.read(8)?,
            reason: row.read(9)?,
            started: row.read(10)?,
        });
    }
    Ok(told)
}

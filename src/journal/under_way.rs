//! How far operations are that have not ended, for whoever watches them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::operation::{OperationRow, unfinished_operations};
use super::{Cursor, JournalError};
use crate::pg::{Columns, Statements};
use crate::quay::{OperationId, RepositoryId, TagId};

/// An operation that has not ended, with its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The operation.
    pub operation: OperationRow,
    /// Namespace and repository, as they were called when it began.
    pub place: Option<(String, Option<String>)>,
    /// Who asked for it.
    pub actor: String,
    /// The last sign of life.
    pub heartbeat: DateTime<Utc>,
    /// Where its walk has arrived in the phase that it is in.
    pub cursor: Option<Cursor>,
    /// Tags that its policy matched.
    pub matched: i64,
    /// Tags that it has changed.
    pub changed: i64,
}

/// Every operation that has not ended, with its figures.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn under_way(pg: &mut impl Statements) -> Result<Vec<UnderWay>, JournalError> {
    let rows = pg.query(
        r"
        SELECT id, namespace_name, repository_name, actor, heartbeat_at, cursor_repository_id,
            cursor_name, cursor_tag_id, tags_matched, tags_changed
        FROM quay_doctor.operation
        WHERE finished_at IS NULL
        ",
        &[],
    )?;
    let mut figures = HashMap::with_capacity(rows.len());
    for row in &rows {
        figures.insert(OperationId(row.read(0)?), row);
    }
    let mut found = Vec::new();
    for operation in unfinished_operations(pg)? {
        // One that began between the two statements is seen at the next look.
        let Some(row) = figures.get(&operation.id) else {
            continue;
        };
        let namespace: Option<String> = row.read(1)?;
        let repository: Option<String> = row.read(2)?;
        let cursor = match (
            row.read::<Option<i32>>(5)?,
            row.read::<Option<String>>(6)?,
            row.read::<Option<i32>>(7)?,
        ) {
            (Some(repository), Some(name), Some(tag)) => Some(Cursor {
                repository: RepositoryId(repository),
                name,
                tag: TagId(tag),
            }),
            _ => None,
        };
        found.push(UnderWay {
            place: namespace.map(|namespace| (namespace, repository)),
            actor: row.read(3)?,
            heartbeat: row.read(4)?,
            cursor,
            matched: row.read(8)?,
            changed: row.read(9)?,
            operation,
        });
    }
    Ok(found)
}

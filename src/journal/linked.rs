//! Policy operations that belong to a fix run: linked to it, found by it, opened again to be taken
//! back with it.

use uuid::Uuid;

use super::JournalError;
use super::operation::{Identity, Kind, Phase};
use super::policy_operation::PolicyOperation;
use crate::pg::{Columns, Statements, WriteTransaction};
use crate::quay::{OperationId, RunId};

/// A run's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The operation.
    pub id: OperationId,
    /// What it is.
    pub kind: Kind,
    /// How far it is, or how it ended.
    pub phase: Phase,
}

/// The operations that belong to a run, newest first.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn linked_to(pg: &mut impl Statements, run: RunId) -> Result<Vec<Linked>, JournalError> {
    let rows = pg.query(
        r"
        SELECT id, kind, phase
        FROM quay_doctor.operation
        WHERE parent_id = $1
        ORDER BY id DESC
        ",
        &[&run.0],
    )?;
    let mut linked = Vec::with_capacity(rows.len());
    for row in &rows {
        linked.push(Linked {
            id: OperationId(row.read(0)?),
            kind: Kind::from_column(row.read(1)?)?,
            phase: Phase::from_column(row.read(2)?)?,
        });
    }
    Ok(linked)
}

/// Links an operation that somebody began to the run that recovers it, unless it belongs to one.
///
/// # Errors
/// [`JournalError`] where the row cannot be written.
pub fn link(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    run: RunId,
) -> Result<(), JournalError> {
    tx.execute(
        r"
        UPDATE quay_doctor.operation SET parent_id = $2 WHERE id = $1 AND parent_id IS NULL
        ",
        &[&operation.0, &run.0],
    )?;
    Ok(())
}

/// Opens an operation again that is done, to take it back; the fence that holds now. From here on
/// it is unfinished, and `recover` goes on where this worker stops.
///
/// # Errors
/// [`JournalError::Fenced`] where it is no longer as `operation` has it.
pub fn open_again(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    who: &Identity,
) -> Result<Uuid, JournalError> {
    let fence = Uuid::new_v4();
    let opened = tx.execute(
        r"
        UPDATE quay_doctor.operation
        SET phase = 'undoing', finished_at = NULL, fence = $3, worker = $4,
            cursor_repository_id = NULL, cursor_name = NULL, cursor_tag_id = NULL,
            heartbeat_at = clock_timestamp()
        WHERE id = $1 AND fence = $2 AND phase = 'done'
        ",
        &[&operation.id.0, &operation.fence, &fence, &who.worker],
    )?;
    if opened == 1 {
        Ok(fence)
    } else {
        Err(JournalError::Fenced(operation.id))
    }
}

/// Ends an operation as taken back that was done: what it did is undone.
///
/// # Errors
/// [`JournalError::Fenced`] where it is no longer as `operation` has it.
pub fn close_as_taken_back(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
) -> Result<(), JournalError> {
    let closed = tx.execute(
        r"
        UPDATE quay_doctor.operation
        SET phase = 'rolled_back', finished_at = clock_timestamp()
        WHERE id = $1 AND fence = $2 AND phase = 'done'
        ",
        &[&operation.id.0, &operation.fence],
    )?;
    if closed == 1 {
        Ok(())
    } else {
        Err(JournalError::Fenced(operation.id))
    }
}

/// Whether an operation brought its policy into force, though it may have been taken back since.
///
/// # Errors
/// [`JournalError`] where the server does not answer.
pub fn was_activated(
    pg: &mut impl Statements,
    operation: OperationId,
) -> Result<bool, JournalError> {
    let row = pg.query_one(
        r#"
        SELECT EXISTS (
            SELECT FROM quay_doctor.policy_change
            WHERE operation_id = $1 AND row_after @> '{"active": true}'
        )
        "#,
        &[&operation.0],
    )?;
    Ok(row.read(0)?)
}

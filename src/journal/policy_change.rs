//! Before- and after-images of policy rows: the whole row, as JSON.

use serde_json::Value;

use super::JournalError;
use crate::pg::{Columns, Statements, WriteTransaction};
use crate::quay::{OperationId, PolicyRowId, PolicyTable};

/// One change of one policy row; a side is absent where the row did not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// The table.
    pub table: PolicyTable,
    /// The row.
    pub id: PolicyRowId,
    /// As it was.
    pub before: Option<Value>,
    /// As we leave it.
    pub after: Option<Value>,
}

/// Writes a change down, in the transaction that makes it.
///
/// # Errors
/// [`JournalError`] where the row cannot be written.
pub fn record_policy_change(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    change: &PolicyChange,
) -> Result<(), JournalError> {
    tx.execute(
        r"
        INSERT INTO quay_doctor.policy_change
            (operation_id, policy_table, policy_id, row_before, row_after)
        VALUES ($1, $2, $3, $4, $5)
        ",
        &[
            &operation.0,
            &change.table.name(),
            &change.id.0,
            &change.before,
            &change.after,
        ],
    )?;
    Ok(())
}

/// The changes of an operation that are not undone, newest first, each with its journal id.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn changed_policies(
    pg: &mut impl Statements,
    operation: OperationId,
) -> Result<Vec<(i64, PolicyChange)>, JournalError> {
    let rows = pg.query(
        r"
        SELECT id, policy_table, policy_id, row_before, row_after
        FROM quay_doctor.policy_change
        WHERE operation_id = $1 AND undone_at IS NULL
        ORDER BY id DESC
        ",
        &[&operation.0],
    )?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        let name: &str = row.read(1)?;
        let table = PolicyTable::IN_LOCK_ORDER
            .into_iter()
            .find(|table| table.name() == name)
            .ok_or_else(|| JournalError::Unreadable(format!("policy table `{name}`")))?;
        changes.push((
            row.read(0)?,
            PolicyChange {
                table,
                id: PolicyRowId(row.read(2)?),
                before: row.read(3)?,
                after: row.read(4)?,
            },
        ));
    }
    Ok(changes)
}

/// Marks a change as undone, in the transaction that undoes it.
///
/// # Errors
/// [`JournalError`] where the row cannot be written.
pub fn mark_policy_undone(tx: &mut WriteTransaction<'_>, entry: i64) -> Result<(), JournalError> {
    tx.execute(
        "UPDATE quay_doctor.policy_change SET undone_at = clock_timestamp() WHERE id = $1",
        &[&entry],
    )?;
    Ok(())
}

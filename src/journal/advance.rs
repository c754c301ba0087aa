//! A policy operation moved on: by compare-and-set with every transaction of it, or by a take-over.

use uuid::Uuid;

use super::JournalError;
use super::operation::Phase;
use super::policy_operation::{Cursor, PolicyOperation, Sums};
use crate::pg::{Columns, Statements, WriteTransaction};
use crate::quay::OperationId;

/// Where an operation goes: the phase and the place that a transaction leaves it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The phase.
    pub phase: Phase,
    /// The place of the walk.
    pub cursor: Option<Cursor>,
    /// What the transaction adds to the sums.
    pub sums: Sums,
    /// What went wrong, where the operation ends or turns back because of it.
    pub error: Option<String>,
}

/// Moves an operation on: a compare-and-set on fence, phase and cursor that ends every transaction
/// of it. A plain read before the write would be no check: somebody may take over in between.
///
/// # Errors
/// [`JournalError::Fenced`] where the row is no longer as `from` has it.
pub fn advance(
    tx: &mut WriteTransaction<'_>,
    from: &PolicyOperation,
    step: &Step,
) -> Result<(), JournalError> {
    let parts = |cursor: &Option<Cursor>| match cursor {
        Some(cursor) => (
            Some(cursor.repository.0),
            Some(cursor.name.clone()),
            Some(cursor.tag.0),
        ),
        None => (None, None, None),
    };
    let (was, goes) = (parts(&from.cursor), parts(&step.cursor));
    let ended = matches!(step.phase, Phase::Done | Phase::RolledBack);
    let advanced = tx.execute(
        r"
        UPDATE quay_doctor.operation
        SET phase = $7, cursor_repository_id = $8, cursor_name = $9, cursor_tag_id = $10,
            tags_matched = tags_matched + $11, tags_changed = tags_changed + $12,
            expirations_cleared = expirations_cleared + $13, batches = batches + $14,
            longest_batch_ms = greatest(longest_batch_ms, $15),
            tags_skipped = tags_skipped + $18,
            error = coalesce($16, error), heartbeat_at = clock_timestamp(),
            finished_at = CASE WHEN $17 THEN clock_timestamp() END
        WHERE id = $1 AND fence = $2 AND phase = $3
            AND cursor_repository_id IS NOT DISTINCT FROM $4
            AND cursor_name IS NOT DISTINCT FROM $5
            AND cursor_tag_id IS NOT DISTINCT FROM $6
        ",
        &[
            &from.id.0,
            &from.fence,
            &from.phase.as_column(),
            &was.0,
            &was.1,
            &was.2,
            &step.phase.as_column(),
            &goes.0,
            &goes.1,
            &goes.2,
            &signed(step.sums.matched),
            &signed(step.sums.changed),
            &signed(step.sums.expirations_cleared),
            &signed(step.sums.batches),
            &signed(step.sums.longest_batch_ms),
            &step.error,
            &ended,
            &signed(step.sums.skipped),
        ],
    )?;
    if advanced == 1 {
        Ok(())
    } else {
        Err(JournalError::Fenced(from.id))
    }
}

/// Adds a hand's batch to the sums: the same compare-and-set, but for the cursor, which is the lead's.
///
/// # Errors
/// [`JournalError::Fenced`] where fence or phase are no longer as `of` has them.
pub fn add_to(
    tx: &mut WriteTransaction<'_>,
    of: &PolicyOperation,
    sums: &Sums,
) -> Result<(), JournalError> {
    let added = tx.execute(
        r"
        UPDATE quay_doctor.operation
        SET tags_matched = tags_matched + $4, tags_changed = tags_changed + $5,
            expirations_cleared = expirations_cleared + $6, batches = batches + $7,
            longest_batch_ms = greatest(longest_batch_ms, $8),
            tags_skipped = tags_skipped + $9, heartbeat_at = clock_timestamp()
        WHERE id = $1 AND fence = $2 AND phase = $3
        ",
        &[
            &of.id.0,
            &of.fence,
            &of.phase.as_column(),
            &signed(sums.matched),
            &signed(sums.changed),
            &signed(sums.expirations_cleared),
            &signed(sums.batches),
            &signed(sums.longest_batch_ms),
            &signed(sums.skipped),
        ],
    )?;
    if added == 1 {
        Ok(())
    } else {
        Err(JournalError::Fenced(of.id))
    }
}

/// Says that the worker lives, while it waits.
///
/// # Errors
/// [`JournalError::Fenced`] where somebody else has taken the operation over.
pub fn heartbeat(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
) -> Result<(), JournalError> {
    let beaten = tx.execute(
        "UPDATE quay_doctor.operation SET heartbeat_at = clock_timestamp()
         WHERE id = $1 AND fence = $2",
        &[&operation.id.0, &operation.fence],
    )?;
    if beaten == 1 {
        Ok(())
    } else {
        Err(JournalError::Fenced(operation.id))
    }
}

/// The transaction that last moved an operation on, as the server spells its id: the commit that put a policy in force,
/// or ended its force, is this one or an older one.
///
/// # Errors
/// [`JournalError`] where the server does not answer, or the operation is not there.
pub fn last_transaction(
    pg: &mut impl Statements,
    operation: OperationId,
) -> Result<String, JournalError> {
    let row = pg.query_one(
        "SELECT xmin::text FROM quay_doctor.operation WHERE id = $1",
        &[&operation.0],
    )?;
    Ok(row.read(0)?)
}

/// Takes an unfinished operation over from whoever held this fence; the fence that holds now.
///
/// # Errors
/// [`JournalError::Fenced`] where somebody else was faster, or it has ended.
pub fn take_over(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    worker: &str,
) -> Result<Uuid, JournalError> {
    let fence = Uuid::new_v4();
    let taken = tx.execute(
        r"
        UPDATE quay_doctor.operation
        SET fence = $3, worker = $4, heartbeat_at = clock_timestamp()
        WHERE id = $1 AND fence = $2 AND finished_at IS NULL
        ",
        &[&operation.id.0, &operation.fence, &fence, &worker],
    )?;
    if taken == 1 {
        Ok(fence)
    } else {
        Err(JournalError::Fenced(operation.id))
    }
}

/// A count as a `bigint`; no count of rows comes near its end.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! A fix run's row in `operation`: begun, advanced with each batch, ended, taken over for undo.

use uuid::Uuid;

use super::JournalError;
use super::operation::{Identity, Kind, Phase};
use crate::pg::{Columns, Statements, WriteTransaction};
use crate::quay::{OperationId, RunId};

/// A fix run that this process works on. The fence is what every batch compares: after a take-over
/// by somebody else it fails, and with it the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixRun {
    /// The run.
    pub id: RunId,
    fence: Uuid,
}

/// What a run has done so far, or a batch adds to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixTotals {
    /// Corrections carried out.
    pub applied: u64,
    /// Corrections whose precondition no longer held.
    pub skipped: u64,
    /// Expiry dates that were cleared.
    pub expirations_cleared: u64,
    /// Write transactions.
    pub batches: u64,
    /// The longest of them, in milliseconds.
    pub longest_batch_ms: u64,
}

/// A run as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// How far it is.
    pub phase: Phase,
    /// Who works, or worked, on it.
    pub worker: String,
    /// When it began, by the server's clock.
    pub started: chrono::DateTime<chrono::Utc>,
    /// Corrections that it skipped.
    pub skipped: u64,
}

/// Begins a run; one that belongs to another is taken back with it.
///
/// # Errors
/// [`JournalError`] where the row cannot be written.
pub fn begin_fix(
    tx: &mut WriteTransaction<'_>,
    who: &Identity,
    options: &serde_json::Value,
    parent: Option<RunId>,
) -> Result<FixRun, JournalError> {
    let fence = Uuid::new_v4();
    let row = tx.query_one(
        r"
        INSERT INTO quay_doctor.operation
            (kind, phase, options, fence, worker, actor, reason, tool_version, parent_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        RETURNING id
        ",
        &[
            &Kind::Fix.as_column(),
            &Phase::Applying.as_column(),
            options,
            &fence,
            &who.worker,
            &who.actor,
            &who.reason,
            &env!("CARGO_PKG_VERSION"),
            &parent.map(|run| run.0),
        ],
    )?;
    Ok(FixRun {
        id: OperationId(row.read(0)?),
        fence,
    })
}

/// Reads a run.
///
/// # Errors
/// [`JournalError`], also where there is no such run.
pub fn run_state(pg: &mut impl Statements, id: RunId) -> Result<RunRow, JournalError> {
    let row = pg
        .query_opt(
            "SELECT kind, phase, worker, started_at, tags_skipped FROM quay_doctor.operation WHERE id = $1",
            &[&id.0],
        )?
        .ok_or(JournalError::NoSuchRun(id))?;
    if row.read::<&str>(0)? != Kind::Fix.as_column() {
        return Err(JournalError::NotAFix(id));
    }
    Ok(RunRow {
        id,
        phase: Phase::from_column(row.read(1)?)?,
        worker: row.read(2)?,
        started: row.read(3)?,
        skipped: u64::try_from(row.read::<i64>(4)?).unwrap_or(0),
    })
}

/// Takes a run over, to undo it: from here on nobody else's batch on it goes through.
///
/// # Errors
/// [`JournalError`], also where there is no such run.
pub fn fix_run(
    tx: &mut WriteTransaction<'_>,
    id: RunId,
    worker: &str,
) -> Result<FixRun, JournalError> {
    let fence = Uuid::new_v4();
    let taken = tx.execute(
        r"
        UPDATE quay_doctor.operation
        SET phase = $2, fence = $3, worker = $4, heartbeat_at = clock_timestamp(),
            finished_at = NULL
        WHERE id = $1 AND kind = 'fix'
        ",
        &[&id.0, &Phase::Undoing.as_column(), &fence, &worker],
    )?;
    if taken == 0 {
        return Err(JournalError::NoSuchRun(id));
    }
    Ok(FixRun { id, fence })
}

impl FixRun {
    /// Adds a batch to the sums: a compare-and-set on fence and phase that ends every batch, in
    /// its transaction.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] where somebody else has taken the run over.
    pub fn advance(
        &self,
        tx: &mut WriteTransaction<'_>,
        phase: Phase,
        batch: &FixTotals,
    ) -> Result<(), JournalError> {
        let advanced = tx.execute(
            r"
            UPDATE quay_doctor.operation
            SET tags_changed = tags_changed + $4,
                tags_skipped = tags_skipped + $5,
                expirations_cleared = expirations_cleared + $6,
                batches = batches + 1,
                longest_batch_ms = greatest(longest_batch_ms, $7),
                heartbeat_at = clock_timestamp()
            WHERE id = $1 AND fence = $2 AND phase = $3
            ",
            &[
                &self.id.0,
                &self.fence,
                &phase.as_column(),
                &signed(batch.applied),
                &signed(batch.skipped),
                &signed(batch.expirations_cleared),
                &signed(batch.longest_batch_ms),
            ],
        )?;
        self.only_if_ours(advanced)
    }

    /// Ends the run, or the undo of it.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] where somebody else has taken the run over.
    pub fn end(&self, tx: &mut WriteTransaction<'_>, phase: Phase) -> Result<(), JournalError> {
        let ended = tx.execute(
            r"
            UPDATE quay_doctor.operation
            SET phase = $3, finished_at = clock_timestamp(), heartbeat_at = clock_timestamp()
            WHERE id = $1 AND fence = $2
            ",
            &[&self.id.0, &self.fence, &phase.as_column()],
        )?;
        self.only_if_ours(ended)
    }

    fn only_if_ours(&self, rows: u64) -> Result<(), JournalError> {
        if rows == 1 {
            Ok(())
        } else {
            Err(JournalError::Fenced(self.id))
        }
    }
}

/// A count as a `bigint`; no count of rows comes near its end.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

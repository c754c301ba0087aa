//! Recovery: operations whose worker is gone are finished, or taken back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::target::target_of_scope;
use super::worker::{Watcher, Worker, open};
use super::{PolicyError, PolicyOptions};
use crate::batch::refuse_invisible;
use crate::config::ConnectionSettings;
use crate::evaluate::WorkerLife;
use crate::journal::{
    OperationRow, Phase, PolicyOperation, Step, Sums, advance, end_hands, hold_liveness, holder_of,
    link, operation, take_over, unfinished_operations,
};
use crate::pg::{Columns, ReadSession, Statements, WriteSession};
use crate::quay::OperationId;

/// What becomes of an operation that was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// What was not yet activated is taken back, what was is finished.
    Default,
    /// Everything is finished.
    Resume,
    /// Everything that was not yet activated is taken back; what was is finished, for there is no
    /// way back from there.
    RollBack,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The operation.
    pub operation: OperationRow,
    /// How many tags it has changed.
    pub changed: u64,
}

/// The heartbeat of a worker that holds its lock and does nothing: after this it is frozen.
const FROZEN_AFTER: &str = "60 seconds";

/// Every operation that has not ended; only looks.
///
/// # Errors
/// [`PolicyError`] where the database does not answer.
pub fn interrupted(settings: &ConnectionSettings) -> Result<Vec<Found>, PolicyError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let schema = crate::journal::SchemaState::read(&mut snapshot)?;
    schema.needs_journal()?;
    let mut found = Vec::new();
    for operation in unfinished_operations(&mut snapshot)? {
        let row = snapshot.query_one(
            "SELECT tags_changed FROM quay_doctor.operation WHERE id = $1",
            &[&operation.id.0],
        )?;
        let changed = u64::try_from(row.read::<i64>(0)?).unwrap_or(0);
        found.push(Found { operation, changed });
    }
    Ok(found)
}

/// Recovers one policy operation. A live worker is waited for and then left alone; one that holds
/// its lock and has not been heard of is ended first.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn recover(
    settings: &ConnectionSettings,
    id: OperationId,
    how: How,
    wait: Duration,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Option<Outcome>, PolicyError> {
    let (mut session, schema) = open(settings)?;
    refuse_invisible::<PolicyError>(&mut session, &options.limits)?;
    let begun = Instant::now();
    loop {
        let life = life_of(&mut session, id)?;
        match life {
            // It has ended meanwhile.
            None => return Ok(None),
            Some((WorkerLife::Gone, _)) if hold_liveness(&mut session, id)? => break,
            Some((_, worker)) => {
                if end_frozen(&mut session, id)? {
                    continue;
                }
                if begun.elapsed() > wait || watcher.interrupted() {
                    return Err(PolicyError::Live {
                        operation: id,
                        worker,
                    });
                }
            }
        }
        sleep(Duration::from_millis(200));
    }
    // It may have ended between the look and the lock.
    let unfinished = |row: &PolicyOperation| !matches!(row.phase, Phase::Done | Phase::RolledBack);
    let Some(row) = operation(&mut session, id)?.filter(unfinished) else {
        return Ok(None);
    };
    end_hands(&mut session, id)?;
    let taken = take(&mut session, &row, how, options)?;
    let target = target_of_scope(&mut session, taken.scope)?;
    let opened = (session, schema);
    Worker::new(settings, opened, taken, target, options, watcher)
        .drive()
        .map(Some)
}

fn life_of(
    session: &mut WriteSession,
    id: OperationId,
) -> Result<Option<(WorkerLife, String)>, PolicyError> {
    Ok(unfinished_operations(session)?
        .into_iter()
        .find(|operation| operation.id == id)
        .map(|operation| (operation.life(), operation.worker)))
}

/// Ends a worker that holds its lock and has not been heard of; whether there was one.
fn end_frozen(session: &mut WriteSession, id: OperationId) -> Result<bool, PolicyError> {
    let row = session.query_opt(
        "SELECT true FROM quay_doctor.operation \
         WHERE id = $1 AND heartbeat_at < clock_timestamp() - $2::text::interval",
        &[&id.0, &FROZEN_AFTER],
    )?;
    let (Some(_), Some(pid)) = (row, holder_of(session, id)?) else {
        return Ok(false);
    };
    tracing::warn!(operation = %id, pid, "ending a worker that has not been heard of");
    session.query("SELECT pg_terminate_backend($1)", &[&pid])?;
    for _ in 0..50 {
        if holder_of(session, id)?.is_none() {
            return Ok(true);
        }
        sleep(Duration::from_millis(100));
    }
    Ok(false)
}

/// Takes an operation over, and turns it back where that is how.
fn take(
    session: &mut WriteSession,
    row: &PolicyOperation,
    how: How,
    options: &PolicyOptions,
) -> Result<PolicyOperation, PolicyError> {
    let mut tx = session.begin()?;
    take_over(&mut tx, row, &options.who.worker)?;
    // Read only now: a batch of the worker before may have committed since the row was looked at.
    let mut taken = operation(&mut tx, row.id)?.ok_or(PolicyError::NeverBegun(row.id))?;
    if let Some(run) = options.parent {
        link(&mut tx, row.id, run)?;
    }
    if taken.phase == Phase::Applying && how != How::Resume {
        super::roll_back::delete_pending(&mut tx, &taken)?;
        let step = Step {
            phase: Phase::Undoing,
            cursor: None,
            sums: Sums::default(),
            error: Some("its worker was gone".to_owned()),
        };
        advance(&mut tx, &taken, &step)?;
        taken.phase = step.phase;
        taken.cursor = step.cursor;
    }
    tx.commit()?;
    Ok(taken)
}

//! Who is at work on an operation: a session lock on the connection that writes its batches.
//!
//! The lock dies with the connection, so a killed worker holds nothing. Each batch looks in
//! `pg_locks` that its own backend still holds it: a pooler may have given the connection another.
//! A worker's other sessions, its hands, look whether the lead's does.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::pg::{Columns, PgError, Statements};
use crate::quay::OperationId;

/// The first key of our two-key advisory locks: "QDop" in ASCII.
pub const LIVENESS_CLASS: i32 = 0x5144_6f70;

/// The same of a worker's other sessions: "QDhd".
pub const HAND_CLASS: i32 = 0x5144_6864;

/// The second key: the operation's id, folded into what the lock's key can hold.
pub fn liveness_key(operation: OperationId) -> i32 {
    (operation.0 & 0x7fff_ffff) as i32
}

/// Takes the liveness lock on this session, unless another session has it.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn hold_liveness(pg: &mut impl Statements, operation: OperationId) -> Result<bool, PgError> {
    let row = pg.query_one(
        "SELECT pg_try_advisory_lock($1, $2)",
        &[&LIVENESS_CLASS, &liveness_key(operation)],
    )?;
    row.read(0)
}

/// How long the server may take to notice that a worker is gone; its backend then lets go of the lock.
pub const LINGERING: Duration = Duration::from_secs(5);

/// How often a lock is asked for that somebody still holds.
const POLL: Duration = Duration::from_millis(50);

/// The same, where the worker before may have ended a moment ago: asks again for so long.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn hold_liveness_within(
    pg: &mut impl Statements,
    operation: OperationId,
    patience: Duration,
) -> Result<bool, PgError> {
    let since = Instant::now();
    loop {
        if hold_liveness(pg, operation)? {
            return Ok(true);
        }
        if since.elapsed() > patience {
            return Ok(false);
        }
        sleep(POLL);
    }
}

/// A session's process on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendPid(pub i32);

/// Whose session a batch's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The lead's, which has the liveness lock.
    #[default]
    Lead,
    /// A hand's: it works as long as that backend has the liveness lock.
    HandOf(BackendPid),
}

/// Whether the operation's liveness lock is held by this very backend or, for a hand, by its lead's.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn liveness_held(
    pg: &mut impl Statements,
    operation: OperationId,
    part: Part,
) -> Result<bool, PgError> {
    let lead = match part {
        Part::Lead => None,
        Part::HandOf(lead) => Some(lead.0),
    };
    let row = pg.query_one(
        r"
        SELECT EXISTS (
            SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 2 AND granted
                AND classid = $1::int::oid AND objid = $2::int::oid
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND pid = coalesce($3, pg_backend_pid())
        )
        ",
        &[&LIVENESS_CLASS, &liveness_key(operation), &lead],
    )?;
    row.read(0)
}

/// This session's process.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn backend(pg: &mut impl Statements) -> Result<BackendPid, PgError> {
    Ok(BackendPid(
        pg.query_one("SELECT pg_backend_pid()", &[])?.read(0)?,
    ))
}

/// Says that this session is a hand of the operation's worker, by a lock that all of them share:
/// whoever takes the operation over finds them by it.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn become_hand(pg: &mut impl Statements, operation: OperationId) -> Result<(), PgError> {
    pg.query_one(
        "SELECT pg_try_advisory_lock_shared($1, $2)",
        &[&HAND_CLASS, &liveness_key(operation)],
    )?;
    Ok(())
}

/// Ends the hands that an operation's worker has left, and waits until they are gone; whether they are.
/// What a frozen one has open would keep rows and repositories locked for a minute, and a COMMIT that
/// is under way would come after whoever goes on has read how far the operation is.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn end_hands(pg: &mut impl Statements, operation: OperationId) -> Result<bool, PgError> {
    let since = Instant::now();
    loop {
        let hands = holders(pg, HAND_CLASS, operation)?;
        if hands.is_empty() || since.elapsed() > LINGERING {
            return Ok(hands.is_empty());
        }
        for pid in hands {
            tracing::warn!(%operation, pid, "ending a session that a worker has left");
            if let Err(error) = pg.query("SELECT pg_terminate_backend($1)", &[&pid]) {
                tracing::warn!(pid, %error, "it cannot be ended");
            }
        }
        sleep(POLL);
    }
}

/// The backend that holds an operation's liveness lock.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn holder_of(pg: &mut impl Statements, operation: OperationId) -> Result<Option<i32>, PgError> {
    Ok(holders(pg, LIVENESS_CLASS, operation)?.first().copied())
}

/// The backends that hold a lock of a class on an operation.
fn holders(
    pg: &mut impl Statements,
    class: i32,
    operation: OperationId,
) -> Result<Vec<i32>, PgError> {
    let rows = pg.query(
        r"
        SELECT pid
        FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2 AND granted
            AND classid = $1::int::oid AND objid = $2::int::oid
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ",
        &[&class, &liveness_key(operation)],
    )?;
    rows.iter().map(|row| row.read(0)).collect()
}

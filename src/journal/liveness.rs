//! Who is at work on an operation: a session lock on the connection that writes its batches.
//!
//! The lock dies with the connection, so a killed worker holds nothing. Each batch looks in
//! `pg_locks` that its own backend still holds it: a pooler may have given the connection another.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::pg::{Columns, PgError, Statements};
use crate::quay::OperationId;

/// The first key of our two-key advisory locks: "QDop" in ASCII.
pub const LIVENESS_CLASS: i32 = 0x5144_6f70;

/// The second key: the operation's id, folded into what the lock's key can hold.
fn key(operation: OperationId) -> i32 {
    (operation.0 & 0x7fff_ffff) as i32
}

/// Takes the liveness lock on this session, unless another session has it.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn hold_liveness(pg: &mut impl Statements, operation: OperationId) -> Result<bool, PgError> {
    let row = pg.query_one(
        "SELECT pg_try_advisory_lock($1, $2)",
        &[&LIVENESS_CLASS, &key(operation)],
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

/// Whether this very backend holds the liveness lock.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn liveness_held(pg: &mut impl Statements, operation: OperationId) -> Result<bool, PgError> {
    let row = pg.query_one(
        r"
        SELECT EXISTS (
            SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 2 AND granted
                AND classid = $1::int::oid AND objid = $2::int::oid
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND pid = pg_backend_pid()
        )
        ",
        &[&LIVENESS_CLASS, &key(operation)],
    )?;
    row.read(0)
}

/// The backend that holds an operation's liveness lock.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn holder_of(pg: &mut impl Statements, operation: OperationId) -> Result<Option<i32>, PgError> {
    let row = pg.query_opt(
        r"
        SELECT pid
        FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2 AND granted
            AND classid = $1::int::oid AND objid = $2::int::oid
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ",
        &[&LIVENESS_CLASS, &key(operation)],
    )?;
    row.map(|row| row.read(0)).transpose()
}

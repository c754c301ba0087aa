//! Which of several watchers scans a database: whoever holds one session lock.
//!
//! Asked for with a try-lock and held with no open transaction: a session that waits for a lock, or
//! holds a transaction for hours, would keep the server from cleaning up. It dies with its session.

use crate::pg::{Columns, PgError, Statements};

/// The two keys; Quay's own advisory locks have one 64-bit key, which is another key space.
const CLASS: i32 = i32::from_be_bytes(*b"Qdwa");
const OBJECT: i32 = 1;

/// Who holds it in this database, and whether that is this very backend.
const HOLDER: &str = r"
    SELECT pid, pid = pg_backend_pid()
    FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted
        AND classid = $1::int::oid AND objid = $2::int::oid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
";

/// Takes the lock for as long as the session lives, unless another session has it. To be asked only
/// by a session that does not have it: the server counts how often it was taken.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn take_scanner(pg: &mut impl Statements) -> Result<bool, PgError> {
    let row = pg.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&CLASS, &OBJECT])?;
    row.read(0)
}

/// Whether this very backend holds it: a pooler may have given the connection another.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn scanner_held(pg: &mut impl Statements) -> Result<bool, PgError> {
    let row = pg.query_opt(HOLDER, &[&CLASS, &OBJECT])?;
    row.map_or(Ok(false), |row| row.read(1))
}

/// The backend that holds it.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn scanner_holder(pg: &mut impl Statements) -> Result<Option<i32>, PgError> {
    let row = pg.query_opt(HOLDER, &[&CLASS, &OBJECT])?;
    row.map(|row| row.read(0)).transpose()
}

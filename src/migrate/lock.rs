//! The one-migrator lock: polled with a try-lock and no open transaction.
//!
//! A session that waits inside `pg_advisory_lock` holds a snapshot. The other migrator's CREATE
//! INDEX CONCURRENTLY waits for that snapshot, and the two stand in a deadlock. A session that asks,
//! is refused and sleeps holds nothing.

use std::time::{Duration, Instant};

use super::MigrateError;
use super::backoff;
use super::holders::Holders;
use super::notice::{Notice, Sink};
use crate::pg::{PgError, Statements, WriteSession};
use crate::retry::pauses;

/// The two keys. Quay's own advisory locks have one 64-bit key, which is another key space.
const CLASS: i32 = i32::from_be_bytes(*b"Qdoc");
const OBJECT: i32 = 1;

/// Takes the lock for as long as the session lives, or says who has it.
pub(super) fn take(
    session: &mut WriteSession,
    wait: Duration,
    notices: Sink<'_>,
) -> Result<(), MigrateError> {
    let deadline = backoff::deadline(wait);
    let mut pauses = pauses(Duration::from_millis(50), Duration::from_millis(500));
    let mut told = false;
    while !try_lock(session)? {
        let out_of_patience = Instant::now() >= deadline;
        if !told || out_of_patience {
            let holders = Holders::of_advisory_lock(session, CLASS, OBJECT)?;
            if out_of_patience {
                return Err(MigrateError::AnotherMigrator {
                    holders,
                    waited: wait,
                });
            }
            notices(&Notice::WaitsForMigrator {
                holders,
                at_most: wait,
            });
            told = true;
        }
        backoff::sleep(&mut pauses, deadline);
    }
    Ok(())
}

/// Gives the lock back; a session that ends has given it back as well.
pub(super) fn release(session: &mut WriteSession) -> Result<(), PgError> {
    session.query_one("SELECT pg_advisory_unlock($1, $2)", &[&CLASS, &OBJECT])?;
    Ok(())
}

fn try_lock(session: &mut WriteSession) -> Result<bool, PgError> {
    let row = session.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&CLASS, &OBJECT])?;
    Ok(row.try_get(0)?)
}

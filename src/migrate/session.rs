//! A migrator's session: its limits, set in the session itself, and the one-migrator lock.

use std::time::Duration;

use super::notice::Sink;
use super::{MigrateError, lock, scene};
use crate::config::ConnectionSettings;
use crate::pg::{FaultClass, PgError, Statements, WriteSession};

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For another migrator to end.
    pub migrator: Duration,
    /// For a moment in which the tables can be locked without waiting.
    pub tables: Duration,
    /// For one concurrent build, or drop, of an index.
    pub index: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            migrator: Duration::from_secs(5 * 60),
            tables: Duration::from_secs(2 * 60),
            index: Duration::from_secs(10 * 60),
        }
    }
}

/// The longest that a statement of ours runs, outside index builds.
const STATEMENT: Duration = Duration::from_secs(30);

/// The longest that a statement of ours waits for a lock, where it does wait: on our own tables.
const LOCK: Duration = Duration::from_secs(5);

/// The longest that a transaction of ours stands open with nothing to do.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// Set at the head of the transaction that locks Quay's tables: whatever happens to us in it,
/// Quay's queries get their tables back within seconds.
pub(super) const BRIEFLY: [&str; 2] = [
    "SET LOCAL statement_timeout = '5s';",
    "SET LOCAL idle_in_transaction_session_timeout = '5s';",
];

/// Set at the head of a snapshot that only looks.
pub(super) const BOUNDED: &str = "SET LOCAL statement_timeout = '30s'";

/// Opens a session that is the only migrator, on a server that accepts writes.
pub(super) fn open(
    settings: &ConnectionSettings,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<WriteSession, MigrateError> {
    let mut session = WriteSession::open(settings)?;
    scene::refuse_standby(&mut session)?;
    set(&mut session, "application_name", "quay-doctor migrate")?;
    set(&mut session, "client_min_messages", "warning")?;
    set(
        &mut session,
        "idle_in_transaction_session_timeout",
        &milliseconds(IDLE_IN_TRANSACTION),
    )?;
    limit_statements(&mut session)?;
    notice_a_dead_client(&mut session)?;
    lock::take(&mut session, patience.migrator, notices)?;
    Ok(session)
}

/// The limits of every statement that is no concurrent index build.
pub(super) fn limit_statements(session: &mut WriteSession) -> Result<(), PgError> {
    set(session, "statement_timeout", &milliseconds(STATEMENT))?;
    set(session, "lock_timeout", &milliseconds(LOCK))
}

/// The limits of a concurrent build or drop: time alone. A lock_timeout would leave an INVALID
/// index behind at the first long transaction.
pub(super) fn limit_index_work(
    session: &mut WriteSession,
    at_most: Duration,
) -> Result<(), PgError> {
    set(session, "statement_timeout", &milliseconds(at_most))?;
    set(session, "lock_timeout", "0")
}

/// Lets the server end a build whose client has died, instead of going on to hold the lock. The
/// setting came with PostgreSQL 14 and is refused on some platforms: then the build runs out.
fn notice_a_dead_client(session: &mut WriteSession) -> Result<(), PgError> {
    match set(session, "client_connection_check_interval", "2000") {
        Err(error) if error.class() == FaultClass::Connection => Err(error),
        _ => Ok(()),
    }
}

fn set(session: &mut WriteSession, name: &str, value: &str) -> Result<(), PgError> {
    session.query_one("SELECT set_config($1, $2, false)", &[&name, &value])?;
    Ok(())
}

/// A duration as a time-out setting. At least one: 0 would mean no limit.
pub(super) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_becomes_the_setting_that_means_no_limit_or_one_that_is_refused() {
        assert_eq!(milliseconds(Duration::ZERO), "1");
        assert_eq!(milliseconds(Duration::from_secs(2)), "2000");
        assert_eq!(milliseconds(Duration::MAX), i32::MAX.to_string());
    }
}

//! A migrator's session and the one-migrator lock.

use std::time::Duration;

use super::notice::Sink;
use super::{MigrateError, lock};
use crate::config::ConnectionSettings;
use crate::pg::{FaultClass, PgError, Purpose, Statements, WriteSession};

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

/// Set at the head of the transaction that locks Quay's tables: whatever happens to us in it,
/// Quay's queries get their tables back within seconds.
pub(super) const BRIEFLY: [&str; 2] = [
    "SET LOCAL statement_timeout = '5s';",
    "SET LOCAL idle_in_transaction_session_timeout = '5s';",
];

/// The time that [`BRIEFLY`] gives a statement.
pub(super) const BRIEF: Duration = Duration::from_secs(5);

/// The longest that a statement of a snapshot runs that only looks.
pub(super) const BOUNDED: Duration = Duration::from_secs(30);

/// Opens a session that is the only migrator, on a server that accepts writes.
pub(super) fn open(
    settings: &ConnectionSettings,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<WriteSession, MigrateError> {
    let mut session = WriteSession::open_for(settings, Purpose::Migrating)?;
    set(&mut session, "application_name", "quay-doctor migrate")?;
    notice_a_dead_client(&mut session)?;
    lock::take(&mut session, patience.migrator, notices)?;
    Ok(session)
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

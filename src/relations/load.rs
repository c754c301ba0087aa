//! How busy the server is, and how long it lets us work: what a careful operator looks at first.

use chrono::{DateTime, Utc};

use crate::pg::{Columns, PgError, Statements};

/// What the server allows this role, and how busy it is. What the role may not see is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// `statement_timeout` as a new session of this role has it, in milliseconds; 0 is none.
    pub statement_timeout_ms: i64,
    /// `lock_timeout`, likewise.
    pub lock_timeout_ms: i64,
    /// `idle_in_transaction_session_timeout`, likewise.
    pub idle_in_transaction_ms: i64,
    /// Connections that an ordinary role can still open.
    pub free_connections: i64,
    /// Sessions of this database that are at work.
    pub active_sessions: i64,
    /// How far the slowest standby is behind, in milliseconds.
    pub lag_ms: Option<i64>,
    /// When the oldest open transaction of this database began.
    pub oldest_transaction: Option<DateTime<Utc>>,
}

/// Reads the load.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn load(pg: &mut impl Statements) -> Result<Load, PgError> {
    // reset_val is what the session began with: our own SET LOCAL does not count.
    let row = pg.query_one(
        r"
        SELECT
            (SELECT reset_val::bigint FROM pg_settings WHERE name = 'statement_timeout'),
            (SELECT reset_val::bigint FROM pg_settings WHERE name = 'lock_timeout'),
            (SELECT reset_val::bigint FROM pg_settings
             WHERE name = 'idle_in_transaction_session_timeout'),
            current_setting('max_connections')::bigint
                - current_setting('superuser_reserved_connections')::bigint
                - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
            (SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()),
            (SELECT (extract(epoch FROM max(replay_lag)) * 1000)::bigint FROM pg_stat_replication),
            (SELECT min(xact_start) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid())
        ",
        &[],
    )?;
    Ok(Load {
        statement_timeout_ms: row.read::<Option<i64>>(0)?.unwrap_or(0),
        lock_timeout_ms: row.read::<Option<i64>>(1)?.unwrap_or(0),
        idle_in_transaction_ms: row.read::<Option<i64>>(2)?.unwrap_or(0),
        free_connections: row.read(3)?,
        active_sessions: row.read(4)?,
        lag_ms: row.read(5)?,
        oldest_transaction: row.read(6)?,
    })
}

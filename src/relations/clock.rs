//! The server's clock.

use chrono::{DateTime, Utc};

use crate::pg::{Columns, PgError, Statements};

/// The server's clock now; in a transaction it goes on, unlike `now()`.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn server_clock(pg: &mut impl Statements) -> Result<DateTime<Utc>, PgError> {
    pg.query_one("SELECT clock_timestamp()", &[])?.read(0)
}

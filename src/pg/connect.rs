//! Opening a connection: hosts in turn, TLS, session settings.

use postgres::{Client, NoTls};

use super::PgError;
use crate::config::ConnectionSettings;

/// What every session of ours is called in `pg_stat_activity`.
pub(super) const APPLICATION_NAME: &str = "quay-doctor";

/// Opens a connection.
pub(super) fn open(settings: &ConnectionSettings) -> Result<Client, PgError> {
    let mut config: postgres::Config = settings.url().reveal().parse().map_err(PgError::connect)?;
    config.application_name(APPLICATION_NAME);
    config.connect(NoTls).map_err(PgError::connect)
}

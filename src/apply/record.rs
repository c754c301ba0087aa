//! A scan written into the history of scans: one transaction.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::ApplyError;
use crate::config::ConnectionSettings;
use crate::journal::{SchemaState, record_scan};
use crate::pg::{Purpose, WriteSession};

/// Writes a scan down.
///
/// # Errors
/// [`ApplyError`] where there is no journal, or the role may not write it.
pub fn record(
    settings: &ConnectionSettings,
    times: (DateTime<Utc>, DateTime<Utc>),
    complete: bool,
    report: &Value,
) -> Result<(), ApplyError> {
    let mut session = WriteSession::open_for(settings, Purpose::Batches)?;
    SchemaState::read(&mut session)?.needs_journal()?;
    let mut tx = session.begin()?;
    record_scan(&mut tx, times, complete, report)?;
    tx.commit()?;
    Ok(())
}

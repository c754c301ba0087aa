//! The history: who did what, why, when, and what it was before and after.

use super::RunError;
use crate::config::ConnectionSettings;
use crate::journal::{
    HistoryChange, HistoryOf, HistoryRow, JournalError, SchemaState, changes, history,
};
use crate::pg::ReadSession;

/// Operations, and the changes of single tags where one operation or one tag was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The operations, newest first.
    pub operations: Vec<HistoryRow>,
    /// The changes, newest first.
    pub changes: Vec<HistoryChange>,
}

/// Reads the history; changes nothing.
///
/// # Errors
/// [`RunError`] where there is no journal or the database does not answer.
pub fn read_history(
    settings: &ConnectionSettings,
    of: &HistoryOf,
    limit: u32,
) -> Result<History, RunError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    if !SchemaState::read(&mut snapshot)?.has_journal() {
        return Err(JournalError::Absent.into());
    }
    let operations = history(&mut snapshot, of, limit)?;
    let in_detail = of.operation.is_some() || of.tag.is_some();
    let changes = if in_detail {
        changes(&mut snapshot, of, limit)?
    } else {
        Vec::new()
    };
    Ok(History {
        operations,
        changes,
    })
}

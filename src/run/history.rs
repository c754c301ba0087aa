//! The history: who did what, why, when, and what it was before and after.

use super::RunError;
use crate::config::ConnectionSettings;
use crate::journal::{
    Counted, HistoryChange, HistoryOf, HistoryRow, SchemaState, changes, history, how_many,
};
use crate::pg::ReadSession;

/// Changes that are read at once.
const PAGE: u32 = 5_000;

/// Operations, and the changes of single tags where one operation or one tag was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The operations, newest first.
    pub operations: Vec<HistoryRow>,
    /// The changes, newest first.
    pub changes: Vec<HistoryChange>,
    /// How many operations there are.
    pub all_operations: u64,
    /// How many changes there are, where they were asked for.
    pub all_changes: u64,
}

impl History {
    /// How many operations and changes are left out.
    pub fn left_out(&self) -> (u64, u64) {
        (
            self.all_operations - self.operations.len() as u64,
            self.all_changes - self.changes.len() as u64,
        )
    }
}

/// Reads the history in one snapshot; changes nothing. At most `limit` operations and as many changes; without a limit all
/// of them, in some 200 bytes a change.
///
/// # Errors
/// [`RunError`] where there is no journal or the database does not answer.
pub fn read_history(
    settings: &ConnectionSettings,
    of: &HistoryOf,
    limit: Option<u32>,
) -> Result<History, RunError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    SchemaState::read(&mut snapshot)?.needs_journal()?;
    let most = limit.unwrap_or(u32::MAX);
    let mut read = History {
        operations: history(&mut snapshot, of, most)?,
        all_operations: how_many(&mut snapshot, of, Counted::Operations)?,
        ..History::default()
    };
    if of.operation.is_none() && of.tag.is_none() {
        return Ok(read);
    }
    read.all_changes = how_many(&mut snapshot, of, Counted::Changes)?;
    let mut before = None;
    loop {
        let left = most - u32::try_from(read.changes.len()).unwrap_or(u32::MAX);
        let page = changes(&mut snapshot, of, before, left.min(PAGE))?;
        let Some((last, _)) = page.last() else {
            return Ok(read);
        };
        before = Some(*last);
        read.changes
            .extend(page.into_iter().map(|(_, change)| change));
    }
}

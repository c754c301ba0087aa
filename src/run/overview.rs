//! What is under way besides the scans: operations, and how far each has walked.

use super::RunError;
use crate::journal::{SchemaState, UnderWay, under_way};
use crate::pg::ReadSession;
use crate::relations::repositories_of;

/// An operation that has not ended, and how many repositories of its scope it has behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationView {
    /// The operation and its figures.
    pub under_way: UnderWay,
    /// Repositories that the phase at hand has walked, and all of the scope; none where the scope is
    /// one repository, or the operation has none.
    pub walked: Option<(u64, u64)>,
}

/// Every operation that has not ended; none where there is no journal. Only looks.
///
/// # Errors
/// [`RunError`] where the database does not answer.
pub fn operations_under_way(session: &mut ReadSession) -> Result<Vec<OperationView>, RunError> {
    let mut snapshot = session.snapshot()?;
    if !SchemaState::read(&mut snapshot)?.has_journal() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for under_way in under_way(&mut snapshot)? {
        let mut walked = None;
        if let Some(scope) = under_way.operation.scope {
            let all = repositories_of(&mut snapshot, scope)?;
            // The walk goes by repository, in the order of ids.
            let behind = |at| all.iter().filter(|id| **id < at).count();
            let done = under_way
                .cursor
                .as_ref()
                .map_or(0, |at| behind(at.repository));
            walked = (all.len() > 1).then_some((done as u64, all.len() as u64));
        }
        found.push(OperationView { under_way, walked });
    }
    Ok(found)
}

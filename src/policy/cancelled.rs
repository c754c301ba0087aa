//! Statements that somebody cancels: they are tried again, and then the operation stops.

use std::thread::sleep;

use super::PolicyError;
use super::worker::Worker;
use crate::journal::{JournalError, Phase, operation};
use crate::retry::back_off;

/// How often a statement is tried again that somebody cancelled.
pub(super) const CANCELLED: u32 = 2;

/// How often statements were cancelled since the last batch that committed.
#[derive(Default)]
pub(super) struct Cancelled {
    /// The phase, and its batches so far.
    at: Option<(Phase, u64)>,
    times: u32,
}

impl Worker<'_> {
    /// Somebody cancelled a statement, perhaps by mistake: it is tried again. Whoever does it again and again
    /// wants the operation to end; it is left as it is, and can be resumed.
    pub(super) fn after_cancellation(&mut self, error: PolicyError) -> Result<(), PolicyError> {
        let at = (self.operation.phase, self.operation.sums.batches);
        if self.cancelled.at != Some(at) {
            self.cancelled = Cancelled {
                at: Some(at),
                times: 0,
            };
        }
        self.cancelled.times += 1;
        if self.cancelled.times > CANCELLED {
            return Err(self.left(error));
        }
        sleep(back_off(self.cancelled.times));
        let id = self.operation.id;
        let row = operation(&mut self.session, id)?.ok_or(PolicyError::NeverBegun(id))?;
        if row.fence != self.operation.fence {
            return Err(JournalError::Fenced(id).into());
        }
        self.go_on_from(row);
        Ok(())
    }
}

//! Reconnecting: an operation goes on from what its row says.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PolicyError;
use super::worker::{Worker, open, standby};
use crate::ground::Memory;
use crate::journal::{
    Cursor, JournalError, Phase, PolicyOperation, Sums, end_hands, hold_liveness, operation,
};
use crate::retry::{back_off, pauses};

/// A place in which the connection was lost, and nothing has been committed since.
pub(super) struct Stuck {
    at: (Phase, Option<Cursor>, Sums),
    since: Instant,
    losses: u32,
}

impl Worker<'_> {
    /// Reconnects, and reads from the row where the operation is. What is remembered may be wrong:
    /// a commit whose answer was lost may have happened, and a failover may have lost others.
    ///
    /// A connection that is lost again and again in the same place may be lost because of what is done
    /// there: the time counts from the first of these losses, each wait is longer than the one before,
    /// and the batch is made smaller.
    pub(super) fn reconnect(&mut self, error: PolicyError) -> Result<(), PolicyError> {
        let (since, losses) = self.lost_again();
        let mut pauses = pauses(back_off(losses + 1), Duration::from_secs(5));
        let mut last = error;
        while since.elapsed() < self.options.reconnect_for {
            if self.wants_end() {
                return Err(self.left(PolicyError::Interrupted));
            }
            if let Some(pause) = pauses.next() {
                sleep(pause);
            }
            match self.pick_up() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_connection() || standby(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(self.left(last))
    }

    /// Since when nothing has been committed, and how often the connection was lost since then.
    fn lost_again(&mut self) -> (Instant, u32) {
        self.size.halve_from(self.tried);
        let operation = &self.operation;
        let at = (operation.phase, operation.cursor.clone(), operation.sums);
        match &mut self.stuck {
            Some(stuck) if stuck.at == at => stuck.losses += 1,
            stuck => {
                *stuck = Some(Stuck {
                    at,
                    since: Instant::now(),
                    losses: 0,
                });
            }
        }
        self.stuck
            .as_ref()
            .map_or((Instant::now(), 0), |stuck| (stuck.since, stuck.losses))
    }

    fn pick_up(&mut self) -> Result<(), PolicyError> {
        let (mut session, schema) = open(self.settings)?;
        let id = self.operation.id;
        let Some(row) = operation(&mut session, id)? else {
            return Err(PolicyError::NeverBegun(id));
        };
        if row.fence != self.operation.fence {
            return Err(JournalError::Fenced(id).into());
        }
        // A hand's COMMIT may still be under way: what it does is to be seen from here on. And the lock
        // of our lost connection goes when the server notices; until then it is held.
        if !end_hands(&mut session, id)? {
            return Err(PolicyError::LivenessLost(id));
        }
        if !matches!(row.phase, Phase::Done | Phase::RolledBack)
            && !hold_liveness(&mut session, id)?
        {
            return Err(PolicyError::LivenessLost(id));
        }
        self.session = session;
        // A failover may have lost audit entries that are remembered, and others have their ids by now.
        self.memory = Memory::default();
        self.schema = schema;
        self.go_on_from(row);
        Ok(())
    }

    /// Goes on from what the operation's row says after a fault.
    pub(super) fn go_on_from(&mut self, row: PolicyOperation) {
        self.operation = row;
        self.again = true;
        self.restate();
    }
}

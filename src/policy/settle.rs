//! The wait for whoever still decides by the policies as they were.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PolicyError;
use super::safeguard::Safeguard;
use super::worker::Worker;
use crate::pg::{Columns, Statements};
use crate::relations::{PolicyReader, described, policy_readers};

/// How often pg_locks is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How often the worker says that it lives.
const BEAT: Duration = Duration::from_secs(5);

impl Worker<'_> {
    /// Waits until every transaction that holds a lock on a policy table now has ended: it may
    /// have read the policies before our commit, and may push by them after it. No transaction of
    /// ours is open meanwhile. This is how CREATE INDEX CONCURRENTLY waits.
    pub(super) fn settle(&mut self) -> Result<(), PolicyError> {
        let mut open = self.readers()?;
        let begun = Instant::now();
        let mut beaten = Instant::now();
        while !open.is_empty() {
            if begun.elapsed() > self.options.settle_timeout {
                let pids: Vec<i32> = open.iter().filter_map(|reader| reader.pid).collect();
                let prepared = open.len() - pids.len();
                let mut readers = described(&mut self.session, &pids)?;
                if prepared > 0 {
                    readers.push(format!(
                        "{prepared} prepared transactions (pg_prepared_xacts)"
                    ));
                }
                return Err(PolicyError::NotSettled {
                    operation: self.operation.id,
                    readers: readers.join("; "),
                });
            }
            if self.wants_end() {
                return Err(PolicyError::Interrupted);
            }
            sleep(POLL);
            if beaten.elapsed() > BEAT {
                self.beat()?;
                beaten = Instant::now();
            }
            let still = self.readers()?;
            open.retain(|reader| still.contains(reader));
        }
        Ok(())
    }

    /// Who may still decide by the policies as they were.
    fn readers(&mut self) -> Result<Vec<PolicyReader>, PolicyError> {
        let mut readers = policy_readers(&mut self.session)?;
        if !Safeguard::SettleByLocks.is_on() {
            // As one would do it who does not know that a plain role sees nothing of others there.
            let at_work: Vec<i32> = self
                .session
                .query(
                    "SELECT pid FROM pg_stat_activity WHERE xact_start IS NOT NULL",
                    &[],
                )?
                .iter()
                .map(|row| row.read(0))
                .collect::<Result<_, _>>()?;
            readers.retain(|reader| reader.pid.is_some_and(|pid| at_work.contains(&pid)));
        }
        Ok(readers)
    }
}

//! The wait for whoever still decides by the policies as they were.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PolicyError;
use super::worker::Worker;
use crate::relations::{described, policy_readers};

/// How often pg_locks is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How often the worker says that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(5);

impl Worker<'_> {
    /// Waits until every transaction that holds a lock on a policy table now has ended: it may
    /// have read the policies before our commit, and may push by them after it. No transaction of
    /// ours is open meanwhile. This is how CREATE INDEX CONCURRENTLY waits.
    pub(super) fn settle(&mut self) -> Result<(), PolicyError> {
        let mut open = policy_readers(&mut self.session)?;
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
            let still = policy_readers(&mut self.session)?;
            open.retain(|reader| still.contains(reader));
        }
        Ok(())
    }
}

//! The wait for transactions that still decide by the policies as they were.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PolicyError;
use super::worker::Worker;
use crate::journal::last_transaction;
use crate::pg::{PgError, WriteSession};
use crate::relations::{PolicyReader, described, older_snapshots, policy_readers};

/// How often pg_locks is looked at.
const POLL: Duration = Duration::from_millis(50);

impl Worker<'_> {
    /// Waits until every transaction has ended that may push by the policies as they were before our last commit: it
    /// holds a lock on a policy table now, so that it may have read them, or its snapshot is not newer than that
    /// commit. No transaction of ours is open meanwhile. This is how CREATE INDEX CONCURRENTLY waits.
    pub(super) fn settle(&mut self) -> Result<(), PolicyError> {
        let commit = last_transaction(&mut self.session, self.operation.id)?;
        let mut seen = may_decide(&mut self.session, &commit)?;
        let mut open = seen.clone();
        let begun = Instant::now();
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
            self.beat_if_due()?;
            let now = may_decide(&mut self.session, &commit)?;
            open = still_open(&open, &seen, &now);
            seen = now;
        }
        Ok(())
    }
}

/// Transactions that may push by the policies as they were before a commit.
fn may_decide(session: &mut WriteSession, commit: &str) -> Result<Vec<PolicyReader>, PgError> {
    let mut found = policy_readers(session)?;
    for older in older_snapshots(session, commit)? {
        if !found.contains(&older) {
            found.push(older);
        }
    }
    Ok(found)
}

/// Those that are still waited for: of the open ones those that are there, and prepared transactions that were not there
/// at the look before. One that is waited for goes on under another name once it is prepared.
fn still_open(
    open: &[PolicyReader],
    before: &[PolicyReader],
    now: &[PolicyReader],
) -> Vec<PolicyReader> {
    now.iter()
        .filter(|reader| open.contains(reader) || reader.pid.is_none() && !before.contains(reader))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(transaction: &str, pid: Option<i32>) -> PolicyReader {
        PolicyReader {
            transaction: transaction.to_owned(),
            pid,
        }
    }

    #[test]
    fn a_transaction_that_is_prepared_while_it_is_waited_for_is_waited_for_on() {
        let (open, later) = (reader("3/7", Some(70)), reader("4/1", Some(71)));
        let (prepared, old) = (reader("-1/812", None), reader("-1/800", None));
        let before = vec![open.clone(), old.clone()];
        for (now, left) in [
            (vec![open.clone(), later.clone()], vec![open.clone()]),
            (vec![later.clone()], vec![]),
            (vec![later, old.clone()], vec![]),
            (vec![prepared.clone(), old], vec![prepared]),
        ] {
            assert_eq!(
                still_open(std::slice::from_ref(&open), &before, &now),
                left,
                "{now:?}"
            );
        }
    }
}

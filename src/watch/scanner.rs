//! The scanner: reaches the database, waits for its turn, scans when a scan is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};

use super::WatchPlan;
use super::board::{Board, Outcome, Role, Scan, Trouble};
use super::service::Orders;
use super::session::{Contact, Turn};
use super::trend::KEPT;
use crate::evaluate::WorkerLife;
use crate::journal::Phase;
use crate::pg::FaultClass;
use crate::policy;
use crate::quay::OperationId;
use crate::retry::{Pauses, pauses};
use crate::run::{OperationView, Progress, RunError, ScanHistory, check};

/// How often the database is asked whether it is there and whose turn it is.
const BEAT: Duration = Duration::from_secs(5);
/// The waits between attempts to reach a database that does not answer.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often somebody who waits looks up.
const GLANCE: Duration = Duration::from_millis(50);

/// The scanner's own state.
pub(super) struct Scanner {
    board: Arc<Board>,
    orders: Orders,
    plan: Arc<WatchPlan>,
    contact: Option<Contact>,
    due: Instant,
    pauses: Pauses,
}

/// A scan that can be told to end.
struct Cancellable {
    orders: Orders,
    rows: AtomicU64,
}

impl Progress for Cancellable {
    fn begin(&mut self, _what: &str, _total: u64) {}

    fn reached(&mut self, done: u64) {
        self.rows.store(done, Ordering::Relaxed);
    }

    fn end(&mut self) {}

    fn interrupted(&self) -> bool {
        self.orders.stopped()
    }
}

impl Scanner {
    pub(super) fn new(board: Arc<Board>, orders: Orders) -> Self {
        let plan = board.plan();
        Self {
            pauses: pauses_of(&plan),
            plan,
            board,
            orders,
            contact: None,
            due: Instant::now(),
        }
    }

    /// Goes on until it is told to stop.
    pub(super) fn run(mut self) {
        while !self.orders.stopped() {
            self.take_new_plan();
            let pause = match self.round() {
                Ok(pause) => {
                    self.pauses = pauses_of(&self.plan);
                    pause
                }
                Err(error) => self.cut(&error),
            };
            self.wait(pause);
        }
    }

    /// What SIGHUP brought: another database is another session, and it all is looked at anew.
    fn take_new_plan(&mut self) {
        let plan = self.board.plan();
        if Arc::ptr_eq(&plan, &self.plan) {
            return;
        }
        self.plan = plan;
        self.board
            .note(|facts| facts.last_outcome = Some(Outcome::Overtaken));
        self.contact = None;
        self.due = Instant::now();
        self.pauses = pauses_of(&self.plan);
    }

    /// One look at the database, and a scan where it is due; how long to wait then.
    fn round(&mut self) -> Result<Duration, RunError> {
        let mut contact = match self.contact.take() {
            Some(contact) => contact,
            None => Contact::open(&self.plan.settings)?,
        };
        let turn = contact.turn()?;
        self.answered(turn);
        if turn == (Turn::Ours { fresh: true }) {
            self.due = Instant::now();
            self.recall(&mut contact);
        }
        self.look_around(&mut contact)?;
        self.contact = Some(contact);
        let leads = matches!(turn, Turn::Ours { .. });
        if leads && Instant::now() >= self.due {
            self.scan()?;
        }
        let beat = BEAT.min(self.plan.every);
        if leads {
            let left = self.due.saturating_duration_since(Instant::now());
            return Ok(beat.min(left).max(GLANCE));
        }
        Ok(beat.mul_f64(0.75 + fastrand::f64() / 2.0))
    }

    /// Notes whose turn it is, and says so where that is news.
    fn answered(&self, turn: Turn) {
        let role = match turn {
            Turn::Ours { .. } => Role::Scanner,
            Turn::Theirs(holder) => Role::Standby(holder),
        };
        let (before, scanner) = (self.board.facts().role, role == Role::Scanner);
        self.board.note(|facts| {
            facts.role = role.clone();
            facts.answered = Some(Utc::now());
            if turn != (Turn::Ours { fresh: false }) && facts.last.is_some() {
                facts.last_outcome = Some(Outcome::Overtaken);
            }
            if !scanner {
                facts.next = None;
            }
        });
        match (&before, &role) {
            (Role::Scanner, Role::Scanner) | (Role::Standby(_), Role::Standby(_)) => {}
            (_, Role::Standby(holder)) => {
                tracing::info!(?holder, "standing by: another process scans this database");
            }
            (_, _) => tracing::info!("this process scans the database"),
        }
    }

    /// The trend goes on where the history of scans leaves off. Its lack costs only that.
    fn recall(&self, contact: &mut Contact) {
        match contact.history(&self.plan, KEPT) {
            Ok(scans) => self.board.note(|facts| facts.trend.remember(&scans)),
            Err(error) => tracing::warn!(%error, "the history of scans cannot be read"),
        }
    }

    /// Operations at every look; policies, which take longer to read, where operations changed.
    fn look_around(&self, contact: &mut Contact) -> Result<(), RunError> {
        let operations = match contact.operations() {
            Ok(operations) => Some(Arc::new(operations)),
            Err(error) if is_connection(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "operations cannot be read");
                None
            }
        };
        let (before, policies) = self.board.note(|facts| {
            let before = std::mem::replace(&mut facts.operations, operations.clone());
            (before, facts.policies.is_some())
        });
        let standing = |operations: Option<Arc<Vec<OperationView>>>| {
            operations.map(|all| all.iter().map(how_it_stands).collect::<Vec<_>>())
        };
        if !policies || standing(before) != standing(operations) {
            self.look_at_policies()?;
        }
        Ok(())
    }

    fn look_at_policies(&self) -> Result<(), RunError> {
        let policies = match policy::list(&self.plan.settings, &self.plan.request.selection) {
            Ok(policies) => Some(Arc::new(policies)),
            Err(error) => {
                let error = RunError::from(error);
                if is_connection(&error) {
                    return Err(error);
                }
                tracing::warn!(%error, "policies cannot be read");
                None
            }
        };
        self.board.note(|facts| facts.policies = policies);
        Ok(())
    }

    /// One scan, and what became of it.
    fn scan(&mut self) -> Result<(), RunError> {
        let began = Instant::now();
        self.board.note(|facts| {
            facts.scanning_since = Some(Utc::now());
            facts.next = None;
        });
        let mut progress = Cancellable {
            orders: self.orders.clone(),
            rows: AtomicU64::new(0),
        };
        let ended = check(&self.plan.settings, &self.plan.request, &mut progress);
        self.board.note(|facts| facts.scanning_since = None);
        if self.orders.stopped() {
            return Ok(());
        }
        let rows = progress.rows.load(Ordering::Relaxed);
        self.board.note(|facts| facts.rows_read += rows);
        match ended {
            Ok(report) => self.scanned(Scan::new(report, &self.plan, rows))?,
            Err(error) if is_connection(&error) => {
                self.board.note(|facts| {
                    facts.ends.unreachable += 1;
                    facts.last_outcome = Some(Outcome::Unreachable);
                });
                // It is still due: the next one begins as soon as the database is back.
                return Err(error);
            }
            Err(error) => {
                let trouble = Trouble::of(&error);
                let help = trouble.help.as_deref();
                tracing::error!(error = %trouble.why, help, "the scan failed");
                self.board.note(|facts| {
                    facts.ends.failed += 1;
                    facts.last_outcome = Some(Outcome::Failed(trouble));
                });
            }
        }
        self.next_after(began);
        self.look_at_policies()
    }

    /// A report: noted, and recorded where that is wanted.
    fn scanned(&mut self, scan: Scan) -> Result<(), RunError> {
        let scan = Arc::new(scan);
        let complete = scan.report.cut_short.is_none();
        tracing::info!(
            violations = scan.report.total_violations(),
            undecided_rules = scan.report.undecided_rules(),
            complete,
            tags = scan.rows,
            "scanned"
        );
        self.board.note(|facts| {
            facts.answered = Some(Utc::now());
            facts.trend.add(&scan.report);
            facts.last = Some(Arc::clone(&scan));
            if complete {
                facts.ends.complete += 1;
                facts.last_complete = Some(scan.report.finished);
                facts.last_outcome = Some(Outcome::Complete);
            } else {
                facts.ends.cut_short += 1;
                facts.last_outcome = Some(Outcome::CutShort);
            }
        });
        if self.plan.record {
            self.record(&scan)?;
        }
        Ok(())
    }

    /// Only whoever still has the lock writes: two that scanned at once leave one row.
    fn record(&mut self, scan: &Scan) -> Result<(), RunError> {
        if let Some(contact) = &mut self.contact
            && contact.turn()? != (Turn::Ours { fresh: false })
        {
            return Ok(());
        }
        let history = ScanHistory::Database(&self.plan.settings);
        let recorded = history.record(&self.plan.request, &scan.report);
        let recorded = recorded.map_err(|error| Trouble::of(&error));
        if let Err(trouble) = &recorded {
            let help = trouble.help.as_deref();
            tracing::error!(error = %trouble.why, help, "the scan cannot be recorded");
        }
        self.board.note(|facts| facts.recorded = Some(recorded));
        Ok(())
    }

    /// The next scan: counted from the beginning of this one.
    fn next_after(&mut self, began: Instant) {
        self.due = began + spread(self.plan.every, fastrand::f64());
        let left = self.due.saturating_duration_since(Instant::now());
        let next = TimeDelta::from_std(left).ok().map(|left| Utc::now() + left);
        self.board.note(|facts| facts.next = next);
    }

    /// The database does not answer, or is of no use: how long to wait before it is asked again.
    fn cut(&mut self, error: &RunError) -> Duration {
        self.contact = None;
        let trouble = Trouble::of(error);
        let news = self.board.note(|facts| {
            let since = match &facts.role {
                Role::Cut { since, .. } => *since,
                _ => Utc::now(),
            };
            let news =
                !matches!(&facts.role, Role::Cut { trouble: before, .. } if *before == trouble);
            facts.role = Role::Cut {
                since,
                trouble: trouble.clone(),
            };
            facts.next = None;
            // What was seen then may no longer be so.
            facts.operations = None;
            facts.policies = None;
            news
        });
        if news {
            let (error, help) = (&trouble.why, trouble.help.as_deref());
            if trouble.stays {
                tracing::error!(%error, help, "the database cannot be used in this way; nothing is scanned until that is changed");
            } else {
                tracing::warn!(%error, help, "the database cannot be reached; what is so there is not known");
            }
        }
        self.pauses.next().unwrap_or(BACKOFF.1)
    }

    /// Waits, but not through an order or a new plan.
    fn wait(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end
            && !self.orders.stopped()
            && Arc::ptr_eq(&self.board.plan(), &self.plan)
        {
            std::thread::sleep(GLANCE.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// The waits between attempts to reach the database: never longer than the time between scans.
fn pauses_of(plan: &WatchPlan) -> Pauses {
    let longest = BACKOFF.1.min(plan.every.max(BACKOFF.0));
    pauses(BACKOFF.0, longest)
}

/// A time, a tenth of it either way left to chance (of 0 to 1), so that the watchers of many databases
/// do not beat as one.
fn spread(every: Duration, chance: f64) -> Duration {
    every.mul_f64(0.9 + chance / 5.0)
}

/// What of an operation tells how its policy stands.
fn how_it_stands(view: &OperationView) -> (OperationId, Phase, WorkerLife) {
    let operation = &view.under_way.operation;
    (operation.id, operation.phase, operation.life())
}

fn is_connection(error: &RunError) -> bool {
    error.class() == Some(FaultClass::Connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_scans_is_spread_over_a_tenth_either_way() {
        let every = Duration::from_secs(900);
        let after = |chance| spread(every, chance).as_secs();
        assert_eq!((after(0.0), after(0.5), after(1.0)), (810, 900, 990));
    }
}

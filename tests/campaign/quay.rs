//! A schedule of Quay's own ways: its present one, and the recommended fix.

use std::sync::atomic::AtomicBool;
use std::thread::{self, ScopedJoinHandle};

use quay_doctor::ConnectionSettings;
use quay_doctor::sandbox::SandboxError;
use testkit::moments::Boundary;
use testkit::oracle::{Case, Verdict};
use testkit::proxy::{Effect, FaultProxy, Heal};
use testkit::subject::{Blow, InBatchesOf, Subject, Told};

use super::at_work::AtWork;
use super::befall::befall;
use super::fault::{After, Fault, Laid, at_statement, lay};
use super::operation::{Wanted, ask};
use super::others::push_about;
use super::schedule::Schedule;
use super::world::{Arena, PATTERNS};
use crate::policy::pushers::Stopping;

/// Rows that are looked at in one batch: a small registry then has as many batches as a large one
/// has of 500.
const BATCH: i64 = 2;

/// Statements, bytes and rows of one creation, roughly; a fault falls among them.
const STATEMENTS: u64 = 30;
const BYTES: u64 = 5_000;
const ROWS: u32 = 9;

/// Quay's worker, as a thread.
struct Worker<'s, 'p> {
    thread: Option<ScopedJoinHandle<'s, Result<Told, SandboxError>>>,
    proxy: &'p FaultProxy,
}

impl AtWork for Worker<'_, '_> {
    fn has_ended(&mut self) -> bool {
        self.thread
            .as_ref()
            .is_none_or(ScopedJoinHandle::is_finished)
    }

    /// Its connection goes, and no handler of its runs: the blow says so.
    fn kill(&mut self) {
        self.proxy.heal(Heal::End);
    }
}

/// The same fault, where Quay's worker has no COMMIT and far fewer statements.
fn for_quay(fault: &Fault) -> Fault {
    let at_statement = |statement: u64| statement % STATEMENTS + 1;
    let at_row = |row: u32| row % ROWS + 1;
    match *fault {
        Fault::Killed(Boundary(nth))
        | Fault::ClockJump {
            at: Boundary(nth), ..
        } => Fault::KilledAtStatement {
            statement: at_statement(nth.into()),
            answer: nth % 2 == 0,
        },
        Fault::KilledAtStatement { statement, answer } => Fault::KilledAtStatement {
            statement: at_statement(statement),
            answer,
        },
        Fault::Frozen {
            at: Boundary(nth), ..
        }
        | Fault::Paused {
            at: Boundary(nth), ..
        } => Fault::BlackHole {
            statement: at_statement(nth.into()),
            answer: nth % 2 == 0,
            after: After::Delivered,
        },
        Fault::BlackHole {
            statement,
            answer,
            after,
        } => Fault::BlackHole {
            statement: at_statement(statement),
            answer,
            // Nobody takes over from Quay's worker: its connection is gone in the end.
            after: if after == After::TakenOver {
                After::Ended
            } else {
                after
            },
        },
        Fault::Terminated(nth) => Fault::Terminated(at_statement(nth)),
        Fault::LostStatement(nth) => Fault::LostStatement(at_statement(nth)),
        Fault::LostCommit(nth) => Fault::LostCommit(at_statement(nth)),
        Fault::ConnectionLimit { statement, ms } => Fault::ConnectionLimit {
            statement: at_statement(statement),
            ms,
        },
        Fault::CutToServer(bytes) => Fault::CutToServer(bytes % BYTES),
        Fault::CutToProgram(bytes) => Fault::CutToProgram(bytes % BYTES),
        Fault::StatementTimeout { row, once } => Fault::StatementTimeout {
            row: at_row(row),
            once,
        },
        Fault::TerminatedAtRow(row) => Fault::TerminatedAtRow(at_row(row)),
        Fault::DiskFull { row } => Fault::DiskFull { row: at_row(row) },
        Fault::WorkFails { row } => Fault::WorkFails { row: at_row(row) },
        ref other => other.clone(),
    }
}

/// Runs a schedule's creation by one of Quay's ways.
pub fn quays(arena: &Arena, schedule: &Schedule, present: bool) -> Verdict {
    let subject = InBatchesOf {
        rows: BATCH,
        present,
    };
    let asked = ask(arena, &schedule.world, &schedule.wanted, true);
    let mut before = arena.state();
    let proxy = FaultProxy::before(&arena.role_url()).expect("a proxy");
    let fault = for_quay(&schedule.fault);
    let laid = match fault {
        // Each statement of Quay's pass commits itself.
        Fault::LostCommit(nth) => {
            proxy.arm(at_statement(nth, true, Effect::Cut));
            Laid::default()
        }
        _ => lay(arena, &proxy, &fault),
    };
    if matches!(fault, Fault::LockTimeout { .. }) {
        arena.sql(&format!(
            "ALTER ROLE {} SET lock_timeout = '100ms'",
            arena.role
        ));
    }
    let blow = match fault {
        Fault::KilledAtStatement { .. } => Blow::Worker(0),
        _ => Blow::Statement(0),
    };
    let pattern = match schedule.wanted {
        Wanted::Create { pattern, .. } => PATTERNS[pattern],
        ref other => panic!("{} is none of Quay's operations", other.name()),
    };
    let settings = ConnectionSettings::resolve(Some(&proxy.url())).expect("settings");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        for pusher in &schedule.pushers {
            let stop = &stop;
            scope.spawn(move || push_about(arena, pusher, true, stop));
        }
        let thread =
            scope.spawn(|| subject.create(&settings, (arena.namespace, "acme"), pattern, blow));
        let mut worker = Worker {
            thread: Some(thread),
            proxy: &proxy,
        };
        let program = crate::program::path();
        befall(
            arena,
            &proxy,
            &fault,
            &mut worker,
            (&laid, &|| true),
            &program,
        );
        if let Some(thread) = worker.thread.take() {
            // How it ended, it may have told nobody.
            let _ = thread.join();
        }
    });
    proxy.disarm();
    super::run::untrap(arena);
    if let Fault::ClockJump { days, .. } = schedule.fault {
        super::run::jump(arena, days * 86_400_000);
        before.jumped_ahead(days * 86_400_000);
    }
    let direct = ConnectionSettings::resolve(Some(&arena.role_url())).expect("settings");
    subject.clean_up(&direct).expect("a clean-up");
    Case {
        before: &before,
        operations: &[asked.operation],
        acts: &[],
        pushes: schedule.pushes(),
    }
    .judge(&arena.state())
}

//! A fault, while something is at work.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use quay_doctor::pg::{FaultClass, Statements};
use quay_doctor::quay::retarget_lock_key;
use quay_doctor::sandbox::SandboxError;
use testkit::proxy::{Effect, FaultProxy, Heal, Hold, Rule};
use testkit::shared::TestDatabase;

use super::at_work::{AtWork, end, start};
use super::fault::{After, Fault, Held, Laid};
use super::operation::stated;
use super::world::{Arena, open};

/// The longest that a schedule waits for its operation.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// The longest that a pause lasts: what others want then may need what the operation holds.
const PAUSE: Duration = Duration::from_millis(400);

/// How often the heartbeats are tried to be changed where somebody holds their rows.
const ATTEMPTS: u32 = 10;

/// Waits until something is so, or the work has ended; whether it is so.
fn until(work: &mut dyn AtWork, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if work.has_ended() {
            return is_so();
        }
        assert!(begun.elapsed() < PATIENCE, "an operation hangs");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the fault befall the work. What is waited for is no guard of a match.
#[allow(clippy::collapsible_match)]
pub fn befall(
    arena: &Arena,
    proxy: &FaultProxy,
    fault: &Fault,
    work: &mut dyn AtWork,
    (laid, acted): (&Laid, &dyn Fn() -> bool),
    program: &Path,
) {
    let hold = laid.hold.as_ref();
    match fault {
        Fault::LockTimeout { what, ms } => hold_locks(arena, *what, Duration::from_millis(*ms)),
        Fault::Terminated(nth) => {
            if until(work, || proxy.statements() >= *nth) {
                terminate(arena);
            }
        }
        Fault::BlackHole { after, .. } => {
            if until(work, || proxy.struck() > 0) {
                come_out(arena, proxy, *after, program);
            }
        }
        Fault::KilledAtStatement { .. } => {
            if until(work, || proxy.struck() > 0) {
                work.kill();
                proxy.heal(Heal::End);
            }
        }
        Fault::ConnectionLimit { ms, .. } => {
            if until(work, || proxy.statements() > 0) {
                limit(arena, 0);
                if until(work, || proxy.struck() > 0) {
                    thread::sleep(Duration::from_millis(*ms));
                }
                limit(arena, -1);
            }
        }
        Fault::Deadlock { repository } => {
            for _ in 0..4 {
                if !work.has_ended() {
                    lock_crosswise(arena, *repository);
                }
            }
        }
        Fault::Paused { .. } | Fault::PausedInBatch { .. } => {
            if let Some(hold) = hold
                && until_held(work, hold, laid)
            {
                let begun = Instant::now();
                while begun.elapsed() < PAUSE && (!acted() || begun.elapsed() < PAUSE / 10) {
                    thread::sleep(Duration::from_millis(1));
                }
                hold.release();
            }
        }
        Fault::Frozen { .. } => {
            if let Some(hold) = hold
                && until_held(work, hold, laid)
            {
                work.signal("STOP");
                take_over(arena, program);
                hold.release();
                work.signal("CONT");
            }
        }
        _ => {}
    }
    if let Some(kill) = &laid.kill {
        kill_at(work, kill);
    }
}

/// Waits until the work is held, or has come to where it is killed; whether it is held.
fn until_held(work: &mut dyn AtWork, hold: &Hold, laid: &Laid) -> bool {
    let is_killed = || laid.kill.as_ref().is_some_and(Hold::is_reached);
    until(work, || hold.is_reached() || is_killed()) && hold.is_reached()
}

/// Kills the work where it comes to this.
pub fn kill_at(work: &mut dyn AtWork, kill: &Hold) {
    if until(work, || kill.is_reached()) {
        work.kill();
        kill.end();
    }
}

fn limit(arena: &Arena, connections: i32) {
    arena.sql(&format!(
        "ALTER ROLE {} CONNECTION LIMIT {connections}",
        arena.role
    ));
}

fn terminate(arena: &Arena) {
    arena.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        arena.role
    ));
}

fn come_out(arena: &Arena, proxy: &FaultProxy, after: After, program: &Path) {
    match after {
        After::Delivered => {
            thread::sleep(Duration::from_millis(30));
            proxy.heal(Heal::Deliver);
        }
        After::Ended => proxy.heal(Heal::End),
        After::TakenOver => {
            take_over(arena, program);
            proxy.heal(Heal::Deliver);
        }
    }
}

/// Time passes in which nothing is heard of the worker, and somebody recovers.
fn take_over(arena: &Arena, program: &Path) {
    if !has_journal(arena) {
        return;
    }
    end_idle_transactions(arena);
    age(arena, "10 min");
    let args = stated(&["recover", "--wait", "5s"]);
    end(start(program, &arena.role_url(), &args));
}

pub fn has_journal(arena: &Arena) -> bool {
    arena.count("SELECT (to_regclass('quay_doctor.operation') IS NOT NULL)::int") == 1
}

/// What idle_in_transaction_session_timeout does after a minute to a worker that stands still in the
/// middle of a transaction, before anybody takes it for frozen. In the middle of a statement too: a
/// session that has had its Bind and waits for the Execute is 'active', and the server holds every
/// time-out of its back until it hears of its client.
fn end_idle_transactions(arena: &Arena) {
    arena.sql(&format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE usename = '{}' AND (state LIKE 'idle in transaction%'
             OR xact_start IS NOT NULL AND wait_event = 'ClientRead')",
        arena.role
    ));
}

/// Lets the operations' heartbeats grow older. Whoever holds one of their rows and only waits for its
/// client is ended; any other lets go of it in time.
pub fn age(arena: &Arena, by: &str) {
    let sql = format!(
        "SET lock_timeout = '2s';
         UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '{by}'"
    );
    for _ in 0..ATTEMPTS {
        match arena.session().run(&sql) {
            Ok(()) => return,
            Err(error) if error.class() == FaultClass::LockTimeout => end_idle_transactions(arena),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }
    panic!("somebody holds an operation's row, does not wait for its client, and does not end");
}

/// Waits until the server has noticed that the workers are gone, and lets the time pass after which
/// a heartbeat is no life sign any more. Where it does not notice, what they held is let go of.
pub fn bury(arena: &Arena) {
    let begun = Instant::now();
    let there = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'",
        arena.role
    );
    while arena.count(&there) > 0 {
        if begun.elapsed() > Duration::from_secs(20) {
            end_idle_transactions(arena);
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    if has_journal(arena) {
        age(arena, "40 s");
    }
}

fn hold_locks(arena: &Arena, what: Held, time: Duration) {
    let mut session = arena.session();
    let repository = |nth: usize| arena.repositories[nth];
    let sql = match what {
        Held::Rows(nth) => format!(
            "SELECT FROM tag WHERE repository_id = {} AND id % 2 = 0 FOR UPDATE",
            repository(nth)
        ),
        Held::Repository(nth) => {
            format!(
                "SELECT pg_advisory_xact_lock({})",
                retarget_lock_key(repository(nth))
            )
        }
        Held::Policies => {
            "LOCK TABLE namespaceimmutabilitypolicy IN SHARE ROW EXCLUSIVE MODE".to_owned()
        }
    };
    // Whoever is faster has it: this one only has to be in the way.
    if session
        .run(&format!("SET lock_timeout = '2s'; BEGIN; {sql}"))
        .is_ok()
    {
        thread::sleep(time);
    }
    let _ = session.run("ROLLBACK");
}

/// Takes what an operation takes in another order: Quay's lock, rows from the last to the first, and
/// then a policy table.
fn lock_crosswise(arena: &Arena, nth: usize) {
    let Ok(mut session) = open(&arena.url()) else {
        return;
    };
    let id = arena.repositories[nth];
    let key = retarget_lock_key(id);
    for sql in [
        "SET lock_timeout = '3s'; BEGIN".to_owned(),
        format!("SELECT id FROM tag WHERE repository_id = {id} AND id % 2 = 0 FOR UPDATE"),
        "SELECT pg_sleep(0.01)".to_owned(),
        format!("SELECT pg_advisory_xact_lock({key})"),
        format!("SELECT id FROM tag WHERE repository_id = {id} ORDER BY id DESC FOR UPDATE"),
        "LOCK TABLE namespaceimmutabilitypolicy IN ROW EXCLUSIVE MODE".to_owned(),
        "SELECT pg_sleep(0.02)".to_owned(),
    ] {
        // It may be the deadlock's victim itself.
        if session.run(&sql).is_err() {
            break;
        }
    }
    let _ = session.run("ROLLBACK");
}

/// A black hole can let a Bind through and not the Execute: such a session is 'active', not idle, and
/// the server holds its time-outs back until it hears of its client.
#[test]
fn a_session_that_waits_for_its_client_in_mid_statement_holds_nobody_up_for_ever() {
    let db = TestDatabase::quay().expect("a database");
    let arena = Arena::prepare(&db.tcp_url(), false).expect("a registry");
    arena.sql(
        "INSERT INTO quay_doctor.operation (kind, phase, fence, worker, actor, tool_version)
         VALUES ('create', 'applying', gen_random_uuid(), 'a worker', 'an actor', '0')",
    );
    let fresh = "SELECT count(*) FROM quay_doctor.operation
         WHERE heartbeat_at > clock_timestamp() - interval '1 h'";
    let stands = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE usename = '{}' AND state = 'active' AND wait_event = 'ClientRead'",
        arena.role
    );
    let proxy = FaultProxy::before(&arena.role_url()).expect("a proxy");
    proxy.arm(Rule::lost_statement("never carried out", 1).with(Effect::BlackHole));
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut session = open(&proxy.url())?;
            let mut tx = session.begin()?;
            tx.execute("UPDATE quay_doctor.operation SET worker = 'late'", &[])?;
            tx.query("SELECT 'never carried out'", &[])
                .map_err(SandboxError::from)
        });
        while arena.count(&stands) == 0 {
            assert!(!worker.is_finished(), "it was to stand still");
            thread::sleep(Duration::from_millis(1));
        }
        age(&arena, "2 h");
        proxy.heal(Heal::End);
        assert!(worker.join().expect("no panic").is_err());
    });
    assert_eq!(arena.count(fresh), 0);
}

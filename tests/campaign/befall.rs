//! A fault, while something is at work.

use std::path::Path;
use std::time::{Duration, Instant};

use quay_doctor::quay::retarget_lock_key;
use quay_doctor::sandbox::proxy::{FaultProxy, Heal};

use super::at_work::{AtWork, SwitchedOff, end, start, switched_off};
use super::fault::{After, Fault, Held};
use super::operation::stated;
use super::world::{Arena, open};

/// The longest that a schedule waits for its operation.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// The longest that a pause lasts: what others want then may need what the operation holds.
const PAUSE: Duration = Duration::from_millis(400);

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
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the fault befall the work. What is waited for is no guard of a match.
#[allow(clippy::collapsible_match)]
pub fn befall(
    arena: &Arena,
    proxy: &FaultProxy,
    fault: &Fault,
    work: &mut dyn AtWork,
    (hold, acted): (&Path, &dyn Fn() -> bool),
    off: SwitchedOff<'_>,
) {
    match fault {
        Fault::LockTimeout { what, ms } => hold_locks(arena, *what, Duration::from_millis(*ms)),
        Fault::Terminated(nth) => {
            if until(work, || proxy.statements() >= *nth) {
                terminate(arena);
            }
        }
        Fault::BlackHole { after, .. } => {
            if until(work, || proxy.struck() > 0) {
                come_out(arena, proxy, *after, off);
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
                    std::thread::sleep(Duration::from_millis(*ms));
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
        Fault::Paused { .. } | Fault::PausedUnderLock(_) => {
            let held = format!("{}.held", hold.display());
            if until(work, || Path::new(&held).exists()) {
                let begun = Instant::now();
                while begun.elapsed() < PAUSE && (!acted() || begun.elapsed() < PAUSE / 10) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::fs::write(hold, "").expect("a file");
            }
        }
        Fault::Frozen { .. } => {
            let held = format!("{}.held", hold.display());
            if until(work, || Path::new(&held).exists()) {
                work.signal("STOP");
                take_over(arena, off);
                std::fs::write(hold, "").expect("a file");
                work.signal("CONT");
            }
        }
        _ => {}
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

fn come_out(arena: &Arena, proxy: &FaultProxy, after: After, off: SwitchedOff<'_>) {
    match after {
        After::Delivered => {
            std::thread::sleep(Duration::from_millis(30));
            proxy.heal(Heal::Deliver);
        }
        After::Ended => proxy.heal(Heal::End),
        After::TakenOver => {
            take_over(arena, off);
            proxy.heal(Heal::Deliver);
        }
    }
}

/// Time passes in which nothing is heard of the worker, and somebody recovers.
fn take_over(arena: &Arena, off: SwitchedOff<'_>) {
    if !has_journal(arena) {
        return;
    }
    end_idle_transactions(arena);
    age(arena, "10 min");
    let args = stated(&["recover", "--wait", "5s"]);
    end(start(&arena.role_url(), &args, &switched_off(off)));
}

pub fn has_journal(arena: &Arena) -> bool {
    arena.count("SELECT (to_regclass('quay_doctor.operation') IS NOT NULL)::int") == 1
}

/// What idle_in_transaction_session_timeout does after a minute to a worker that stands still in the
/// middle of a transaction, before anybody takes it for frozen.
fn end_idle_transactions(arena: &Arena) {
    arena.sql(&format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE usename = '{}' AND state LIKE 'idle in transaction%'",
        arena.role
    ));
}

pub fn age(arena: &Arena, by: &str) {
    arena.sql(&format!(
        "UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '{by}'"
    ));
}

/// Waits until the server has noticed that the workers are gone, and lets the time pass after which
/// a heartbeat is no life sign any more.
pub fn bury(arena: &Arena) {
    let begun = Instant::now();
    let there = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'",
        arena.role
    );
    while arena.count(&there) > 0 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
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
        std::thread::sleep(time);
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

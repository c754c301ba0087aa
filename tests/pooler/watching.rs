//! A watcher behind a pooler: in session mode as on the server, in the other modes it says what it
//! cannot do; in each the pool gets its backends back as they were.

use std::time::{Duration, Instant};

use super::bouncer::Bouncer;
use super::transaction::nothing_was_set;
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::watch::service::{PATIENCE, Watcher};

/// How many hold the scanner's lock.
const SCANNERS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
    AND classid = 1365538657 AND objid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Waits until the pooler has noticed that its client is gone.
#[track_caller]
fn until_nobody_scans(stage: &Stage) {
    let begun = Instant::now();
    while stage.count(SCANNERS) > 0 {
        assert!(begun.elapsed() < PATIENCE, "the lock stays in the pool");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn through_a_pool_in_session_mode_one_watches_and_another_takes_over() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), "pool_mode = session") else {
        return;
    };
    let url = bouncer.url(stage.db.name());
    let mut first = Watcher::of(&url, &[]);
    first.until_known();
    assert_eq!(first.report()["totals"]["violations"], 520);
    let mut second = Watcher::of(&url, &[]);
    second.until("standing by", |second| second.log().contains("standing by"));
    assert_eq!(second.figure("quay_doctor_watch_scanner"), Some(0.0));
    // The backend goes back into the pool, and the lock must not go with it.
    first.signal("TERM");
    assert_eq!(first.ended().code(), Some(0), "{}", first.log());
    second.until_known();
    assert_eq!(stage.count(SCANNERS), 1);
    second.signal("TERM");
    assert_eq!(second.ended().code(), Some(0), "{}", second.log());
    until_nobody_scans(&stage);
    nothing_was_set(&url);
}

/// One that is killed says nothing to anybody: the pooler notices.
#[test]
fn a_watcher_that_is_killed_leaves_no_lock_in_the_pool() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), "pool_mode = session") else {
        return;
    };
    let url = bouncer.url(stage.db.name());
    let mut watcher = Watcher::of(&url, &[]);
    watcher.until_known();
    watcher.signal("KILL");
    watcher.ended();
    until_nobody_scans(&stage);
    nothing_was_set(&url);
}

fn told_and_left_alone(mode: &str) {
    let stage = Stage::migrated(BOTH_FAILURES);
    let settings = format!("pool_mode = {mode}");
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), &settings) else {
        return;
    };
    let url = bouncer.url(stage.db.name());
    let before = stage.dump();
    let mut watcher = Watcher::of(&url, &["--record"]);
    watcher.until("told", |watcher| {
        watcher
            .page()
            .contains("gives each transaction another backend")
    });
    let (ready, figures) = (watcher.get("/readyz"), watcher.figures());
    assert_eq!(ready.status, 503, "{ready:?}");
    // Nobody is to look for a server that is down, and what to do is said wherever somebody looks first.
    let (page, help) = (watcher.page(), "or to a pool in session mode");
    let what = "database cannot be used in this way, since";
    assert!(page.contains(what) && page.contains(help), "{page}");
    assert!(!page.contains("unreachable"), "{page}");
    assert!(ready.body.starts_with(what), "{ready:?}");
    assert!(watcher.log().contains(help), "{}", watcher.log());
    assert_eq!(figures["quay_doctor_watch_known"], 0.0, "{figures:?}");
    assert_eq!(figures["quay_doctor_watch_scanner"], 0.0, "{figures:?}");
    watcher.signal("TERM");
    assert_eq!(watcher.ended().code(), Some(0), "{}", watcher.log());
    assert_eq!(stage.dump(), before);
    nothing_was_set(&url);
}

#[test]
fn a_pool_in_transaction_or_statement_mode_is_told_and_nothing_stays_in_it() {
    told_and_left_alone("transaction");
    told_and_left_alone("statement");
}

//! One scans, the others stand by; and the database comes and goes.

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, StopMode, fixture};

use super::service::Watcher;
use crate::deploy::estate::{Estate, READER, SOUND};
use crate::line::stage::{BOTH_FAILURES, Stage};

/// A cluster of its own with Quay's tables and both failures in it.
pub fn cluster() -> Cluster {
    let cluster = Cluster::builder().start().expect("a cluster");
    cluster.create_database("quay").expect("a database");
    let mut session =
        WriteSession::open(&cluster.settings("quay").expect("settings")).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    World::parse(BOTH_FAILURES)
        .expect("a description")
        .seed(&mut session, chrono::Utc::now())
        .expect("a world");
    cluster
}

/// The figures that say that nothing is known.
#[track_caller]
pub fn knows_nothing(watcher: &Watcher) {
    let figures = watcher.figures();
    assert_eq!(figures["quay_doctor_watch_known"], 0.0);
    let of_rules = figures.keys().filter(|name| name.contains("rule="));
    assert_eq!(of_rules.count(), 0, "{figures:#?}");
}

#[test]
fn one_scans_and_another_takes_over_when_it_is_killed() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let first = Watcher::of(&stage.db.url(), &[]);
    first.until_known();
    let second = Watcher::of(&stage.db.url(), &[]);
    second.until("standing by", |second| second.log().contains("standing by"));
    let ready = second.get("/readyz");
    assert_eq!(
        (ready.status, ready.body.contains("standing by")),
        (200, true),
        "{ready:?}"
    );
    assert!(
        second
            .page()
            .contains("Standing by: another process scans this database")
    );
    assert_eq!(second.figure("quay_doctor_watch_scanner"), Some(0.0));
    knows_nothing(&second);
    // The lock is held without a transaction: nothing of the server waits for it.
    let held = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE l.locktype = 'advisory' AND a.datname = current_database() AND a.state = 'idle in transaction'";
    // A scan of the first may be under way, in a transaction of its own.
    let begun = std::time::Instant::now();
    while stage.count(held) > 0 {
        assert!(begun.elapsed().as_secs() < 60, "a transaction holds a lock");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    first.signal("KILL");
    drop(first);
    second.until_known();
    assert_eq!(second.figure("quay_doctor_watch_scanner"), Some(1.0));
}

#[test]
fn a_database_that_goes_is_told_and_one_that_comes_back_is_scanned() {
    let mut cluster = cluster();
    let watcher = Watcher::of(&cluster.url("quay"), &[]);
    watcher.until_known();
    let last = "quay_doctor_watch_last_complete_scan_timestamp_seconds";
    assert!(watcher.page().contains("520 violations"));
    cluster.stop(StopMode::Immediate).expect("stopped");
    watcher.until("unreachable", |watcher| {
        watcher.figure("quay_doctor_watch_database_reachable") == Some(0.0)
    });
    knows_nothing(&watcher);
    let when = watcher.figure(last).expect("the age goes on");
    let page = watcher.page();
    assert!(
        page.contains("Not known: database unreachable since"),
        "{page}"
    );
    assert!(page.contains("What is so now is not known"), "{page}");
    assert!(!page.contains("All is well"), "{page}");
    let ready = watcher.get("/readyz");
    assert_eq!(
        (ready.status, ready.body.contains("database unreachable")),
        (503, true)
    );
    assert_eq!(watcher.get("/healthz").status, 200);
    let report = watcher.get("/report.json");
    assert_eq!(report.status, 503, "{report:?}");
    assert_eq!(watcher.report()["last"]["totals"]["violations"], 520);
    cluster.start_again().expect("started");
    watcher.until_known();
    assert!(watcher.figure(last) > Some(when));
    assert!(watcher.page().contains("520 violations"));
}

#[test]
fn a_watcher_that_begins_before_its_database_waits_for_it() {
    let mut cluster = cluster();
    cluster.stop(StopMode::Fast).expect("stopped");
    let watcher = Watcher::of(&cluster.url("quay"), &[]);
    watcher.until("unreachable", |watcher| {
        watcher.page().contains("database unreachable")
    });
    knows_nothing(&watcher);
    assert!(
        watcher.log().contains("cannot be reached"),
        "{}",
        watcher.log()
    );
    cluster.start_again().expect("started");
    watcher.until_known();
}

#[test]
fn the_readers_role_is_enough_and_recording_is_refused_aloud() {
    let Some(estate) = Estate::staffed() else {
        return;
    };
    let url = estate.url(READER, SOUND);
    let watcher = Watcher::of(&url, &["--record"]);
    watcher.until_known();
    watcher.until("refused", |watcher| {
        watcher.figure("quay_doctor_watch_record_last_successful") == Some(0.0)
    });
    let page = watcher.page();
    assert!(
        page.contains("The last scan could not be recorded"),
        "{page}"
    );
    let figures = watcher.figures();
    assert_eq!(
        figures["quay_doctor_watch_operations{state=\"interrupted\"}"],
        2.0
    );
    assert_eq!(
        figures["quay_doctor_watch_policies{state=\"interrupted\"}"],
        2.0
    );
    assert_eq!(
        figures["quay_doctor_watch_violations{rule=\"interrupted-operation\",severity=\"error\"}"],
        2.0
    );
    assert!(page.contains("✗ interrupted"), "{page}");
}

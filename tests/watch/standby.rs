//! A watcher of a hot standby, and hosts that change their roles under one.

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::{Standby, StopMode};

use super::service::Watcher;
use super::turns::knows_nothing;
use crate::line::stage::BOTH_FAILURES;
use crate::policy::failover::{both, pair};

const RECORDED: &str = "quay_doctor_watch_record_last_successful";

/// What is so on the server that took over, and was not before.
fn mend_all_but_orphans(standby: &Standby) {
    let settings = standby.settings("quay").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .run("UPDATE namespaceimmutabilitypolicy SET active = false")
        .expect("a change that only a primary takes");
}

/// Reads do; what it cannot do there is told, and a promotion gives it that.
#[test]
fn a_standby_is_watched_and_its_promotion_is_followed() {
    let Some((mut primary, standby)) = pair(BOTH_FAILURES) else {
        return;
    };
    // Its lock is the standby's own: a watcher of the primary neither sees it nor is seen.
    let of_primary = Watcher::of(&primary.url("quay"), &[]);
    of_primary.until_known();
    let watcher = Watcher::of(&standby.url("quay"), &["--record"]);
    watcher.until_known();
    assert_eq!(watcher.figure("quay_doctor_watch_scanner"), Some(1.0));
    let report = watcher.report();
    assert_eq!(report["totals"]["violations"], 520);
    assert_eq!(report["database"]["standby"], true);
    watcher.until("the record refused", |watcher| {
        watcher.figure(RECORDED) == Some(0.0)
    });
    let page = watcher.page();
    for words in [
        ", a standby",
        "this is a standby: a worker's life is judged by its heartbeat alone",
        "The last scan could not be recorded",
        "accepts no writes: this server is a standby",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }

    drop(of_primary);
    primary.stop(StopMode::Fast).expect("a stop");
    standby.promote().expect("a promotion");
    mend_all_but_orphans(&standby);
    watcher.until("no standby any more", |watcher| {
        watcher.figure("quay_doctor_watch_known") == Some(1.0)
            && watcher.report()["database"]["standby"] == false
            && watcher.figure(RECORDED) == Some(1.0)
    });
    watcher.until_scanned_again();
    assert_ne!(watcher.report()["totals"]["violations"], 520);
    assert!(!watcher.page().contains(", a standby"));
}

/// Between the two it knows nothing, and says so.
#[test]
fn hosts_that_change_their_roles_are_followed_to_the_one_that_takes_writes() {
    let Some((mut primary, standby)) = pair(BOTH_FAILURES) else {
        return;
    };
    let url = both(&standby.tcp_url("quay"), &primary.tcp_url("quay"));
    let watcher = Watcher::of(&url, &[]);
    watcher.until_known();
    assert_eq!(watcher.report()["database"]["standby"], false);
    primary.stop(StopMode::Immediate).expect("a stop");
    watcher.until("unreachable", |watcher| {
        watcher.figure("quay_doctor_watch_database_reachable") == Some(0.0)
    });
    knows_nothing(&watcher);
    assert_eq!(watcher.get("/readyz").status, 503);
    watcher.until("why the other host does not do", |watcher| {
        watcher.page().contains("accepts no writes")
    });
    knows_nothing(&watcher);
    standby.promote().expect("a promotion");
    mend_all_but_orphans(&standby);
    watcher.until_known();
    watcher.until_scanned_again();
    let report = watcher.report();
    assert_eq!(report["database"]["standby"], false);
    assert_ne!(report["totals"]["violations"], 520, "{report}");
}

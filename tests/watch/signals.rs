//! What an operator tells it: SIGHUP, SIGTERM, and what it refuses to begin with.

use std::fs;
use std::path::Path;

use super::service::Watcher;
use super::turns::cluster;
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::program;

const INTERVAL: &str = "quay_doctor_watch_interval_seconds";
const RELOADED: &str = "quay_doctor_watch_config_last_reload_successful";

/// A rule of one's own that each namespace violates.
const RULE: &str = r#"
id = "no-namespace"
severity = "info"
subject = "row"
summary = "There is no namespace acme"
reason = "A test wants a rule that is violated."
message = "is there"

[query]
sql = """
SELECT username AS namespace, username AS name FROM "user" WHERE username = 'acme'
"""
"#;

fn watching(folder: &Path, url: &str) -> Watcher {
    let args = ["watch", "--listen", "127.0.0.1:0"];
    Watcher::start(
        program::command(&args)
            .current_dir(folder)
            .env("DATABASE_URL", url),
    )
}

#[test]
fn sighup_reads_configuration_and_rules_again_and_a_bad_one_changes_nothing() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |text: &str| fs::write(folder.path().join("quay-doctor.toml"), text).expect("written");
    write("every = '50s'\n");
    let watcher = watching(folder.path(), &stage.db.url());
    watcher.until_known();
    assert_eq!(watcher.figure(INTERVAL), Some(50.0));

    write("every = '40s'\ngrade = 7\n");
    watcher.signal("HUP");
    watcher.until("refused", |watcher| watcher.figure(RELOADED) == Some(0.0));
    assert_eq!(
        watcher.figure(INTERVAL),
        Some(50.0),
        "the one before counts"
    );
    assert_eq!(watcher.figure("quay_doctor_watch_known"), Some(1.0));
    let (page, log) = (watcher.page(), watcher.log());
    assert!(
        page.contains("The configuration could not be read again"),
        "{page}"
    );
    assert!(
        log.contains("quay-doctor.toml:2") && log.contains("grade"),
        "{log}"
    );

    fs::create_dir(folder.path().join("rules")).expect("a folder");
    fs::write(folder.path().join("rules/no-namespace.toml"), RULE).expect("a rule");
    write("every = '30s'\nchecks = 'rules'\n");
    watcher.signal("HUP");
    watcher.until("read again", |watcher| {
        let figures = watcher.figures();
        figures[INTERVAL] == 30.0
            && figures[RELOADED] == 1.0
            && figures.get("quay_doctor_watch_violations{rule=\"no-namespace\",severity=\"info\"}")
                == Some(&1.0)
    });
    assert!(!watcher.page().contains("could not be read again"));
}

#[test]
fn sigterm_and_sigint_end_it_with_status_0() {
    let stage = Stage::migrated(BOTH_FAILURES);
    for name in ["TERM", "INT"] {
        let mut watcher = Watcher::of(&stage.db.url(), &[]);
        watcher.until_known();
        watcher.signal(name);
        assert_eq!(watcher.ended().code(), Some(0), "{name}: {}", watcher.log());
    }
    // Its lock has gone with it.
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(stage.count(held), 0);
}

#[test]
fn sigterm_ends_a_scan_that_hangs_and_a_wait_for_the_database() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let mut session = stage.session();
    let mut tx = session.begin().expect("a transaction");
    tx.run("LOCK TABLE tag IN ACCESS EXCLUSIVE MODE")
        .expect("a lock");
    let mut watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until("at it", |watcher| {
        watcher.figure("quay_doctor_watch_scan_in_progress") == Some(1.0)
    });
    watcher.signal("TERM");
    assert_eq!(watcher.ended().code(), Some(0), "{}", watcher.log());

    let gone = cluster();
    let url = gone.url("quay");
    drop(gone);
    let mut watcher = Watcher::of(&url, &[]);
    watcher.until("unreachable", |watcher| {
        watcher.log().contains("cannot be reached")
    });
    watcher.signal("TERM");
    assert_eq!(watcher.ended().code(), Some(0), "{}", watcher.log());
}

#[test]
fn what_cannot_be_watched_is_refused_before_anything_is_tried() {
    let nowhere = ["--database-url", "postgresql://nobody@127.0.0.1:1/none"];
    let folder = tempfile::tempdir().expect("a folder");
    let short = folder.path().join("short");
    fs::write(&short, "hunter2\n").expect("a token");
    let short = short.to_str().expect("UTF-8");
    for (args, told) in [
        (
            vec!["--listen", "0.0.0.0:0"],
            "--token-file FILE or QUAY_DOCTOR_TOKEN",
        ),
        (
            vec!["--listen", "[::]:0"],
            "can be reached from other machines",
        ),
        (
            vec!["--token-file", short],
            "it has 7 characters, and needs 16",
        ),
        (
            vec!["--token-file", "/nonexistent"],
            "/nonexistent cannot be read",
        ),
        (vec!["--every", "1ms"], "too often"),
        (vec!["--listen", "localhost"], "invalid"),
        (vec!["--rule", "no-such-rule"], "no-such-rule"),
    ] {
        let mut all = vec!["watch"];
        all.extend(nowhere);
        all.extend(&args);
        let ended = program::run(&all).expect_status(2);
        assert!(ended.stderr.contains(told), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn an_address_that_somebody_has_is_told_with_status_3() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = stage.run(&["watch", "--listen", &address]).expect_status(3);
    assert!(
        ended.stderr.contains("cannot be listened on"),
        "{}",
        ended.stderr
    );
}

//! A server that accepts no writes: a standby, or one that an administrator has frozen. Verbs that write say
//! which, with one exit status; verbs that read go on; an operation under way waits.

use super::{Level, set, with_work};
use crate::policy::scene::{GLOBEX, Running, SMALL, Scene, policy};
use crate::program::run_on;

/// Every verb that writes.
const WRITING: [&[&str]; 11] = [
    &["migrate", "up"],
    &["migrate", "down", "--to", "1"],
    &["migrate", "hand-over"],
    &[
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
    ],
    &[
        "policy",
        "update",
        GLOBEX,
        "--pattern",
        "w.*",
        "--unmatched-tags",
        "keep",
    ],
    &["policy", "delete", GLOBEX, "--tags", "keep"],
    &["policy", "activate", GLOBEX],
    &["policy", "deactivate", GLOBEX, "--tags", "keep", "--yes"],
    &["fix", "--apply", "--immutable-tags-can-expire", "false"],
    &["fix", "undo", "1"],
    &["recover"],
];

/// Verbs that only read.
const READING: [&[&str]; 5] = [
    &["check"],
    &["policy", "list"],
    &["migrate", "status"],
    &["recover", "--list"],
    &["history"],
];

#[test]
fn every_verb_that_writes_names_the_setting_that_freezes_writes_and_no_verb_that_reads_minds() {
    for (level, named) in [
        (Level::Database, "for the database"),
        (Level::Role, "for the role in this database"),
    ] {
        let scene = with_work();
        set(&scene, level, "default_transaction_read_only", "on");
        let before = scene.state();
        for args in WRITING {
            let ended = scene.run(args).expect_status(2);
            for word in ["default_transaction_read_only is on", named] {
                assert!(ended.stderr.contains(word), "{args:?}: {}", ended.stderr);
            }
        }
        assert_eq!(scene.state(), before);
        for args in READING {
            let ended = scene.run(args);
            assert_ne!(ended.status, 2, "{args:?}: {ended:#?}");
            assert_eq!(ended.stderr, "", "{args:?}: {ended:#?}");
        }
    }
}

#[test]
fn every_verb_that_writes_tells_a_standby_with_the_same_status() {
    let Some((primary, standby)) = crate::policy::failover::pair(SMALL) else {
        return;
    };
    let url = standby.url("quay");
    let mut session =
        quay_doctor::pg::WriteSession::open(&primary.settings("quay").expect("settings"))
            .expect("a session");
    session.run(super::WORK).expect("something to do");
    standby.wait_until_caught_up().expect("the same rows");
    for args in WRITING {
        let ended = run_on(&url, args).expect_status(2);
        assert!(ended.stderr.contains("standby"), "{args:?}: {ended:#?}");
    }
    for args in READING {
        let ended = run_on(&url, args);
        assert_ne!(ended.status, 2, "{args:?}: {ended:#?}");
        assert_eq!(ended.stderr, "", "{args:?}: {ended:#?}");
    }
}

#[test]
fn an_operation_waits_for_writes_that_are_frozen_in_the_middle_of_it() {
    let scene = Scene::of(SMALL);
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name = 'v2.1' FOR UPDATE")
        .expect("a lock");
    let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
    let run = scene.start(
        &[],
        &policy(&[&create[..], &["--strategy", "phased"]].concat()),
    );
    scene.wait_for("SELECT (count(*) = 10)::int FROM quay_doctor.tag_change");
    set(
        &scene,
        Level::Database,
        "default_transaction_read_only",
        "on",
    );
    // Who is connected already keeps its settings, so that its connection has to go.
    scene.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'quay-doctor'
             AND pid <> pg_backend_pid() AND backend_type = 'client backend'
             AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
    );
    std::thread::sleep(std::time::Duration::from_millis(500));
    set(
        &scene,
        Level::Database,
        "default_transaction_read_only",
        "off",
    );
    other.run("ROLLBACK").expect("the end");
    run.end().expect_status(0);
    scene.check();
}

#[test]
fn an_operation_that_stays_frozen_is_left_and_can_be_resumed() {
    let scene = Scene::of(SMALL);
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name = 'v2.1' FOR UPDATE")
        .expect("a lock");
    let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
    let more = ["--strategy", "phased", "--reconnect-for", "1s"];
    let run: Running = scene.start(&[], &policy(&[&create[..], &more].concat()));
    scene.wait_for("SELECT (count(*) = 10)::int FROM quay_doctor.tag_change");
    set(
        &scene,
        Level::Database,
        "default_transaction_read_only",
        "on",
    );
    scene.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'quay-doctor'
             AND pid <> pg_backend_pid() AND backend_type = 'client backend'
             AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
    );
    let ended = run.end().expect_status(3);
    for word in ["default_transaction_read_only", "not finished"] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
    set(
        &scene,
        Level::Database,
        "default_transaction_read_only",
        "off",
    );
    other.run("ROLLBACK").expect("the end");
    scene.bury();
    scene.run(&["recover", "--resume"]).expect_status(0);
    scene.check();
}

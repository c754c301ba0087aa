//! A pool in session mode: every command works through it as on the server.

use quay_doctor::pg::Statements as _;
use serde_json::Value;
use testkit::moments::AFTER_COMMIT;
use testkit::proxy::FaultProxy;

use super::bouncer::Bouncer;
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::policy::running::Running;
use crate::policy::scene::{GLOBEX, MATCHING, Scene, policy};
use crate::program::{self, run_on};

#[test]
fn migrate_check_fix_and_undo_work_through_a_pool_in_session_mode() {
    let stage = Stage::of(BOTH_FAILURES);
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), "pool_mode = session") else {
        return;
    };
    let url = bouncer.url(stage.db.name());
    let flags = ["--immutable-tags-can-expire", "false"];
    let run = |args: &[&str]| run_on(&url, &[args, &flags].concat());
    run(&["migrate", "status"]).expect_status(1);
    run(&["migrate", "up"]).expect_status(0);
    run(&["migrate", "verify"]).expect_status(0);
    run(&["check"]).expect_status(1);
    let applied = run(&["fix", "--apply", "--format", "json"]).expect_status(1);
    let applied: Value = applied.json();
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name LIKE 'v2.%' AND immutable"),
        200,
        "{applied}"
    );
    run(&["tag", "explain", "acme/shop:v1"]).expect_status(0);
    run(&["history"]).expect_status(0);
    let id = stage.count("SELECT max(id) FROM quay_doctor.operation");
    let id = id.to_string();
    run(&["fix", "undo", &id]).expect_status(0);
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name LIKE 'v2.%' AND immutable"),
        0
    );
}

#[test]
fn policy_operations_and_recover_work_through_a_pool_in_session_mode() {
    let scene = Scene::small();
    let Some(bouncer) = Bouncer::before(&scene.db.tcp_url(), "pool_mode = session") else {
        return;
    };
    let url = bouncer.url(scene.db.name());
    let create = policy(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
        "--batch-time",
        "1us",
    ]);
    let before = scene.state();
    // A worker that dies in the middle.
    let proxy = FaultProxy::before(&url).expect("a proxy");
    let hold = AFTER_COMMIT.nth(3).hold(&proxy);
    let through = proxy.url();
    let command = program::command(&[&["--database-url", &through][..], &create].concat());
    let mut run = Running::behind(proxy, command);
    run.reach(&hold, AFTER_COMMIT.name());
    run.kill();
    // The pooler ends the session of a client that is gone, and with it the liveness lock.
    scene.bury();
    run_on(&url, &["recover", "--list"]).expect_status(3);
    run_on(&url, &["recover"]).expect_status(0);
    assert_eq!(scene.unfinished(), 0);
    assert_eq!(scene.state(), before, "rolled back");
    // One that lives.
    let created = run_on(&url, &create).expect_status(0).json();
    assert_eq!(created["tags_changed"], MATCHING, "{created}");
    run_on(&url, &["check"]).expect_status(0);
    run_on(
        &url,
        &policy(&["deactivate", GLOBEX, "--yes", "--tags", "keep"]),
    )
    .expect_status(0);
    run_on(&url, &policy(&["activate", GLOBEX])).expect_status(0);
    run_on(&url, &["check", "--strict"]).expect_status(0);
}

/// The pool hands a backend that served us to the registry next.
#[test]
fn a_check_leaves_no_setting_behind_in_the_pool() {
    let stage = Stage::of(BOTH_FAILURES);
    let settings = "pool_mode = session\ndefault_pool_size = 5";
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), settings) else {
        return;
    };
    run_on(&bouncer.url(stage.db.name()), &["check"]).expect_status(1);
    let mut session = bouncer.session(stage.db.name()).expect("a session");
    let row = session
        .query_one(
            "SELECT current_setting('default_transaction_read_only')",
            &[],
        )
        .expect("a setting");
    assert_eq!(row.get::<_, String>(0), "off");
}

/// What PgBouncer does not pass on is told with the setting that helps, and works with it.
#[test]
fn server_settings_in_the_url_want_a_word_to_the_pooler() {
    let stage = Stage::of(BOTH_FAILURES);
    let mut with = "pool_mode = session".to_owned();
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), &with) else {
        return;
    };
    let url = |bouncer: &Bouncer| {
        let url = bouncer.url(stage.db.name());
        format!("{url}?options=-c%20work_mem%3D8MB")
    };
    let refused = run_on(&url(&bouncer), &["check"]);
    // PgBouncer 1.20 and later understand options.
    if refused.status != 1 {
        let refused = refused.expect_status(3);
        assert!(
            refused.stderr.contains("ignore_startup_parameters"),
            "{refused:?}"
        );
    }
    with.push_str("\nignore_startup_parameters = options");
    let bouncer = Bouncer::before(&stage.db.tcp_url(), &with).expect("it was there");
    run_on(&url(&bouncer), &["check"]).expect_status(1);
}

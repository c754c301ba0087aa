//! Issue 17, case 16: time-outs are told by SQLSTATE and by how long a statement ran, never by a message,
//! which is in the server's language.

use super::{Level, set};
use crate::policy::scene::{Scene, policy};

const MANY: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 210
"#;

const CREATE: [&str; 7] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
];

/// A trigger by which an update of `tag` takes so long for each of its rows; where it is cancelled it says so
/// in German, as a server with `lc_messages = de_DE` does.
fn slow_rows(scene: &Scene, seconds_a_row: f64) {
    scene.sql(&format!(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM pg_sleep({seconds_a_row} * (SELECT count(*) FROM rows));
             RETURN NULL;
         EXCEPTION WHEN query_canceled THEN
             RAISE EXCEPTION 'storniere Anfrage' USING ERRCODE = 'query_canceled';
         END $$;
         CREATE OR REPLACE TRIGGER slow AFTER UPDATE ON tag REFERENCING NEW TABLE AS rows
             FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    ));
}

fn fast_rows(scene: &Scene) {
    scene.sql("DROP TRIGGER slow ON tag");
}

/// Cancels what sleeps in the trigger, so often.
fn cancel(scene: &Scene, times: u32) {
    for _ in 0..times {
        scene.wait_for(
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
        // Until it is gone.
        scene.wait_for(
            "SELECT (count(*) = 0)::int FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
    }
}

fn tags(scene: &Scene, condition: &str) -> i64 {
    scene.count(&format!("SELECT count(*) FROM tag WHERE {condition}"))
}

#[test]
fn batches_that_time_out_are_split_in_whatever_language_the_server_speaks() {
    let scene = Scene::of(MANY);
    set(&scene, Level::Role, "statement_timeout", "300");
    slow_rows(&scene, 0.005);
    let marked = scene.policy(&CREATE).expect_status(0).json();
    assert_eq!(marked["tags_changed"], 210);
    let uuid = marked["policy"].as_str().expect("a uuid").to_owned();
    let released = scene
        .policy(&["delete", &uuid, "--tags", "release"])
        .expect_status(0);
    assert_eq!(tags(&scene, "immutable"), 0, "{released:#?}");
    // A fix, and its undo.
    scene.sql("ALTER TABLE tag DISABLE TRIGGER slow; UPDATE tag SET immutable = true; ALTER TABLE tag ENABLE TRIGGER slow; DELETE FROM logentry3");
    let fixed = scene.run(&FIX).expect_status(0).json();
    assert_eq!(tags(&scene, "immutable"), 0, "{fixed}");
    let run = fixed["run"].to_string();
    scene.run(&["fix", "undo", &run]).expect_status(0);
    assert_eq!(tags(&scene, "immutable"), 210);
}

const FIX: [&str; 8] = [
    "fix",
    "--apply",
    "--remedy",
    "orphaned-immutable-tag=release",
    "--immutable-tags-can-expire",
    "false",
    "--format",
    "json",
];

#[test]
fn a_creation_whose_statement_is_cancelled_once_or_twice_tries_again() {
    for times in [1, 2] {
        let scene = Scene::of(MANY);
        slow_rows(&scene, 0.02);
        let run = scene.start(&[], &policy(&CREATE));
        cancel(&scene, times);
        fast_rows(&scene);
        let created = run.end().expect_status(0).json();
        assert_eq!(created["tags_changed"], 210);
        scene.check();
    }
}

#[test]
fn an_operation_that_is_cancelled_again_and_again_stops_without_a_roll_back_and_can_be_resumed() {
    let scene = Scene::of(MANY);
    slow_rows(&scene, 0.02);
    let run = scene.start(&[], &policy(&CREATE));
    cancel(&scene, 3);
    let ended = run.end().expect_status(3);
    assert!(ended.stderr.contains("not finished"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("rolled back"), "{}", ended.stderr);
    assert_eq!(scene.unfinished(), 1);
    fast_rows(&scene);
    scene.bury();
    scene.run(&["recover", "--resume"]).expect_status(0);
    assert_eq!(tags(&scene, "immutable"), 210);
    scene.check();
}

#[test]
fn a_release_and_a_roll_back_that_are_cancelled_try_again_and_stop_where_they_can_go_on() {
    let scene = Scene::of(MANY);
    let created = scene.policy(&CREATE).expect_status(0).json();
    let uuid = created["policy"].as_str().expect("a uuid").to_owned();
    slow_rows(&scene, 0.02);
    let delete = ["delete", &uuid, "--tags", "release"];
    let run = scene.start(&[], &policy(&delete));
    cancel(&scene, 3);
    run.end().expect_status(3);
    scene.bury();
    let run = scene.start(&[], &["recover"]);
    cancel(&scene, 2);
    fast_rows(&scene);
    run.end().expect_status(0);
    assert_eq!(tags(&scene, "immutable"), 0);

    // A creation that is to be rolled back.
    slow_rows(&scene, 0.02);
    let run = scene.start(&[], &policy(&CREATE));
    cancel(&scene, 3);
    run.end().expect_status(3);
    fast_rows(&scene);
    scene.bury();
    scene.run(&["recover", "--roll-back"]).expect_status(0);
    assert_eq!(tags(&scene, "immutable"), 0);
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn a_fix_and_its_undo_that_are_cancelled_try_again_and_stop_where_they_can_go_on() {
    let scene = Scene::of(MANY);
    scene.sql("UPDATE tag SET immutable = true");
    slow_rows(&scene, 0.01);
    let run = scene.start(&[], &FIX);
    cancel(&scene, 3);
    let ended = run.end().expect_status(3);
    assert!(ended.stderr.contains("cut short"), "{}", ended.stderr);
    let run = scene.start(&[], &FIX);
    cancel(&scene, 2);
    fast_rows(&scene);
    let fixed = run.end().expect_status(0).json();
    assert_eq!(tags(&scene, "immutable"), 0);
    let id = fixed["run"].to_string();
    slow_rows(&scene, 0.01);
    let run = scene.start(&[], &["fix", "undo", &id]);
    cancel(&scene, 3);
    run.end().expect_status(3);
    fast_rows(&scene);
    scene.bury();
    scene.run(&["fix", "undo", &id]).expect_status(0);
    assert_eq!(tags(&scene, "immutable"), 210);
}

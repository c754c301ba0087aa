//! A worker that is killed takes no names with it: whoever ends its operation tells what it left out or skipped.

use serde_json::Value;
use testkit::moments::{AFTER_COMMIT, AFTER_UNDO, BEFORE_ACTIVATION};

use crate::policy::scene::{Scene, policy};

/// Somebody writes `v2.1`: whose the expiration is that was cleared, nobody knows from now on.
const TOUCH: &str = "UPDATE tag SET name = name WHERE name = 'v2.1'";
const RELEASED: &str =
    "SELECT count(*) FROM tag WHERE name = 'v2.1' AND NOT immutable AND lifetime_end_ms IS NULL";
const FIX: [&str; 8] = [
    "fix",
    "--apply",
    "--immutable-tags-can-expire",
    "false",
    "--remedy",
    "orphaned-immutable-tag=release",
    "--format",
    "json",
];

/// acme has a policy that tags of two repositories escaped.
const ESCAPED: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
    life = "expiring"
    expires_in = "7d"
    [[namespace.repository]]
    name = "tool"
    [[namespace.repository.tags]]
    name = "v3.{n}"
    count = 2
"#;

#[track_caller]
fn is_named(document: &Value) {
    assert_eq!(document["expirations_not_restored"], 1, "{document}");
    let named = document["not_restored"][0].as_str().expect("a tag");
    assert!(named.starts_with("acme/shop:v2.1 ("), "{document}");
}

/// A policy on acme whose creation cleared three expirations, of which one is in doubt.
fn created() -> (Scene, String) {
    let scene = Scene::small();
    let done = scene.create("v.*", &[]).expect_status(0).json();
    assert_eq!(done["expirations_cleared"], 3, "{done}");
    let uuid = done["policy"].as_str().expect("a uuid").to_owned();
    scene.sql(TOUCH);
    (scene, uuid)
}

#[test]
fn a_release_that_is_finished_by_another_worker_names_what_the_first_one_left_out() {
    for recovers in [true, false] {
        let (scene, uuid) = created();
        let delete = ["delete", &uuid, "--tags", "release"];
        scene.killed(AFTER_COMMIT, &policy(&delete));
        assert_eq!(scene.count(RELEASED), 1);
        if recovers {
            let recover = ["recover", "--resume", "--format", "json"];
            let done = scene.run(&recover).expect_status(1).json();
            is_named(&done["recovered"][0]);
        } else {
            is_named(&scene.policy(&delete).expect_status(1).json());
        }
        assert_eq!(scene.unfinished(), 0);
    }
}

#[test]
fn a_roll_back_that_is_finished_by_another_worker_names_what_the_first_one_left_out() {
    let scene = Scene::small();
    let create = policy(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ]);
    scene.killed(BEFORE_ACTIVATION, &create);
    scene.sql(TOUCH);
    let recover = ["recover", "--roll-back", "--format", "json"];
    scene.killed(AFTER_UNDO, &recover);
    assert_eq!(scene.count(RELEASED), 1);
    let done = scene.run(&recover).expect_status(1).json();
    is_named(&done["recovered"][0]);
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn a_run_that_is_left_as_it_is_names_what_it_left_out() {
    let (scene, _) = created();
    scene.sql("DELETE FROM namespaceimmutabilitypolicy WHERE uuid::text NOT LIKE '1111%'");
    scene.killed(AFTER_COMMIT, &FIX);
    assert_eq!(scene.count(RELEASED), 1);
    let recover = ["recover", "--resume", "--format", "json"];
    let done = scene.run(&recover).expect_status(1).json();
    is_named(&done["recovered"][0]);
}

#[test]
fn an_undo_that_is_begun_again_names_what_the_first_one_left_out() {
    let scene = Scene::of(ESCAPED);
    scene.run(&FIX).expect_status(0);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy");
    scene.sql(TOUCH);
    let undo = ["fix", "undo", "1", "--format", "json"];
    scene.killed(AFTER_UNDO, &undo);
    assert_eq!(scene.count(RELEASED), 1);
    is_named(&scene.run(&undo).expect_status(1).json());
}

#[test]
fn what_a_killed_worker_skipped_is_told_by_whoever_ends_the_operation() {
    let (scene, uuid) = created();
    scene.sql(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN NEW.lifetime_end_ms := 7; RETURN NEW; END';
         CREATE TRIGGER keep BEFORE UPDATE ON tag FOR EACH ROW
             WHEN (OLD.name = 'v1.1' AND NOT NEW.immutable) EXECUTE FUNCTION keep()",
    );
    scene.killed(
        AFTER_COMMIT,
        &policy(&["delete", &uuid, "--tags", "release"]),
    );
    assert_eq!(
        scene.count("SELECT tags_skipped FROM quay_doctor.operation WHERE kind = 'delete'"),
        1
    );
    scene.sql("DROP TRIGGER keep ON tag");
    scene.sql("DELETE FROM tag WHERE name = 'v2.1'");
    let recover = ["recover", "--resume", "--format", "json"];
    let done = scene.run(&recover).expect_status(1).json();
    assert_eq!(done["recovered"][0]["tags_not_written"], 1, "{done}");
}

//! Rows that somebody holds for long: everything else is done, and nothing is taken back for them.

use quay_doctor::pg::WriteSession;

use super::cut::{Bystander, CREATE, age_heartbeat, killed_before};
use super::scene::{GLOBEX, MATCHING, Scene, policy};

/// Somebody has a row for as long as this session's transaction lives.
fn hold(scene: &Scene, repository: &str, name: &str) -> WriteSession {
    let mut holder = scene.session();
    holder
        .run("SET application_name = 'the long transaction'")
        .expect("a name");
    holder
        .run(&format!(
            "BEGIN; SELECT FROM tag WHERE name = '{name}' AND repository_id
                = (SELECT id FROM repository WHERE name = '{repository}') FOR UPDATE"
        ))
        .expect("a row");
    holder
}

#[track_caller]
fn names_the_row_and_its_holder(text: &str, row: &str) {
    assert!(text.contains(row), "{row}: {text}");
    assert!(text.contains("the long transaction"), "{text}");
    assert!(text.contains("since 20"), "{text}");
}

fn marked(scene: &Scene) -> i64 {
    scene.count(
        "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
         WHERE r.name IN ('shop', 'tool', 'web') AND t.name LIKE 'v%' AND t.immutable",
    )
}

/// Issue 17, case 13.
#[test]
fn a_row_that_is_held_for_long_does_not_roll_a_creation_back() {
    let scene = Scene::small();
    let before = marked(&scene);
    let mut holder = hold(&scene, "shop", "v1.1");
    let created = scene.policy(&CREATE).expect_status(3);
    names_the_row_and_its_holder(&created.stderr, "acme/shop:v1.1");
    assert_eq!(marked(&scene) - before, MATCHING - 1, "all but the one");
    assert_eq!(
        scene.text("SELECT phase FROM quay_doctor.operation"),
        "sweeping"
    );
    holder.run("COMMIT").expect("the end");
    age_heartbeat(&scene.db.url(), "40 s");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(marked(&scene) - before, MATCHING);
    scene.check();
}

#[test]
fn a_repository_that_is_locked_for_long_does_not_roll_a_creation_back() {
    let scene = Scene::small();
    let before = marked(&scene);
    let mut bystander = Bystander::at(&scene.db.url());
    bystander
        .0
        .run("SET application_name = 'the long transaction'")
        .expect("a name");
    bystander.lock_repository("tool");
    let created = scene.policy(&CREATE).expect_status(3);
    assert!(created.stderr.contains("acme/tool:v1.1"), "{created:?}");
    assert!(
        created.stderr.contains("the lock on the repository"),
        "{created:?}"
    );
    assert_eq!(marked(&scene) - before, MATCHING - 2, "all but tool's");
    bystander.unlock();
    age_heartbeat(&scene.db.url(), "40 s");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(marked(&scene) - before, MATCHING);
    scene.check();
}

#[test]
fn a_row_that_is_held_for_long_is_all_that_a_release_leaves() {
    let scene = Scene::small();
    let mut holder = hold(&scene, "portal", "v1.2");
    let delete = policy(&["delete", GLOBEX, "--tags", "release"]);
    let ended = scene.run(&delete).expect_status(3);
    names_the_row_and_its_holder(&ended.stderr, "globex/portal:v1.2");
    let left = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
        WHERE r.name IN ('portal', 'site') AND t.immutable";
    assert_eq!(scene.count(left), 1);
    holder.run("COMMIT").expect("the end");
    age_heartbeat(&scene.db.url(), "40 s");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.count(left), 0);
    scene.check();
}

#[test]
fn a_row_that_is_held_for_long_is_all_that_a_roll_back_leaves() {
    let scene = Scene::small();
    let before = scene.state();
    let url = scene.db.url();
    killed_before(&url, "web", &CREATE);
    let mut holder = hold(&scene, "shop", "v1.1");
    age_heartbeat(&url, "40 s");
    let ended = scene.run(&["recover"]).expect_status(3);
    names_the_row_and_its_holder(&ended.stdout, "acme/shop:v1.1");
    let left = "SELECT count(*) FROM quay_doctor.tag_change WHERE undone_at IS NULL";
    assert_eq!(scene.count(left), 1);
    holder.run("COMMIT").expect("the end");
    age_heartbeat(&url, "40 s");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

const RELEASE: [&str; 7] = [
    "fix",
    "--apply",
    "--remedy",
    "orphaned-immutable-tag=release",
    "--format",
    "json",
    "--grace=0s",
];

#[test]
fn a_row_that_is_held_for_long_is_skipped_by_a_fix_and_its_undo_and_named() {
    let scene = Scene::small();
    scene.sql("DELETE FROM namespaceimmutabilitypolicy");
    let mut holder = hold(&scene, "portal", "v1.2");
    let fixed = scene.run(&RELEASE).expect_status(1).json();
    assert_eq!(
        (&fixed["applied"], &fixed["skipped"]),
        (&6.into(), &1.into())
    );
    names_the_row_and_its_holder(&fixed["held"].to_string(), "globex/portal:v1.2");
    holder.run("COMMIT").expect("the end");
    let mut holder = hold(&scene, "portal", "v1.3");
    let undo = ["fix", "undo", &fixed["run"].to_string(), "--format", "json"];
    let undone = scene.run(&undo).expect_status(1).json();
    assert_eq!(
        (&undone["undone"], &undone["refused"]),
        (&5.into(), &1.into())
    );
    names_the_row_and_its_holder(&undone["refusals"].to_string(), "globex/portal:v1.3");
    holder.run("COMMIT").expect("the end");
    let undone = scene.run(&undo).expect_status(0).json();
    assert_eq!(
        (&undone["undone"], &undone["refused"]),
        (&1.into(), &0.into())
    );
}

//! An expiration that would be restored and is the one of another row of the same name by now: the tag is left as it
//! is and named, and the operation comes to its end.

use serde_json::Value;
use testkit::moments::BEFORE_ACTIVATION;

use crate::policy::scene::{MATCHING, Scene, policy};

/// Gives a dead row of the same name the expiration that was cleared of `v2.1`.
const TAKE: &str =
    "INSERT INTO tag (name, repository_id, lifetime_start_ms, lifetime_end_ms, hidden, immutable, tag_kind_id)
     SELECT t.name, t.repository_id, 1, c.lifetime_end_ms_before, true, false, t.tag_kind_id
     FROM tag t JOIN quay_doctor.tag_change c ON c.tag_id = t.id
     WHERE t.name = 'v2.1' AND c.lifetime_end_ms_before IS NOT NULL AND c.undone_at IS NULL";

/// Whether `v2.1` is as it was left: immutable, without an expiration.
const LEFT: &str =
    "SELECT count(*) FROM tag WHERE name = 'v2.1' AND immutable AND lifetime_end_ms IS NULL";

fn names(document: &Value) -> String {
    assert_eq!(document["tags_left"], 1, "{document}");
    document["left"][0].as_str().expect("a name").to_owned()
}

#[test]
fn a_release_by_a_policy_operation_leaves_such_a_tag_and_ends() {
    let scene = Scene::small();
    let created = scene.create("v.*", &[]).expect_status(0).json();
    let uuid = created["policy"].as_str().expect("a uuid");
    scene.sql(TAKE);
    let done = scene
        .policy(&["delete", uuid, "--tags", "release"])
        .expect_status(1)
        .json();
    assert!(names(&done).ends_with("shop:v2.1"), "{done}");
    assert_eq!(done["tags_changed"], MATCHING - 1, "{done}");
    assert_eq!(scene.count(LEFT), 1);
    assert_eq!(scene.unfinished(), 0);
    scene.run(&["check", "--grace", "0s"]).expect_status(1);
}

#[test]
fn a_roll_back_leaves_such_a_tag_and_ends() {
    let scene = Scene::small();
    let create = [
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ];
    scene.killed(BEFORE_ACTIVATION, &policy(&create));
    scene.sql(TAKE);
    let done = scene
        .run(&["recover", "--roll-back", "--format", "json"])
        .expect_status(1)
        .json();
    assert!(
        names(&done["recovered"][0]).ends_with("shop:v2.1"),
        "{done}"
    );
    assert_eq!(scene.count(LEFT), 1);
    assert_eq!(scene.unfinished(), 0);
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change WHERE undone_at IS NULL"),
        1
    );
}

#[test]
fn a_fix_leaves_such_a_tag_and_names_it() {
    let scene = Scene::small();
    scene.create("v.*", &[]).expect_status(0);
    scene.sql(TAKE);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy WHERE policy::jsonb ->> 'tag_pattern' = 'v.*' AND uuid::text NOT LIKE '1111%'");
    let done = scene
        .run(&[&["fix", "--apply"][..], &RELEASE_ORPHANS].concat())
        .expect_status(1)
        .json();
    assert!(names(&done).ends_with("shop:v2.1"), "{done}");
    assert_eq!(scene.count(LEFT), 1);
}

const RELEASE_ORPHANS: [&str; 4] = [
    "--remedy",
    "orphaned-immutable-tag=release",
    "--format",
    "json",
];

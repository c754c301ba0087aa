//! What an operation of ours covers that has not ended is pending, or the operation's: never well, and never lost.

use serde_json::Value;

use super::cut::{Bystander, CREATE, age_heartbeat, killed_before};
use super::running::Running;
use super::scene::{GLOBEX, Scene, policy};
use crate::program;

/// Releases what globex's policy covered, and covers nothing.
const UPDATE: [&str; 6] = [
    "update",
    GLOBEX,
    "--pattern",
    "x.*",
    "--unmatched-tags",
    "release",
];

fn rule<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut rules = report["rules"].as_array().expect("rules").iter();
    rules.find(|rule| rule["id"] == id).expect("the rule")
}

#[track_caller]
fn is_pending(scene: &Scene) {
    let report = scene
        .run(&["check", "--format", "json"])
        .expect_status(3)
        .json();
    let orphaned = rule(&report, "orphaned-immutable-tag");
    assert!(
        orphaned["settling"].as_u64() > Some(0),
        "tags that are marked: {orphaned}"
    );
    assert_eq!(orphaned["violations"], 0, "{orphaned}");
    let operation = rule(&report, "interrupted-operation");
    assert_eq!(operation["status"], "settling", "{operation}");
    let reason = operation["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("operation 1 has not ended"),
        "the operation is named: {reason}"
    );
    let told = scene.run(&["check"]).expect_status(3);
    assert!(!told.stdout.contains("All is well"), "{told:?}");
    scene.run(&["check", "--allow-settling"]).expect_status(0);
    let plan = scene.run(&["fix"]).expect_status(3);
    assert!(plan.stdout.contains("has not ended"), "{plan:?}");
    scene.run(&["fix", "--allow-settling"]).expect_status(0);
}

/// Issue 17, case 18.
#[test]
fn a_check_two_seconds_after_a_creation_was_killed_does_not_say_that_all_is_well() {
    let scene = Scene::small();
    let url = scene.db.url();
    killed_before(&url, "web", &CREATE);
    age_heartbeat(&url, "2 s");
    is_pending(&scene);
}

#[test]
fn what_an_operation_covers_that_is_at_work_is_pending() {
    let scene = Scene::small();
    let mut bystander = Bystander::at(&scene.db.url());
    bystander.lock_repository("web");
    let url = scene.db.url();
    let args = [&["--database-url", &url][..], &policy(&CREATE)].concat();
    let run = Running::start(program::command(&args));
    bystander.wait_until("EXISTS (SELECT FROM quay_doctor.operation WHERE tags_changed > 0)");
    let report = scene
        .run(&["check", "--format", "json"])
        .expect_status(3)
        .json();
    assert_eq!(rule(&report, "interrupted-operation")["settling"], 1);
    bystander.unlock();
    run.end().expect_status(0);
    scene.check();
}

/// The tags that the old text covered are not released yet, and no active policy covers them any more.
#[test]
fn the_tags_of_an_interrupted_update_are_shown_as_its_own() {
    let scene = Scene::small();
    let url = scene.db.url();
    killed_before(&url, "site", &UPDATE);
    is_pending(&scene);
    age_heartbeat(&url, "40 s");
    let report = scene
        .run(&["check", "--format", "json"])
        .expect_status(1)
        .json();
    let violations = report["violations"].as_array().expect("violations");
    let of_tags: Vec<&Value> = violations
        .iter()
        .filter(|violation| violation["rule"] == "orphaned-immutable-tag")
        .collect();
    assert_eq!(of_tags.len(), 3, "{violations:#?}");
    for violation in of_tags {
        let message = violation["message"].as_str().expect("a message");
        assert!(message.contains("it is operation 1's"), "{message}");
    }
    let told = scene.run(&["check"]).expect_status(1).stdout;
    assert!(told.contains("it is operation 1's"), "{told}");
    let plan = scene
        .run(&["fix", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(plan["decisions"], serde_json::json!([]), "{plan:#}");
    assert_eq!(plan["proposals"], serde_json::json!([]), "{plan:#}");
    assert_eq!(plan["left_to_recover"][0]["operation"], 1, "{plan:#}");
    // Not even where somebody says what becomes of orphans.
    let release = ["fix", "--remedy", "orphaned-immutable-tag=keep", "--apply"];
    scene.run(&release).expect_status(1);
    assert_eq!(scene.count("SELECT count(*) FROM quay_doctor.kept"), 0);
    scene.run(&["recover"]).expect_status(0);
    scene.check();
}

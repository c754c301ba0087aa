//! The guides, followed: each on a registry of its own, command by command, with the status that
//! the guide says.

use std::fs;

use super::commands::{Typed, of_page, root};
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::program;

/// The world of the guides: acme has orphans `v…` and no policy, globex a policy and tags that it
/// does not protect.
pub fn registry() -> Stage {
    let stage = Stage::of(BOTH_FAILURES);
    stage.sql(
        "UPDATE namespaceimmutabilitypolicy SET uuid = '11111111-1111-4111-8111-111111111111'",
    );
    stage
}

/// Follows a guide from its beginning to its end.
fn follow(name: &str, stage: &Stage) {
    let commands = of_page(&root().join("docs/guides").join(name));
    assert!(commands.len() > 2, "{name}");
    type_all(&commands, &stage.db.url());
}

/// Types commands one after the other against a database; each ends as its document says.
pub fn type_all(commands: &[Typed], url: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    for typed in commands {
        let status = type_it(typed, url, folder.path());
        assert!(typed.status.is_some(), "{} says no status", typed.place);
        assert_eq!(
            Some(status.0),
            typed.status,
            "{}: {}",
            typed.place,
            status.1
        );
    }
}

/// Types one command in a folder; the status that it ends with, and what it said.
pub fn type_it(typed: &Typed, url: &str, folder: &std::path::Path) -> (i32, String) {
    let args: Vec<&str> = typed.args.iter().map(String::as_str).collect();
    let output = program::command(&args)
        .current_dir(folder)
        .env("DATABASE_URL", url)
        .env("QUAY_DOCTOR_IMMUTABLE_TAGS", "true")
        .env("QUAY_DOCTOR_IMMUTABLE_TAGS_CAN_EXPIRE", "false")
        .env("QUAY_DOCTOR_ACTOR", "reader of the guide")
        .output()
        .expect("the program starts");
    if let Some(file) = &typed.into {
        fs::write(folder.join(file), &output.stdout).expect("written");
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn the_step_before_a_roll_out() {
    follow("deploy-step.md", &registry());
}

#[test]
fn a_scheduled_check() {
    follow("scheduled-scan.md", &registry());
}

#[test]
fn repairing_orphans() {
    let stage = registry();
    follow("repair-orphans.md", &stage);
    // It ends with the lost policy created again.
    let policies = "SELECT count(*) FROM repositoryimmutabilitypolicy WHERE active";
    assert_eq!(stage.count(policies), 1);
}

#[test]
fn changing_a_policy() {
    let stage = registry();
    follow("change-a-policy.md", &stage);
    let globex = "SELECT count(*) FROM namespaceimmutabilitypolicy WHERE uuid LIKE '1111%'";
    assert_eq!(stage.count(globex), 0);
}

#[test]
fn cleaning_up_after_a_failover() {
    let stage = registry();
    stage.run(&["migrate", "up"]).expect_status(0);
    follow("after-a-failover.md", &stage);
}

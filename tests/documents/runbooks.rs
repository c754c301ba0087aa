//! The run-books, followed: each in an evening like the one that it is for.

use super::commands::{Typed, of_page, root};
use super::guides::{registry, type_all};
use crate::policy::scene::{Scene, policy};

fn runbook(name: &str) -> Vec<Typed> {
    let commands = of_page(&root().join("docs/runbooks").join(name));
    assert!(commands.len() > 3, "{name}");
    commands
}

fn has(typed: &Typed, word: &str) -> bool {
    typed.args.iter().any(|arg| arg.contains(word))
}

/// Quay's creation failed in acme: its tags are half done, and the policy is gone.
#[test]
fn a_creation_that_failed_is_cleaned_up_after_by_release() {
    let stage = registry();
    type_all(&runbook("failed-creation.md"), &stage.db.url());
    let immutable = "SELECT count(*) FROM tag t JOIN repository r ON r.id = repository_id
        WHERE r.name = 'shop' AND immutable";
    assert_eq!(stage.count(immutable), 0);
}

/// The other decision: the creation that failed, finished.
#[test]
fn a_creation_that_failed_is_cleaned_up_after_by_creating_the_policy() {
    let stage = registry();
    let commands = runbook("failed-creation.md");
    let mut commands: Vec<_> = commands
        .into_iter()
        .filter(|typed| !has(typed, "=release") && !has(typed, "plan.json"))
        .collect();
    let creation = commands.iter().position(|typed| has(typed, "=recreate"));
    let rest = commands.split_off(creation.expect("the creation"));
    type_all(&commands, &stage.db.url());
    stage.run(&["migrate", "up"]).expect_status(0);
    type_all(&rest, &stage.db.url());
    let policies = "SELECT count(*) FROM repositoryimmutabilitypolicy WHERE active";
    assert_eq!(stage.count(policies), 1);
}

/// A worker is cut off in the middle, and its heartbeat is old.
#[test]
fn a_failover_in_the_middle_of_a_creation() {
    let scene = Scene::small();
    let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
    let phased = ["--strategy", "phased", "--batch-time", "1us"];
    let args = policy(&[&create[..], &phased].concat());
    scene.killed(testkit::moments::AFTER_COMMIT.nth(3), &args);
    type_all(&runbook("failover.md"), &scene.db.url());
    assert_eq!(scene.unfinished(), 0);
    scene.check();
}

#[test]
fn an_audit() {
    let stage = registry();
    stage.run(&["migrate", "up"]).expect_status(0);
    stage
        .run(&["fix", "--apply", "--immutable-tags-can-expire", "false"])
        .expect_status(1);
    type_all(&runbook("audit.md"), &stage.db.url());
}

#[test]
fn a_nightly_scan() {
    let stage = registry();
    let (parts, whole): (Vec<_>, Vec<_>) = runbook("nightly-scan.md")
        .into_iter()
        .partition(|typed| has(typed, "--shard"));
    type_all(&whole, &stage.db.url());
    // Which of few tags are in one part of eight is nobody's promise.
    let [part] = &parts[..] else {
        panic!("{parts:?}")
    };
    let args: Vec<&str> = part.args.iter().map(String::as_str).collect();
    let flags = [
        "--immutable-tags",
        "true",
        "--immutable-tags-can-expire",
        "false",
    ];
    let ended = stage.run(&[&args[..], &flags].concat());
    assert!(matches!(ended.status, 0 | 1), "{ended:?}");
}

#[test]
fn a_rolling_upgrade() {
    let stage = registry();
    let commands = runbook("rolling-upgrade.md");
    let refusals = commands.iter().position(|typed| has(typed, "policy"));
    let (upgrade, refused) = commands.split_at(refusals.expect("what to do about a refusal"));
    type_all(upgrade, &stage.db.url());
    let uuid = "11111111-1111-4111-8111-111111111111";
    stage
        .run(&["policy", "deactivate", uuid, "--yes", "--tags", "keep"])
        .expect_status(0);
    stage.run(&["migrate", "hand-over"]).expect_status(3);
    type_all(refused, &stage.db.url());
    stage.run(&["migrate", "hand-over"]).expect_status(0);
}

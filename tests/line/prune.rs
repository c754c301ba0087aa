//! Old entries of the journal go on request, and never what is still needed.

use super::output::valid;
use super::stage::{BOTH_FAILURES, RELEASE, Stage};

const APPLY: [&str; 8] = [
    "fix",
    "--apply",
    "--remedy",
    RELEASE,
    "--immutable-tags-can-expire",
    "false",
    "--format",
    "json",
];

fn entries(stage: &Stage) -> i64 {
    stage.count("SELECT count(*) FROM quay_doctor.tag_change")
}

/// As if everything in the journal had happened 100 days ago.
fn grow_old(stage: &Stage) {
    stage.sql(
        "UPDATE quay_doctor.operation
         SET started_at = started_at - interval '100 days',
             finished_at = finished_at - interval '100 days'",
    );
}

/// A hundred days ago: 300 orphans released, 220 tags protected, 20 of them with an expiry.
fn old_run() -> Stage {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.run(&APPLY).expect_status(0);
    grow_old(&stage);
    stage
}

#[test]
fn a_look_says_what_would_go_and_changes_nothing() {
    let stage = old_run();
    let look = ["fix", "prune", "--older-than", "90d", "--format", "json"];
    let report = stage.run(&look).expect_status(1).json();
    valid("prune", &report);
    assert_eq!(report["pruned"]["tag_changes"], 300);
    assert_eq!(report["kept"]["tag_changes"], 220);
    assert_eq!(report["applied"], false);
    assert_eq!(entries(&stage), 520);
    let younger = ["fix", "prune", "--older-than", "110d"];
    stage.run(&younger).expect_status(0);
    stage.run(&["fix", "prune"]).expect_status(2);
}

#[test]
fn entries_of_tags_that_are_immutable_stay_and_their_expiry_can_be_restored() {
    let stage = old_run();
    let prune = [
        "fix",
        "prune",
        "--older-than",
        "90d",
        "--apply",
        "--format",
        "json",
    ];
    let report = stage.run(&prune).expect_status(0).json();
    valid("prune", &report);
    assert_eq!(report["pruned"]["tag_changes"], 300);
    assert_eq!(entries(&stage), 220);
    let immutable = "SELECT count(*) FROM quay_doctor.tag_change c JOIN tag t ON t.id = c.tag_id
                     WHERE t.immutable";
    assert_eq!(stage.count(immutable), 220);
    assert_eq!(stage.count("SELECT count(*) FROM quay_doctor.operation"), 1);
    // The policy goes, its tags are orphans, and the expiries are still known.
    stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    stage.run(&APPLY).expect_status(0);
    let expiring = "SELECT count(*) FROM tag WHERE lifetime_end_ms IS NOT NULL AND NOT immutable";
    assert_eq!(stage.count(expiring), 20);
    // Now nothing of the first run is needed, and a second prune takes the rest of it.
    let report = stage.run(&prune).expect_status(0).json();
    assert_eq!(report["pruned"]["tag_changes"], 220);
    assert_eq!(report["pruned"]["operations"], 1);
    let again = stage.run(&prune).expect_status(0).json();
    assert_eq!(again["pruned"]["tag_changes"], 0);
    stage.run(&["check"]).expect_status(0);
}

#[test]
fn an_operation_that_has_not_ended_keeps_everything() {
    let stage = old_run();
    stage.sql("UPDATE quay_doctor.operation SET phase = 'applying', finished_at = NULL");
    let prune = [
        "fix",
        "prune",
        "--older-than",
        "0s",
        "--apply",
        "--format",
        "json",
    ];
    let report = stage.run(&prune).expect_status(0).json();
    assert_eq!(report["pruned"]["tag_changes"], 0);
    assert_eq!(entries(&stage), 520);
}

#[test]
fn declarations_in_force_stay_with_their_operation_and_go_on_explaining() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let keep = [
        "fix",
        "--apply",
        "--rule",
        "orphaned-immutable-tag",
        "--remedy",
    ];
    let mut args = keep.to_vec();
    args.push("orphaned-immutable-tag=keep");
    stage.run(&args).expect_status(0);
    grow_old(&stage);
    let prune = [
        "fix",
        "prune",
        "--older-than",
        "90d",
        "--apply",
        "--format",
        "json",
    ];
    let report = stage.run(&prune).expect_status(0).json();
    assert_eq!(report["kept"]["declarations"], 300);
    assert_eq!(report["pruned"]["operations"], 0);
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["explained"], 300);
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    grow_old(&stage);
    let report = stage.run(&prune).expect_status(0).json();
    assert_eq!(report["pruned"]["operations"], 1);
    assert_eq!(stage.count("SELECT count(*) FROM quay_doctor.kept"), 0);
}

#[test]
fn what_says_that_a_policy_is_inactive_on_purpose_stays() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let create = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "z.*",
        "--inactive",
    ];
    stage.run(&create).expect_status(0);
    stage.sql("UPDATE namespaceimmutabilitypolicy SET created_date = now() - interval '99 days'");
    grow_old(&stage);
    let prune = ["fix", "prune", "--older-than", "90d", "--apply"];
    stage.run(&prune).expect_status(0);
    assert_eq!(stage.rule("stale-inactive-policy", &[])["violations"], 0);
    stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    stage.run(&prune).expect_status(0);
    let rows = "SELECT count(*) FROM quay_doctor.operation";
    assert_eq!(stage.count(rows), 0);
    assert_eq!(
        stage.count("SELECT count(*) FROM quay_doctor.policy_change"),
        0
    );
}

#[test]
fn a_run_that_is_being_undone_is_not_pruned_beneath_it() {
    let stage = old_run();
    let mut other = stage.session();
    other
        .run("BEGIN; UPDATE quay_doctor.operation SET heartbeat_at = now()")
        .expect("a lock");
    let prune = ["fix", "prune", "--older-than", "90d", "--apply"];
    let ended = std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&prune));
        // Whoever undoes it makes it unfinished again, and commits.
        std::thread::sleep(std::time::Duration::from_millis(200));
        other
            .run(
                "UPDATE quay_doctor.operation SET phase = 'undoing', finished_at = NULL;
                 COMMIT",
            )
            .expect("the end");
        run.join().expect("an end")
    });
    ended.expect_status(0);
    assert_eq!(entries(&stage), 520);
}

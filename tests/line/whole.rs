//! The line as a whole, as an operator walks it.

use super::stage::{BOTH_FAILURES, RELEASE, Stage};

#[test]
fn the_line_goes_from_violations_to_all_is_well_and_back() {
    let stage = Stage::of(BOTH_FAILURES);
    stage.run(&["migrate", "up"]).expect_status(0);
    let found = stage
        .run(&["check", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(found["totals"]["violations"], 300 + 220);

    let before = stage.dump();
    let can_expire = ["--immutable-tags-can-expire", "false"];
    stage.run(&["fix"]).expect_status(1);
    assert_eq!(stage.dump(), before, "a plan changes nothing");

    let mut apply = vec!["fix", "--apply", "--remedy", RELEASE, "--format", "json"];
    apply.extend(can_expire);
    let run = stage.run(&apply).expect_status(0).json();
    assert_eq!(run["applied"], 520);
    assert_eq!(run["expirations_cleared"], 20);
    let clean = stage.run(&["check"]).expect_status(0);
    assert!(clean.stdout.contains("All is well"), "{}", clean.stdout);

    let id = run["run"].to_string();
    let undone = stage
        .run(&["fix", "undo", &id, "--format", "json"])
        .expect_status(0)
        .json();
    assert_eq!(undone["undone"], 520);
    assert_eq!(stage.dump(), before, "byte for byte");
    stage.run(&["check"]).expect_status(1);
}

#[test]
fn the_line_runs_without_touching_a_table_of_quays_where_only_v1_is_applied() {
    let stage = Stage::of(BOTH_FAILURES);
    stage.run(&["migrate", "up", "--to", "1"]).expect_status(0);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "true",
    ];
    stage.run(&args).expect_status(0);
    stage
        .run(&["check", "--immutable-tags-can-expire", "true"])
        .expect_status(0);
    // Not stated, it is not known whether tags that are immutable and expire are right.
    stage.run(&["check"]).expect_status(3);
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name LIKE 'v3.%' AND immutable AND lifetime_end_ms IS NOT NULL"),
        20,
        "immutable tags may expire: their expiry stays"
    );
}

#[test]
fn orphans_stay_a_decision_and_the_safe_rest_is_done() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = [
        "fix",
        "--apply",
        "--immutable-tags-can-expire",
        "false",
        "--format",
        "json",
    ];
    let run = stage.run(&args).expect_status(1).json();
    assert_eq!(run["applied"], 220);
    assert_eq!(run["undecided"], 300);
    assert_eq!(stage.rule("unprotected-tag", &[])["status"], "held");
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["violations"], 300);
}

#[test]
fn an_expiry_at_stake_with_the_flag_unknown_stops_before_the_first_write() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let ended = stage
        .run(&["fix", "--apply", "--remedy", RELEASE])
        .expect_status(2);
    assert!(
        ended.stderr.contains("--immutable-tags-can-expire"),
        "{}",
        ended.stderr
    );
    assert_eq!(stage.dump(), before);
    assert_eq!(stage.count("SELECT count(*) FROM quay_doctor.operation"), 0);
}

#[test]
fn a_plan_that_is_too_large_stops_before_the_first_write() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
    ];
    let mut limited = args.to_vec();
    limited.extend(["--max-changes", "519"]);
    let ended = stage.run(&limited).expect_status(2);
    assert!(
        ended.stderr.contains("--max-changes 520"),
        "{}",
        ended.stderr
    );
    assert_eq!(stage.dump(), before);
    limited[7] = "520";
    stage.run(&limited).expect_status(0);
}

#[test]
fn kept_orphans_are_explained_until_the_keeping_is_undone() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = [
        "fix",
        "--apply",
        "--rule",
        "orphaned-immutable-tag",
        "--remedy",
        "orphaned-immutable-tag=keep",
        "--actor",
        "ann",
        "--reason",
        "audited",
        "--format",
        "json",
    ];
    let run = stage.run(&args).expect_status(0).json();
    let rule = stage.rule("orphaned-immutable-tag", &[]);
    assert_eq!(
        (&rule["violations"], &rule["explained"]),
        (&0.into(), &300.into())
    );
    stage
        .run(&["fix", "undo", &run["run"].to_string()])
        .expect_status(0);
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["violations"], 300);
}

#[test]
fn a_second_fix_has_nothing_to_do() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
        "--format",
        "json",
    ];
    stage.run(&args).expect_status(0);
    let before = stage.dump();
    stage.run(&["fix"]).expect_status(0);
    let again = stage.run(&args).expect_status(0).json();
    assert_eq!(again["applied"], 0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn a_fix_without_a_journal_names_the_migration_that_adds_it() {
    let stage = Stage::of(BOTH_FAILURES);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
    ];
    let ended = stage.run(&args).expect_status(2);
    assert!(
        ended.stderr.contains("migrate up --to 1"),
        "{}",
        ended.stderr
    );
}

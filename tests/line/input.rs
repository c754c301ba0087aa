//! Bad input gets one clear sentence, a hint, the documented status; and nothing is changed.

use testkit::shared::TestDatabase;

use super::stage::{BOTH_FAILURES, Stage};
use crate::program::{Ended, run, run_on};

/// One sentence, then a hint.
#[track_caller]
fn complains(ended: Ended, status: i32, sentence: &str, hint: &str) {
    let ended = ended.expect_status(status);
    assert!(
        ended.stdout.is_empty(),
        "results are for stdout only: {ended:?}"
    );
    assert!(ended.stderr.contains(sentence), "{ended:#?}");
    assert!(
        ended.stderr.contains("help:") && ended.stderr.contains(hint),
        "{ended:#?}"
    );
}

#[test]
fn no_database_no_server_and_the_wrong_database_are_told_apart() {
    complains(run(&["check"]), 2, "no database is named", "--database-url");
    let nobody = "postgresql://quay@127.0.0.1:1/quay?connect_timeout=2";
    complains(run_on(nobody, &["check"]), 3, "127.0.0.1:1", "");
    let other = TestDatabase::empty().expect("a database");
    complains(
        run_on(&other.url(), &["check"]),
        2,
        "not Quay's database",
        "search_path",
    );
    let old = Stage::of(BOTH_FAILURES);
    old.sql("DROP TABLE namespaceimmutabilitypolicy, repositoryimmutabilitypolicy");
    complains(
        old.run(&["check"]),
        2,
        "older than immutability policies",
        "3.17",
    );
}

#[test]
fn unknown_names_are_answered_with_what_there_is() {
    let stage = Stage::of(BOTH_FAILURES);
    let complaint = |args: &[&str]| stage.run(args);
    complains(
        complaint(&["check", "--rule", "unprotected-tags"]),
        2,
        "no rule `unprotected-tags`",
        "did you mean `unprotected-tag`?",
    );
    complains(
        complaint(&["check", "--namespace", "nobody"]),
        2,
        "no namespace `nobody`",
        "exactly",
    );
    complains(
        complaint(&["check", "--namespace", "acme", "--repository", "nothing"]),
        2,
        "no repository `nothing`",
        "",
    );
    complains(
        complaint(&["fix", "--remedy", "release"]),
        2,
        "`release`",
        "RULE=NAME",
    );
    complains(
        complaint(&["fix", "--remedy", "unprotected-tag=release"]),
        2,
        "no remedy `release`",
        "protect",
    );
    complains(
        complaint(&["fix", "--remedy", "orphaned-immutable-tag=recreate"]),
        2,
        "which policy to create again",
        "--pattern",
    );
    complains(
        complaint(&["fix", "--remedy", "slow-pattern=update"]),
        2,
        "needs a new pattern",
        "policy update",
    );
    stage.run(&["migrate", "up"]).expect_status(0);
    complains(
        complaint(&["fix", "undo", "4711"]),
        2,
        "no run 4711",
        "fix --apply",
    );
    complains(
        complaint(&["check", "--quay-config", "/nowhere/config.yaml"]),
        2,
        "/nowhere/config.yaml",
        "",
    );
}

#[test]
fn an_unknown_flag_is_usage_and_never_a_clean_zero() {
    for args in [
        &["check", "--colour"][..],
        &["chekc"],
        &[],
        &["fix", "--apply", "undo", "1"],
    ] {
        let ended = run(args).expect_status(2);
        assert!(!ended.stderr.is_empty());
    }
    run(&["--version"]).expect_status(0);
    run(&["check", "--help"]).expect_status(0);
}

#[test]
fn a_run_that_is_a_policy_operation_is_not_undone_by_fix() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(
        "INSERT INTO quay_doctor.operation (kind, phase, fence, worker, actor, tool_version)
         VALUES ('create', 'applying', gen_random_uuid(), 'w', 'ann', '0')",
    );
    complains(
        stage.run(&["fix", "undo", "1"]),
        2,
        "no fix run",
        "fix runs only",
    );
}

#[test]
fn an_active_column_of_another_shape_is_not_taken_for_ours() {
    let stage = Stage::of(BOTH_FAILURES);
    stage.sql("ALTER TABLE namespaceimmutabilitypolicy ADD active text");
    complains(
        stage.run(&["check"]),
        2,
        "namespaceimmutabilitypolicy.active",
        "boolean NOT NULL",
    );
}

//! The history of what was done.

use std::process::Command;

use testkit::skipped;

use super::stage::{BOTH_FAILURES, RELEASE, Stage};
use crate::program;

#[test]
fn a_run_is_shown_with_who_why_and_what_it_changed() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.run(&["history"]).expect_status(0);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
        "--actor",
        "ann",
        "--reason",
        "ticket 7",
    ];
    stage.run(&args).expect_status(0);
    let all = stage
        .run(&["history", "--format", "json"])
        .expect_status(0)
        .json();
    let run = &all["operations"][0];
    assert_eq!(
        (&run["kind"], &run["phase"]),
        (&"fix".into(), &"done".into())
    );
    assert_eq!(
        (&run["actor"], &run["reason"]),
        (&"ann".into(), &"ticket 7".into())
    );
    assert_eq!(
        (&run["tags_changed"], &run["expirations_cleared"]),
        (&520.into(), &20.into())
    );

    let of_tag = ["history", "--tag", "globex/portal:v3.1", "--format", "json"];
    let tag = stage.run(&of_tag).expect_status(0).json();
    let change = &tag["changes"][0];
    assert_eq!(
        (
            &change["before"]["immutable"],
            &change["after"]["immutable"]
        ),
        (&false.into(), &true.into())
    );
    assert!(
        change["before"]["lifetime_end_ms"].is_i64()
            && change["after"]["lifetime_end_ms"].is_null()
    );
    assert!(change["undone_at"].is_null());
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    assert!(stage.run(&of_tag).json()["changes"][0]["undone_at"].is_string());

    let later = ["history", "--since", "2100-01-01", "--format", "json"];
    assert_eq!(
        stage.run(&later).json()["operations"],
        serde_json::json!([])
    );
    let human = stage
        .run(&["history", "1", "--limit", "2"])
        .expect_status(0)
        .stdout;
    assert!(
        human.contains("1 fix: rolled_back, 520 tags changed") && human.contains("ticket 7"),
        "{human}"
    );
}

#[test]
fn a_history_that_is_not_there_is_said_so() {
    let stage = Stage::of(BOTH_FAILURES);
    let ended = stage.run(&["history"]).expect_status(2);
    assert!(
        ended.stderr.contains("migrate up --to 1"),
        "{}",
        ended.stderr
    );
    stage.run(&["migrate", "up", "--to", "1"]).expect_status(0);
    stage.run(&["history", "5"]).expect_status(2);
    stage.run(&["history", "--tag", "acme"]).expect_status(2);
}

/// As the audit's run-book has it. A variable can be anybody's, and is asked where there is no account.
#[test]
fn whoever_is_not_stated_is_the_account_of_the_operating_system() {
    let account = Command::new("id").arg("-un").output().expect("id");
    if !account.status.success() {
        skipped("the account that the tests run under has no name");
        return;
    }
    let account = String::from_utf8(account.stdout).expect("UTF-8");
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = ["fix", "--apply", "--rule", "unprotected-tag"];
    let output = program::command(&args)
        .args(["--immutable-tags-can-expire", "false"])
        .env("DATABASE_URL", stage.db.url())
        .env("USER", "somebody else")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let all = stage.run(&["history", "--format", "json"]).json();
    assert_eq!(all["operations"][0]["actor"], account.trim());
}

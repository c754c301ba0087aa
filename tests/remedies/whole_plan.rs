//! A plan that somebody keeps holds everything that was asked for, and nothing ends with 0 while something of it is wrong.

use crate::line::stage::{RELEASE, Stage};

/// Orphans of a creation that failed, in many repositories.
const ORPHANS: &str = r#"
    seed = 61
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "app-{n}"
    count = 46
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 5
    immutable = true
"#;

const ALL: u64 = 46 * 5;

#[test]
fn a_plan_that_is_kept_holds_more_than_may_be_changed_and_applying_all_of_it_leaves_nothing() {
    let stage = Stage::migrated(ORPHANS);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.json").display().to_string();
    let plan = [
        "fix",
        "--max-changes",
        "10",
        "--remedy",
        RELEASE,
        "--format",
        "json",
    ];
    let told = stage
        .run(&[&plan[..], &["--out", &file]].concat())
        .expect_status(1)
        .json();
    assert_eq!(told["totals"]["beyond"], 0, "{told}");
    // More than may be: nothing is applied, and it is said how many there are.
    let apply = ["fix", "--apply", "--plan", &file, "--format", "json"];
    let refused = stage
        .run(&[&apply[..], &["--max-changes", "10"]].concat())
        .expect_status(2);
    assert!(refused.stderr.contains("230"), "{refused:?}");
    assert_eq!(stage.count("SELECT count(*) FROM tag WHERE immutable"), 230);
    let applied = stage.run(&apply).expect_status(0).json();
    assert_eq!(applied["applied"], ALL, "{applied}");
    stage.run(&["check", "--grace", "0s"]).expect_status(0);
}

#[test]
fn the_history_of_a_run_is_complete_as_json_and_says_what_it_leaves_out() {
    let stage = Stage::migrated(ORPHANS);
    let fix = ["fix", "--apply", "--remedy", RELEASE];
    stage.run(&fix).expect_status(0);
    let whole = stage
        .run(&["history", "1", "--format", "json"])
        .expect_status(0)
        .json();
    assert_eq!(whole["complete"], true, "{whole}");
    assert_eq!(whole["totals"]["changes"], ALL, "{whole}");
    let changes = whole["changes"].as_array().expect("a list");
    assert_eq!(changes.len() as u64, ALL);
    let places: std::collections::BTreeSet<&str> = changes
        .iter()
        .filter(|change| change["namespace"] == "acme")
        .filter_map(|change| change["repository"].as_str())
        .collect();
    assert_eq!(places.len(), 46);
    let cut = stage
        .run(&["history", "1", "--limit", "7", "--format", "json"])
        .expect_status(0)
        .json();
    assert_eq!(cut["complete"], false);
    assert_eq!(cut["changes"].as_array().expect("a list").len(), 7);
    let people = stage.run(&["history", "1"]).expect_status(0).stdout;
    assert_eq!(people.matches("acme/app-").count(), 50, "{people}");
    assert!(
        people.contains("180 more changes are not shown"),
        "{people}"
    );
}

#[test]
fn a_script_holds_everything_or_is_none() {
    let stage = Stage::migrated(ORPHANS);
    let script = ["fix", "--print-sql", "--remedy", RELEASE];
    stage
        .run(&[&script[..], &["--max-changes", "10"]].concat())
        .expect_status(2);
    let whole = stage.run(&script).expect_status(1);
    assert!(whole.stdout.matches("app-").count() >= 46);
}

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
fn a_script_holds_everything_or_is_none() {
    let stage = Stage::migrated(ORPHANS);
    let script = ["fix", "--print-sql", "--remedy", RELEASE];
    stage
        .run(&[&script[..], &["--max-changes", "10"]].concat())
        .expect_status(2);
    let whole = stage.run(&script).expect_status(1);
    assert!(whole.stdout.matches("app-").count() >= 46);
}

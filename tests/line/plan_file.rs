//! Plans in files: carried out as they were made, for the database they were made for, or not at all.

use std::path::PathBuf;

use serde_json::Value;

use super::output::valid;
use super::stage::{BOTH_FAILURES, RELEASE, Stage};

/// A plan of everything that can be corrected, in a file of its own.
struct Plan {
    folder: tempfile::TempDir,
}

impl Plan {
    fn of(stage: &Stage, more: &[&str]) -> Self {
        let plan = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let file = plan.file();
        let mut args = vec!["fix", "--remedy", RELEASE, "--out", &file];
        args.extend(["--immutable-tags-can-expire", "false"]);
        args.extend(more);
        let told = stage.run(&args).expect_status(1);
        assert!(told.stdout.contains("Digest: sha256:"), "{}", told.stdout);
        plan
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plan.json")
    }

    fn file(&self) -> String {
        self.path().display().to_string()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("the plan")
    }

    fn change(&self, text: &str) {
        std::fs::write(self.path(), text).expect("written");
    }
}

fn apply(stage: &Stage, plan: &Plan, status: i32) -> crate::program::Ended {
    let file = plan.file();
    stage
        .run(&["fix", "--apply", "--plan", &file, "--format", "json"])
        .expect_status(status)
}

#[test]
fn a_plan_from_a_file_does_exactly_what_it_says_and_never_more() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let plan = Plan::of(&stage, &[]);
    let document: Value = serde_json::from_str(&plan.text()).expect("JSON");
    valid("plan-file", &document);
    assert_eq!(document["corrections"].as_array().map(Vec::len), Some(520));
    // Since the plan: a new orphan, a new unprotected tag, and one whose expiry was moved.
    stage.sql(
        "INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
         SELECT 'v-later', id, 0, 1, true FROM repository WHERE name = 'shop';
         INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
         SELECT 'v-later', id, 0, 1, false FROM repository WHERE name = 'portal';
         UPDATE tag SET lifetime_end_ms = lifetime_end_ms + 1 WHERE name = 'v3.4'",
    );
    let run = apply(&stage, &plan, 1).json();
    valid("apply", &run);
    assert_eq!((&run["applied"], &run["skipped"]), (&519.into(), &1.into()));
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name = 'v-later' AND immutable"),
        1
    );
    let moved = "SELECT count(*) FROM tag WHERE name = 'v3.4' AND NOT immutable
                 AND lifetime_end_ms IS NOT NULL";
    assert_eq!(stage.count(moved), 1);
    let known = format!(
        "SELECT count(*) FROM quay_doctor.operation WHERE options ->> 'plan' = '{}'",
        document["digest"].as_str().expect("a digest")
    );
    assert_eq!(stage.count(&known), 1, "the run knows its plan");
    let again = apply(&stage, &plan, 1).json();
    assert_eq!(
        (&again["applied"], &again["skipped"]),
        (&0.into(), &520.into())
    );
}

#[test]
fn a_plan_that_was_changed_cut_off_or_is_none_is_refused_with_one_sentence() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let plan = Plan::of(&stage, &[]);
    let text = plan.text();
    let lines: Vec<&str> = text.lines().collect();
    for (changed, says) in [
        (
            text.replace("\"v17\"", "\"v18\""),
            "was changed after it was made",
        ),
        (
            text.replace("\"release\"", "\"keep\""),
            "was changed after it was made",
        ),
        (
            text.replace("\"actor\"", "\"Actor\""),
            "unknown field `Actor`",
        ),
        (
            text.replace(&format!("{}\n", lines[9]), ""),
            "was changed after it was made",
        ),
        (text[..text.len() / 2].to_owned(), "cannot be read"),
        (text.replace("\"shape\":1", "\"shape\":2"), "its shape is 2"),
        (String::new(), "cannot be read"),
        ("{}".to_owned(), "missing field"),
    ] {
        assert_ne!(changed, text);
        plan.change(&changed);
        let refused = apply(&stage, &plan, 2);
        let told = refused
            .stderr
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let told = told.replace(" │ ", " ");
        assert!(told.contains(says), "{says}: {}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    std::fs::remove_file(plan.path()).expect("removed");
    apply(&stage, &plan, 2);
    assert_eq!(stage.dump(), before);
    assert_eq!(stage.count("SELECT count(*) FROM quay_doctor.operation"), 0);
}

#[test]
fn a_plan_for_another_database_is_refused() {
    let (one, other) = (
        Stage::migrated(BOTH_FAILURES),
        Stage::migrated(BOTH_FAILURES),
    );
    let before = other.dump();
    let plan = Plan::of(&one, &[]);
    let refused = apply(&other, &plan, 2);
    assert!(
        refused.stderr.contains("was made for the database"),
        "{}",
        refused.stderr
    );
    assert_eq!(other.dump(), before);
    apply(&one, &plan, 0);
}

#[test]
fn a_plan_for_the_journal_as_it_was_before_is_refused() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let plan = Plan::of(&stage, &[]);
    stage
        .run(&["migrate", "down", "--to", "0"])
        .expect_status(0);
    stage.run(&["migrate", "up"]).expect_status(0);
    apply(&stage, &plan, 2);
}

#[test]
fn a_plan_of_before_the_journal_can_be_carried_out_after_it() {
    let stage = Stage::of(BOTH_FAILURES);
    let plan = Plan::of(&stage, &[]);
    stage.run(&["migrate", "up", "--to", "1"]).expect_status(0);
    let run = apply(&stage, &plan, 0).json();
    assert_eq!(run["applied"], 520);
}

#[test]
fn what_was_stated_about_quay_belongs_to_the_plan() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let plan = Plan::of(&stage, &[]);
    let file = plan.file();
    let other = [
        "fix",
        "--apply",
        "--plan",
        &file,
        "--immutable-tags-can-expire",
        "true",
    ];
    let refused = stage.run(&other).expect_status(2);
    assert!(refused.stderr.contains("can-expire"), "{}", refused.stderr);
    let with_choice = ["fix", "--apply", "--plan", &file, "--remedy", RELEASE];
    stage.run(&with_choice).expect_status(2);
    let run = apply(&stage, &plan, 0).json();
    assert_eq!(run["expirations_cleared"], 20);
}

#[test]
fn a_plan_that_is_larger_than_it_may_be_is_refused_and_a_look_at_it_changes_nothing() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let plan = Plan::of(&stage, &[]);
    let file = plan.file();
    let limited = ["fix", "--apply", "--plan", &file, "--max-changes", "519"];
    let refused = stage.run(&limited).expect_status(2);
    assert!(
        refused.stderr.contains("--max-changes 520"),
        "{}",
        refused.stderr
    );
    let looked = stage
        .run(&["fix", "--plan", &file, "--format", "json"])
        .expect_status(1)
        .json();
    valid("plan", &looked);
    assert_eq!(looked["totals"]["corrections"], 520);
    assert_eq!(stage.dump(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_plan_goes_into_a_pipe_or_a_full_disk_without_replacing_it() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let folder = tempfile::tempdir().expect("a folder");
    let full = folder.path().join("full");
    // A link, so that nothing of the machine can be replaced where this fails.
    std::os::unix::fs::symlink("/dev/full", &full).expect("a link");
    let full = full.display().to_string();
    let args = [
        "fix",
        "--immutable-tags-can-expire",
        "false",
        "--out",
        &full,
    ];
    let ended = stage.run(&args);
    assert_ne!(ended.status, 1, "{ended:#?}");
    assert!(
        ended.stderr.contains("No space left on device"),
        "{ended:#?}"
    );
    let kind = std::fs::symlink_metadata(&full).expect("the link");
    assert!(kind.file_type().is_symlink(), "it was replaced");
}

//! `--strategy atomic`: everything in one transaction, or nothing at all.

use std::thread;
use std::time::Duration;

use super::stage::{BOTH_FAILURES, RELEASE, Stage};
use crate::program::command;

const ATOMIC: [&str; 10] = [
    "fix",
    "--apply",
    "--strategy",
    "atomic",
    "--remedy",
    RELEASE,
    "--immutable-tags-can-expire",
    "false",
    "--format",
    "json",
];

/// Both failures, and an abandoned inactive policy.
fn stage() -> Stage {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(
        "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active, created_date)
         SELECT 'left', id, '{\"tag_pattern\": \"old\"}', false, now() - interval '9 days'
         FROM \"user\" WHERE username = 'globex'",
    );
    stage
}

fn operations(stage: &Stage) -> i64 {
    stage.count("SELECT count(*) FROM quay_doctor.operation")
}

#[test]
fn an_atomic_run_does_what_a_phased_one_does_and_can_be_taken_back() {
    let stage = stage();
    let before = stage.dump();
    let phased: Vec<&str> = ATOMIC
        .iter()
        .copied()
        .filter(|word| !["--strategy", "atomic"].contains(word))
        .collect();
    let by_batches = stage.run(&phased).expect_status(0).json();
    let after = stage.dump();
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    assert_eq!(stage.dump(), before);
    let at_once = stage.run(&ATOMIC).expect_status(0).json();
    assert_eq!(stage.dump(), after);
    assert_eq!(at_once["applied"], 521);
    assert_eq!(by_batches["applied"], 521);
    assert_eq!(at_once["batches"], 1);
    let xmins = "SELECT count(DISTINCT t.xmin::text) FROM tag t
                 JOIN quay_doctor.tag_change c ON c.tag_id = t.id AND c.operation_id = 2";
    assert_eq!(stage.count(xmins), 1, "one transaction wrote them all");
    stage.run(&["check"]).expect_status(0);
    stage.run(&["fix", "undo", "2"]).expect_status(0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn one_correction_that_no_longer_fits_leaves_all_undone() {
    for since in [
        "UPDATE tag SET immutable = false WHERE name = 'v17'",
        "DELETE FROM namespaceimmutabilitypolicy WHERE uuid = 'left'",
        "UPDATE namespaceimmutabilitypolicy SET active = true WHERE uuid = 'left'",
    ] {
        let stage = stage();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("plan.json").display().to_string();
        let mut args = vec!["fix", "--out", &file, "--remedy", RELEASE];
        args.extend(["--immutable-tags-can-expire", "false"]);
        stage.run(&args).expect_status(1);
        stage.sql(since);
        let before = stage.dump();
        let args = ["fix", "--apply", "--plan", &file, "--strategy", "atomic"];
        let refused = stage.run(&args).expect_status(3);
        assert!(
            refused.stderr.contains("all or nothing: of 521"),
            "{}",
            refused.stderr
        );
        assert_eq!(stage.dump(), before, "{since}");
        assert_eq!(operations(&stage), 0, "not even a run is left");
        let args = ["fix", "--apply", "--plan", &file, "--format", "json"];
        let phased = stage.run(&args).expect_status(1).json();
        assert_eq!(
            (&phased["applied"], &phased["skipped"]),
            (&520.into(), &1.into())
        );
    }
}

#[test]
fn a_row_in_other_hands_is_come_back_for_and_then_everything_is_left() {
    let stage = stage();
    let before = stage.dump();
    let mut other = stage.session();
    other
        .run("BEGIN; UPDATE tag SET reversion = reversion WHERE name = 'v2.7'")
        .expect("a lock");
    let refused = stage.run(&ATOMIC).expect_status(3);
    assert!(
        refused.stderr.contains("somebody else"),
        "{}",
        refused.stderr
    );
    other.run("ROLLBACK").expect("the end");
    assert_eq!(stage.dump(), before);
    assert_eq!(stage.run(&ATOMIC).expect_status(0).json()["applied"], 521);
}

#[test]
fn a_kill_at_any_moment_leaves_all_of_it_or_nothing() {
    let stage = stage();
    let before = stage.dump();
    for nth in 0..8 {
        let url = stage.db.url();
        let mut all = vec!["--database-url", &url];
        all.extend(ATOMIC);
        let mut run = command(&all).spawn().expect("the program starts");
        thread::sleep(Duration::from_millis(40 * nth));
        run.kill().expect("SIGKILL");
        run.wait().expect("an end");
        // The server may still be at the commit; a lock on the table waits for it.
        stage.sql("BEGIN; LOCK TABLE tag IN SHARE MODE; COMMIT");
        let unfinished = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";
        assert_eq!(stage.count(unfinished), 0);
        if stage.dump() != before {
            stage.run(&["check"]).expect_status(0);
            let run = stage.count("SELECT max(id) FROM quay_doctor.operation");
            stage
                .run(&["fix", "undo", &run.to_string()])
                .expect_status(0);
            assert_eq!(stage.dump(), before);
        }
    }
}

#[test]
fn the_audit_log_gets_an_entry_a_tag_one_a_batch_or_none() {
    for (audit, least, most) in [("per-tag", 520, 520), ("summary", 2, 20), ("none", 0, 0)] {
        let stage = stage();
        let mut args = ATOMIC.to_vec();
        // On a slow machine, too, a batch is to have many tags.
        args.extend(["--audit", audit, "--batch-time", "10s"]);
        stage.run(&args).expect_status(0);
        let marked = "SELECT count(*) FROM logentry3
                      WHERE metadata_json LIKE '%quay_doctor_operation%'";
        let entries = stage.count(marked);
        assert!((least..=most).contains(&entries), "{audit}: {entries}");
        if audit == "summary" {
            let told = stage.count(&format!(
                "{marked} AND metadata_json::jsonb ->> 'tag' LIKE '% and % more'"
            ));
            assert_eq!(told, entries);
        }
        stage.run(&["check"]).expect_status(0);
        stage
            .run(&["fix", "undo", "1", "--audit", audit, "--batch-time", "60s"])
            .expect_status(0);
        let undoing = stage.count(marked) - entries;
        assert!((least..=most).contains(&undoing), "{audit}: {undoing}");
    }
}

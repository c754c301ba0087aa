//! Runs that are cut off, and runs that meet each other.

use std::thread;
use std::time::{Duration, Instant};

use super::stage::{BOTH_FAILURES, RELEASE, Stage};
use crate::program::command;

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

/// Waits until a query counts at least one.
fn wait_for(stage: &Stage, sql: &str) {
    let begun = Instant::now();
    while stage.count(sql) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {sql}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_that_was_killed_in_the_middle_is_taken_back_whole() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    // Somebody holds rows of the second repository, so that the run stands between its batches.
    let mut other = stage.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name LIKE 'v2.%' FOR UPDATE")
        .expect("locks");
    let mut all = vec!["--database-url".to_owned(), stage.db.url()];
    all.extend(APPLY.map(str::to_owned));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut run = command(&all).spawn().expect("the program starts");
    wait_for(&stage, "SELECT count(*) FROM quay_doctor.tag_change");
    run.kill().expect("SIGKILL");
    run.wait().expect("an end");
    other.run("ROLLBACK").expect("the end");

    let unfinished = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";
    assert_eq!(stage.count(unfinished), 1);
    let changed = stage.count("SELECT count(*) FROM quay_doctor.tag_change");
    let differs = stage.count("SELECT count(*) FROM tag t JOIN quay_doctor.tag_change c ON c.tag_id = t.id
         WHERE t.immutable = c.immutable_after AND t.lifetime_end_ms IS NOT DISTINCT FROM c.lifetime_end_ms_after");
    assert_eq!(
        changed, differs,
        "the journal holds exactly what was changed"
    );
    wait_for(
        &stage,
        "SELECT (count(*) = 0)::int::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    assert_eq!(stage.dump(), before);
    assert_eq!(stage.count(unfinished), 0);
}

#[test]
fn a_lost_connection_leaves_whole_batches_and_says_how_to_go_on() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let mut other = stage.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name LIKE 'v2.%' FOR UPDATE")
        .expect("locks");
    let ended = thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&APPLY));
        wait_for(&stage, "SELECT count(*) FROM quay_doctor.tag_change");
        stage.count(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'quay-doctor' AND datname = current_database()
                 AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2)",
        );
        run.join().expect("an end")
    });
    other.run("ROLLBACK").expect("the end");
    let ended = ended.expect_status(3);
    assert!(ended.stderr.contains("fix undo 1"), "{}", ended.stderr);
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn a_run_that_is_at_work_cannot_be_undone_under_its_feet() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let mut other = stage.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name LIKE 'v2.%' FOR UPDATE")
        .expect("locks");
    thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&APPLY));
        wait_for(&stage, "SELECT count(*) FROM quay_doctor.tag_change");
        let refused = stage.run(&["fix", "undo", "1"]).expect_status(3);
        assert!(refused.stderr.contains("at work"), "{}", refused.stderr);
        other.run("ROLLBACK").expect("the end");
        run.join().expect("an end").expect_status(0);
    });
    stage.run(&["check"]).expect_status(0);
}

#[test]
fn two_fixers_at_once_correct_everything_once() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(|| stage.run(&APPLY));
        let two = scope.spawn(|| stage.run(&APPLY));
        (one.join().expect("an end"), two.join().expect("an end"))
    });
    let applied = |ended: &crate::program::Ended| ended.json()["applied"].as_i64().expect("a sum");
    assert_eq!(applied(&one) + applied(&two), 520, "{one:?} {two:?}");
    stage.run(&["check"]).expect_status(0);
    for run in ["2", "1"] {
        stage.run(&["fix", "undo", run]).expect_status(0);
    }
    assert_eq!(stage.dump(), before);
}

#[test]
fn quays_lock_on_a_repository_is_waited_for_and_respected() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let mut pusher = stage.session();
    let id = stage.count("SELECT id::bigint FROM repository WHERE name = 'shop'");
    let key = quay_doctor::quay::retarget_lock_key(quay_doctor::quay::RepositoryId(
        i32::try_from(id).expect("an id"),
    ));
    pusher
        .run(&format!("BEGIN; SELECT pg_advisory_xact_lock({key})"))
        .expect("Quay's lock");
    thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&APPLY));
        wait_for(
            &stage,
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        );
        assert_eq!(
            stage.count("SELECT count(*) FROM quay_doctor.tag_change"),
            0
        );
        // The push makes the tag another row; the corrected one is dead by then.
        pusher
            .run(
                "UPDATE tag SET lifetime_end_ms = 1000 WHERE name = 'v9';
                 COMMIT",
            )
            .expect("a push");
        let done = run.join().expect("an end").expect_status(1).json();
        assert_eq!(
            (&done["applied"], &done["skipped"]),
            (&519.into(), &1.into())
        );
    });
}

#[test]
fn ctrl_c_ends_a_run_after_its_batch_and_what_it_did_can_be_taken_back() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let mut other = stage.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name LIKE 'v2.%' FOR UPDATE")
        .expect("locks");
    let mut all = vec!["--database-url".to_owned(), stage.db.url()];
    all.extend(APPLY.map(str::to_owned));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let run = command(&all)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    wait_for(&stage, "SELECT count(*) FROM quay_doctor.tag_change");
    let killed = std::process::Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status()
        .expect("kill");
    assert!(killed.success());
    let ended = run.wait_with_output().expect("an end");
    other.run("ROLLBACK").expect("the end");
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{complaint}");
    assert!(complaint.contains("fix undo 1"), "{complaint}");
    let unfinished = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";
    assert_eq!(stage.count(unfinished), 0);
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn recover_takes_a_killed_run_back_or_lets_it_stand() {
    for (args, stands, is_logged) in [
        (&["recover"][..], false, true),
        (&["recover", "--no-audit"], false, false),
        (&["recover", "--resume"], true, false),
    ] {
        let stage = Stage::migrated(BOTH_FAILURES);
        let before = stage.dump();
        let mut other = stage.session();
        other
            .run("BEGIN; SELECT FROM tag WHERE name LIKE 'v2.%' FOR UPDATE")
            .expect("locks");
        let mut all = vec!["--database-url".to_owned(), stage.db.url()];
        all.extend(APPLY.map(str::to_owned));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut run = command(&all).spawn().expect("the program starts");
        wait_for(&stage, "SELECT count(*) FROM quay_doctor.tag_change");
        run.kill().expect("SIGKILL");
        run.wait().expect("an end");
        other.run("ROLLBACK").expect("the end");
        stage.run(&["recover", "--list"]).expect_status(3);
        let entries = "SELECT count(*) FROM logentry3";
        let logged = stage.count(entries);
        stage.run(args).expect_status(0);
        assert_eq!(stage.dump() != before, stands);
        assert_eq!(stage.count(entries) > logged, is_logged, "{args:?}");
        stage.run(&["recover", "--list"]).expect_status(0);
        let settled = stage.dump();
        stage.run(args).expect_status(0);
        assert_eq!(stage.dump(), settled, "a second recover changes nothing");
    }
}

//! Recorded scans: written where the role may, kept 400 days, compared with.

use serde_json::Value;

use crate::line::output::valid;
use crate::line::stage::{BOTH_FAILURES, Stage};

fn names(keys: &Value) -> Vec<&str> {
    let keys = keys.as_array().expect("keys").iter();
    keys.map(|key| key["name"].as_str().expect("a name"))
        .collect()
}

fn walk(stage: &Stage, record: &[&str]) {
    let args = |more: &[&'static str]| -> Vec<String> {
        let all = [&["check", "--format", "json"][..], record, more].concat();
        all.iter().map(|arg| (*arg).to_owned()).collect()
    };
    let run = |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let document = stage.run(&args).expect_status(1).json();
        valid("check", &document);
        document
    };
    let first = run(args(&["--compare"]));
    assert_eq!(
        first["comparison"]["with"],
        Value::Null,
        "nothing to compare with"
    );
    stage.sql("UPDATE tag SET immutable = false WHERE name IN ('v1', 'v2')");
    stage.sql("UPDATE tag SET immutable = true WHERE name = 'nightly-1'");
    let second = run(args(&["--compare"]));
    let comparison = &second["comparison"];
    assert_eq!(comparison["with"], first["started_at"]);
    assert_eq!(names(&comparison["new"]), ["nightly-1"]);
    assert_eq!(names(&comparison["gone"]), ["v1", "v2"]);
    assert_eq!(comparison["still_there"], 518);
    // A scan of another scope is another history.
    let part = run(args(&["--compare", "--namespace", "globex"]));
    assert_eq!(part["comparison"]["with"], Value::Null);
    let third = run(args(&["--compare"]));
    assert_eq!(third["comparison"]["still_there"], 519);
}

#[test]
fn a_scan_is_compared_with_the_recorded_one_before_it() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(
        "INSERT INTO quay_doctor.scan (started_at, finished_at, complete, tool_version, report)
         VALUES (now() - interval '401 days', now(), true, '0', '{}'),
             (now() - interval '399 days', now(), true, '0', '{}')",
    );
    walk(&stage, &["--record"]);
    assert_eq!(
        stage.count("SELECT count(*) FROM quay_doctor.scan"),
        4 + 1,
        "400 days are kept"
    );
}

#[test]
fn a_scan_of_a_replica_is_recorded_in_a_file_or_in_another_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder
        .path()
        .join("scans.ndjson")
        .to_string_lossy()
        .into_owned();
    let stage = Stage::of(BOTH_FAILURES);
    walk(&stage, &["--record-to", &file]);
    assert_eq!(
        std::fs::read_to_string(&file)
            .expect("the file")
            .lines()
            .count(),
        4
    );

    let other = Stage::migrated(BOTH_FAILURES);
    let stage = Stage::of(BOTH_FAILURES);
    walk(&stage, &["--record-to", &other.db.url()]);
    assert_eq!(other.count("SELECT count(*) FROM quay_doctor.scan"), 4);
}

#[test]
fn a_scan_that_cannot_be_recorded_gives_its_answer_and_complains() {
    let stage = Stage::of(BOTH_FAILURES);
    let ended = stage
        .run(&["check", "--record", "--format", "json"])
        .expect_status(2);
    assert_eq!(ended.json()["totals"]["violations"], 520);
    assert!(
        ended.stderr.contains("migrate up --to 1"),
        "{}",
        ended.stderr
    );
}

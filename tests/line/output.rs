//! What is printed: documents after their schemas, names made harmless, no stale files.

use serde_json::Value;

use super::stage::{BOTH_FAILURES, RELEASE, Stage};

pub fn valid(schema: &str, document: &Value) {
    let path = format!("{}/docs/schemas/{schema}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the schema is there");
    let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let complaints: Vec<String> = validator
        .iter_errors(document)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}\n{document:#}");
}

#[test]
fn every_document_is_as_its_schema_says() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let json = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--format", "json"]);
        stage.run(&all).json()
    };
    valid("check", &json(&["check"]));
    valid("check", &json(&["check", "--strict", "--limit", "3"]));
    valid("plan", &json(&["fix"]));
    valid(
        "plan",
        &json(&[
            "fix",
            "--remedy",
            RELEASE,
            "--immutable-tags-can-expire",
            "false",
        ]),
    );
    let run = json(&[
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
    ]);
    valid("apply", &run);
    valid("check", &json(&["check"]));
    stage.sql("UPDATE tag SET immutable = true WHERE name = 'v5'");
    valid("undo", &json(&["fix", "undo", &run["run"].to_string()]));
}

#[test]
fn a_schema_refuses_a_document_that_lacks_something() {
    let path = format!("{}/docs/schemas/check.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the schema is there");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let document = Stage::of(BOTH_FAILURES)
        .run(&["check", "--format", "json"])
        .json();
    assert!(validator.is_valid(&document));
    for key in [
        "tool",
        "rules",
        "violations",
        "totals",
        "truncated",
        "database",
    ] {
        let mut without = document.clone();
        without.as_object_mut().expect("an object").remove(key);
        assert!(!validator.is_valid(&without), "{key}");
    }
}

#[test]
fn more_violations_than_the_limit_are_counted_and_said_to_be_cut() {
    let stage = Stage::of(BOTH_FAILURES);
    let report = stage
        .run(&["check", "--limit", "3", "--format", "json"])
        .expect_status(1)
        .json();
    let listed = report["violations"].as_array().expect("a list");
    assert_eq!(listed.len(), 3);
    // 300 orphans come before 220 unprotected tags, and leave them their share.
    let of = |rule: &str| listed.iter().filter(|one| one["rule"] == rule).count();
    assert_eq!(of("orphaned-immutable-tag") + of("unprotected-tag"), 3);
    assert!(of("unprotected-tag") > 0, "{listed:?}");
    assert_eq!(report["totals"]["violations"], 520);
    assert_eq!(report["truncated"], true);
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(
        r#"UPDATE tag SET name = E'\x1b[31mred\x07' WHERE name = 'v1';
           UPDATE "user" SET username = E'ac\x1b]0;me' WHERE username = 'acme';
           UPDATE repository SET name = E'sh\u202eop' WHERE name = 'shop'"#,
    );
    for args in [
        &["check"][..],
        &["fix"],
        &[
            "fix",
            "--apply",
            "--remedy",
            RELEASE,
            "--immutable-tags-can-expire",
            "true",
        ],
    ] {
        let ended = stage.run(args);
        let printed = ended.stdout + &ended.stderr;
        let bad = printed
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{printed}");
    }
}

#[test]
fn the_order_of_violations_does_not_depend_on_the_rows_places() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let violations = || {
        let report = stage.run(&["check", "--format", "json"]).json();
        report["violations"].clone()
    };
    let before = violations();
    stage.sql("UPDATE tag SET reversion = NOT reversion WHERE id % 3 = 0");
    assert_eq!(violations(), before);
}

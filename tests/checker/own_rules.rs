//! A user's own rules: the same format, or a query; and known violations.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::line::output::valid;
use crate::line::stage::{BOTH_FAILURES, Stage};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (id, rest) in files {
        let head = format!(
            "id = \"{id}\"\nseverity = \"warning\"\nsummary = \"s\"\nreason = \"r\"\n{rest}"
        );
        fs::write(folder.path().join(format!("{id}.toml")), head).expect("a file");
    }
    folder
}

fn check(stage: &Stage, folder: &Path, more: &[&str]) -> Value {
    let folder = folder.to_string_lossy().into_owned();
    let mut args = vec!["check", "--format", "json", "--checks", &folder];
    args.extend(more);
    let document = stage.run(&args).json();
    valid("check", &document);
    document
}

fn rule<'v>(report: &'v Value, id: &str) -> &'v Value {
    let rules = report["rules"].as_array().expect("rules");
    rules
        .iter()
        .find(|rule| rule["id"] == id)
        .expect("the rule")
}

const NIGHTLY: &str = r#"
    subject = "row"
    message = "has {tags} nightly tags"
    [query]
    sql = """
    SELECT u.username AS namespace, r.name AS repository, 'nightly' AS name, count(*) AS tags
    FROM tag t JOIN repository r ON r.id = t.repository_id
    JOIN "user" u ON u.id = r.namespace_user_id
    WHERE t.name LIKE 'nightly-%'
    GROUP BY 1, 2 -- a comment at the end
    """
"#;

#[test]
fn a_query_finds_rows_and_its_columns_say_where_and_what() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let folder = folder(&[("nightly", NIGHTLY)]);
    let report = check(&stage, folder.path(), &["--rule", "nightly"]);
    assert_eq!(report["totals"]["violations"], 1);
    let found = &report["violations"][0];
    assert_eq!(found["message"], "nightly has 50 nightly tags");
    assert_eq!(found["subject"]["kind"], "row");
    assert_eq!(found["subject"]["namespace"], "acme");
    let elsewhere = check(
        &stage,
        folder.path(),
        &["--rule", "nightly", "--namespace", "globex"],
    );
    assert_eq!(elsewhere["totals"]["violations"], 0);
    let shards = ["0/2", "1/2"].map(|shard| {
        check(
            &stage,
            folder.path(),
            &["--rule", "nightly", "--shard", shard],
        )["totals"]["violations"]
            .as_i64()
            .expect("a sum")
    });
    assert_eq!(shards.iter().sum::<i64>(), 1);
}

#[test]
fn a_query_that_fails_writes_or_takes_too_long_is_undecided_and_the_others_run() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let query = |sql: &str| {
        format!(
            "subject = \"row\"\nmessage = \"m\"\nquery = {{ sql = '''{sql}''', time-limit = \"300ms\" }}"
        )
    };
    let wrong = query("SELECT nothing FROM nowhere");
    let writes = query("UPDATE tag SET immutable = true RETURNING id");
    let hidden = query("WITH gone AS (DELETE FROM tag RETURNING id) SELECT * FROM gone");
    let two = query("SELECT 1) AS x; DELETE FROM tag; SELECT (1");
    let slow = query("SELECT pg_sleep(30)");
    let files = [
        ("a-wrong", wrong.as_str()),
        ("b-writes", &writes),
        ("c-hidden", &hidden),
        ("d-two", &two),
        ("e-slow", &slow),
        ("nightly", NIGHTLY),
    ];
    let folder = folder(&files);
    let report = check(&stage, folder.path(), &[]);
    for (id, _) in &files[..5] {
        assert_eq!(rule(&report, id)["status"], "undecided", "{id}");
        assert!(rule(&report, id)["reason"].is_string(), "{id}");
    }
    let why = rule(&report, "a-wrong")["reason"]
        .as_str()
        .expect("a reason");
    assert!(why.contains("nowhere"), "{why}");
    assert_eq!(rule(&report, "nightly")["violations"], 1);
    assert_eq!(rule(&report, "orphaned-immutable-tag")["violations"], 300);
    assert_eq!(stage.dump(), before);
    let checks = folder.path().to_string_lossy().into_owned();
    stage.run(&["check", "--checks", &checks]).expect_status(3);
}

#[test]
fn a_rule_over_facts_needs_no_code_and_a_taken_name_is_an_error() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let own = "subject = \"tag\"\ncondition = [\"live\", \"expiring\"]\nmust-hold = [\"immutable\"]\nmessage = \"expires\"";
    let folder_of_one = folder(&[("expiring-tag", own)]);
    let report = check(&stage, folder_of_one.path(), &["--rule", "expiring-tag"]);
    assert_eq!(report["totals"]["violations"], 20);
    let taken = folder(&[("unprotected-tag", own)]);
    let checks = taken.path().to_string_lossy().into_owned();
    let ended = stage.run(&["check", "--checks", &checks]).expect_status(2);
    assert!(ended.stderr.contains("unprotected-tag"), "{}", ended.stderr);
    let ended = stage
        .run(&["check", "--checks", "/nowhere"])
        .expect_status(2);
    assert!(ended.stderr.contains("/nowhere"), "{}", ended.stderr);
}

#[test]
fn known_violations_fail_no_run_new_ones_do_and_stale_ones_are_said() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("known.json");
    let kept = stage
        .run(&["check", "--format", "json"])
        .expect_status(1)
        .stdout;
    fs::write(&file, &kept).expect("a file");
    let file = file.to_string_lossy().into_owned();
    let args = ["check", "--baseline", &file, "--format", "json"];
    let report = stage.run(&args).expect_status(0).json();
    valid("check", &report);
    assert_eq!(
        (&report["totals"]["violations"], &report["totals"]["known"]),
        (&0.into(), &520.into())
    );
    assert_eq!(report["stale"], Value::Array(vec![]));

    stage.sql("UPDATE tag SET immutable = true WHERE name = 'nightly-7'");
    stage.sql("UPDATE tag SET immutable = false WHERE name IN ('v7', 'v8')");
    let report = stage.run(&args).expect_status(1).json();
    assert_eq!(
        (&report["totals"]["violations"], &report["totals"]["known"]),
        (&1.into(), &518.into())
    );
    assert_eq!(report["violations"][0]["subject"]["name"], "nightly-7");
    let stale: Vec<&str> = report["stale"]
        .as_array()
        .expect("stale")
        .iter()
        .map(|key| key["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(stale, ["v7", "v8"]);
    // A look at a part cannot say what is gone.
    let part = stage
        .run(&[&args[..], &["--namespace", "globex"]].concat())
        .json();
    assert_eq!(part["stale"], Value::Array(vec![]));
    let text = stage.run(&["check", "--baseline", &file]).stdout;
    assert!(
        text.contains("still in the baseline") && text.contains("v7"),
        "{text}"
    );

    fs::write(folder.path().join("wrong.json"), "{}").expect("a file");
    let wrong = folder
        .path()
        .join("wrong.json")
        .to_string_lossy()
        .into_owned();
    stage.run(&["check", "--baseline", &wrong]).expect_status(2);
}

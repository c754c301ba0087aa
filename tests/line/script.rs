//! The plan as a script: psql runs it, and Quay's tables are as `--apply` would leave them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use quay_doctor::sandbox::{Program, Programs};
use testkit::skipped;

use super::stage::{BOTH_FAILURES, RELEASE, Stage};

/// Names that try to leave their literal, their comment or psql's line.
const HOSTILE: &str = r#"UPDATE tag SET name = E'v\'; DROP TABLE tag; --' WHERE name = 'v1';
    UPDATE tag SET name = E'v\\' WHERE name = 'v2';
    UPDATE tag SET name = E'v:run :fence :''fence''' WHERE name = 'v3';
    UPDATE tag SET name = E'v\n\\quit\n\\! touch /nowhere\n' WHERE name = 'v4';
    UPDATE tag SET name = E'v$quay_doctor$ $$ \u00e9 \u202e' WHERE name = 'v5';
    UPDATE tag SET name = E'v\t\x1b[31m\'' WHERE name = 'v2.6';
    UPDATE repository SET name = E'shop\n\\quit\n''' WHERE name = 'shop';
    UPDATE repository SET name = E'portal\\' WHERE name = 'portal';
    UPDATE namespaceimmutabilitypolicy SET policy = E'{"tag_pattern": "v.*|''\\\\u0000"}'"#;

/// Everything that a run of the program writes beside Quay's tag and policy tables, but for times
/// and the run's number.
const LOG: &str = "SELECT count(DISTINCT (e.account_id, e.repository_id, e.kind_id,
        e.metadata_json::jsonb - 'quay_doctor_operation'))
    FROM logentry3 e WHERE e.metadata_json LIKE '%quay_doctor_operation%'";

/// The program psql, where there is one.
pub fn psql() -> Option<PathBuf> {
    let found = Programs::find().and_then(|programs| programs.path(Program::Psql));
    if found.is_err() {
        skipped("there is no psql on this machine to run the script");
    }
    found.ok()
}

/// Runs a script; what psql said, and whether it got through.
pub fn run(psql: &PathBuf, stage: &Stage, script: &str) -> (bool, String) {
    let mut child = Command::new(psql)
        .args(["-w", "-X", "-d", &stage.db.url(), "-f", "-"])
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(script.as_bytes()).expect("written");
    drop(stdin);
    let ended = child.wait_with_output().expect("psql ends");
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    (ended.status.success(), said.into_owned())
}

fn print(stage: &Stage, more: &[&str]) -> String {
    let mut args = vec!["fix", "--print-sql", "--remedy", RELEASE];
    args.extend(["--immutable-tags-can-expire", "false"]);
    args.extend(more);
    let printed = stage.run(&args).expect_status(1).stdout;
    assert!(printed.ends_with("-- end\n"), "{printed}");
    printed
}

fn apply(stage: &Stage) -> serde_json::Value {
    let args = ["fix", "--apply", "--remedy", RELEASE, "--format", "json"];
    let mut args = args.to_vec();
    args.extend(["--immutable-tags-can-expire", "false"]);
    stage.run(&args).expect_status(0).json()
}

/// Both failures, hostile names, an expiry that the journal knows, and an abandoned policy.
fn stage() -> Stage {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(HOSTILE);
    stage.sql(
        "INSERT INTO quay_doctor.operation
             (kind, phase, fence, worker, actor, tool_version, finished_at)
         VALUES ('fix', 'done', gen_random_uuid(), 'w', 'a', 'v', now());
         INSERT INTO quay_doctor.tag_change
             (operation_id, tag_id, repository_id, immutable_before, immutable_after,
              lifetime_end_ms_before, lifetime_end_ms_after)
         SELECT 1, id, repository_id, false, true,
             CASE name WHEN 'v7' THEN 4102444800000 ELSE 1000 END, NULL
         FROM tag WHERE name IN ('v7', 'v8');
         UPDATE tag SET name = name WHERE name IN ('v7', 'v8');
         INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active, created_date)
         SELECT 'it''s \\ left', id, '{\"tag_pattern\": \"old\"}', false, now() - interval '9 days'
         FROM \"user\" WHERE username = 'globex'",
    );
    stage
}

#[test]
fn psql_leaves_quays_tables_as_apply_does_and_undo_takes_it_back() {
    let Some(psql) = psql() else { return };
    let stage = stage();
    let before = stage.dump();
    let script = print(&stage, &[]);
    assert_eq!(stage.dump(), before, "printing changes nothing");
    let (through, said) = run(&psql, &stage, &script);
    assert!(through && said.contains("changed: 0"), "{said}");
    let by_psql = (stage.dump(), stage.count(LOG));
    stage.run(&["check"]).expect_status(0);
    stage.run(&["recover", "--list"]).expect_status(0);
    let sums = "SELECT tags_changed * 1000000 + tags_skipped * 1000 + expirations_cleared
                FROM quay_doctor.operation WHERE id = 2 AND phase = 'done'";
    assert_eq!(stage.count(sums), 521_000_020);
    stage
        .run(&["fix", "undo", "2", "--audit", "none"])
        .expect_status(0);
    assert_eq!(stage.dump(), before);

    stage.sql("DELETE FROM logentry3 WHERE metadata_json LIKE '%quay_doctor_operation%'");
    assert_eq!(apply(&stage)["applied"], 521);
    assert_eq!((stage.dump(), stage.count(LOG)), by_psql);
    assert_eq!(by_psql.1, 520);
}

#[test]
fn a_script_that_is_run_again_or_too_late_changes_nothing_more() {
    let Some(psql) = psql() else { return };
    for since in [
        // A policy, a user's act and a label concern the whole repository; the others one row.
        (
            300,
            r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
               SELECT 'later', id, '{"tag_pattern": "v.*"}' FROM "user" WHERE username = 'acme'"#,
        ),
        (
            300,
            r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
               SELECT k.id, r.namespace_user_id, r.id, now() AT TIME ZONE 'utc',
                   '{"tag": "v1", "immutable": true, "previous_immutable": true}'
               FROM logentrykind k, repository r
               WHERE k.name = 'change_tag_immutability' AND r.name = 'shop'"#,
        ),
        (
            300,
            r#"WITH made AS (INSERT INTO label (uuid, key, value, media_type_id, source_type_id)
                   SELECT 'l', 'quay.immutable', 'true', m.id, s.id
                   FROM mediatype m, labelsourcetype s LIMIT 1 RETURNING id)
               INSERT INTO manifestlabel (repository_id, manifest_id, label_id)
               SELECT t.repository_id, t.manifest_id, made.id FROM tag t, made
               WHERE t.name = 'v9' AND t.manifest_id IS NOT NULL"#,
        ),
        (
            3,
            "UPDATE tag SET immutable = false WHERE name = 'v2';
             UPDATE tag SET lifetime_end_ms = 1000 WHERE name = 'v3';
             UPDATE tag SET lifetime_end_ms = lifetime_end_ms + 1 WHERE name = 'v3.4'",
        ),
    ] {
        let stage = Stage::migrated(BOTH_FAILURES);
        let script = print(&stage, &[]);
        stage.sql(since.1);
        let (through, said) = run(&psql, &stage, &script);
        let left = format!("changed: {}", since.0);
        assert!(through && said.contains(&left), "{}: {said}", since.1);
        let after = stage.dump();
        let (through, said) = run(&psql, &stage, &script);
        assert!(through && said.contains("changed: 520"), "{said}");
        assert_eq!(
            stage.dump(),
            after,
            "run again it finds nothing that it expects"
        );
    }
}

#[test]
fn without_a_journal_the_script_works_and_says_that_it_cannot_be_taken_back() {
    let Some(psql) = psql() else { return };
    let stage = Stage::of(BOTH_FAILURES);
    stage.sql(HOSTILE);
    let script = print(&stage, &[]);
    assert!(script.contains("no journal"), "{script}");
    let (through, said) = run(&psql, &stage, &script);
    assert!(through && said.contains("changed: 0"), "{said}");
    stage.run(&["check"]).expect_status(0);
}

#[test]
fn a_script_for_another_database_stops_before_it_has_done_anything() {
    let Some(psql) = psql() else { return };
    let (one, other) = (
        Stage::migrated(BOTH_FAILURES),
        Stage::migrated(BOTH_FAILURES),
    );
    let script = print(&one, &[]);
    let before = other.dump();
    let (through, said) = run(&psql, &other, &script);
    assert!(!through && said.contains("another database"), "{said}");
    assert_eq!(other.dump(), before);
    assert_eq!(other.count("SELECT count(*) FROM quay_doctor.operation"), 0);
}

#[test]
fn declarations_and_rows_in_other_hands_are_as_with_apply() {
    let Some(psql) = psql() else { return };
    let stage = Stage::migrated(BOTH_FAILURES);
    let keep = [
        "--rule",
        "orphaned-immutable-tag",
        "--remedy",
        "orphaned-immutable-tag=keep",
    ];
    let script = print(&stage, &keep);
    let mut other = stage.session();
    other
        .run("BEGIN; UPDATE tag SET reversion = reversion WHERE name = 'v7'")
        .expect("a lock");
    let (through, said) = run(&psql, &stage, &script);
    assert!(through && said.contains("changed: 1"), "{said}");
    other.run("ROLLBACK").expect("the end");
    let orphans = stage.rule("orphaned-immutable-tag", &[]);
    assert_eq!(
        (&orphans["violations"], &orphans["explained"]),
        (&1.into(), &299.into())
    );
}

#[test]
fn a_script_can_sum_up_in_the_audit_log() {
    let Some(psql) = psql() else { return };
    let stage = Stage::migrated(BOTH_FAILURES);
    let script = print(&stage, &["--audit", "summary"]);
    let (through, said) = run(&psql, &stage, &script);
    assert!(through && said.contains("changed: 0"), "{said}");
    let summed = "SELECT count(*) FROM logentry3
        WHERE metadata_json::jsonb ->> 'tag' IN ('v1 and 299 more', 'v2.1 and 219 more')";
    assert_eq!(stage.count(summed), 2);
}

//! Going down: back to what was there, and never over something that still depends on it.

use std::time::Duration;

use serde_json::Value;

use super::stage::{Ended, Stage};

const OPERATION: &str = "INSERT INTO quay_doctor.operation
    (kind, phase, fence, worker, actor, tool_version, namespace_name, policy_uuid, finished_at)
    VALUES ('create', 'applying', gen_random_uuid(), 'w', 'a', '0', 'acme', 'the-policy', NULL)";

const TAG_CHANGE: &str = "INSERT INTO quay_doctor.tag_change
    (operation_id, tag_id, repository_id, immutable_before, immutable_after, lifetime_end_ms_before)
    VALUES (1, 7, 1, false, true, 1234567890123)";

const POLICY_CHANGE: &str = "INSERT INTO quay_doctor.policy_change
    (operation_id, policy_table, policy_id, row_after)
    VALUES (1, 'namespaceimmutabilitypolicy', 1, '{\"id\": 1}')";

const KEPT: &str = "INSERT INTO quay_doctor.kept
    (operation_id, scope_kind, scope_id, tag_id, actor, reason)
    VALUES (1, 'repository', 1, 7, 'someone', E'\"quoted\"\\nand broken')";

fn at_version_three() -> Stage {
    let stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage
}

#[test]
fn down_to_nothing_leaves_the_database_as_it_was_found() {
    let mut stage = Stage::with_policies();
    let undropped = |catalog: String| -> Vec<String> {
        let lines = catalog.lines().filter(|line| !line.contains("pg.dropped"));
        lines.map(str::to_owned).collect()
    };
    let before = undropped(stage.catalog());
    stage.migrate(&["up"]).exits(0);
    let down = stage.migrate(&["down", "--to", "0"]).exits(0);
    assert!(down.stdout.contains("now at version 0"), "{}", down.stdout);
    assert_eq!(undropped(stage.catalog()), before);
    stage.migrate(&["status"]).exits(1);
    stage.migrate(&["up"]).exits(0);
}

#[test]
fn every_step_down_can_be_gone_up_again() {
    let stage = at_version_three();
    for version in ["2", "1", "0", "2", "1"] {
        let at = |stage: &Stage| {
            stage.migrate(&["status", "--format", "json"]).json()["result"]["version"].to_string()
        };
        if at(&stage).as_str() > version {
            stage.migrate(&["down", "--to", version]).exits(0);
        } else {
            stage.migrate(&["up", "--to", version]).exits(0);
        }
        assert_eq!(at(&stage), version);
        stage.migrate(&["verify"]).exits(0);
    }
}

#[test]
fn no_way_down_leads_over_an_inactive_policy() {
    for (table, uuid, scope) in [
        (
            "namespaceimmutabilitypolicy",
            "11111111-1111-1111-1111-111111111111",
            "of acme",
        ),
        (
            "repositoryimmutabilitypolicy",
            "22222222-2222-2222-2222-222222222222",
            "of acme/app",
        ),
    ] {
        let mut stage = at_version_three();
        stage.sql(&format!("UPDATE {table} SET active = false"));
        let before = stage.catalog();
        for args in [
            &["down", "--to", "2"][..],
            &["down", "--to", "1"],
            &["down", "--to", "0"],
            &["down", "--to", "0", "--drop-journal", "/nonexistent/file"],
            &["hand-over"],
        ] {
            stage.migrate(args).exits(3).complains_of(&[
                "a policy is inactive",
                uuid,
                scope,
                "enforce",
            ]);
            assert_eq!(stage.catalog(), before, "{args:?}");
        }
        stage.sql(&format!("UPDATE {table} SET active = true"));
        stage.migrate(&["hand-over"]).exits(0);
    }
}

#[test]
fn a_policy_that_becomes_inactive_while_down_waits_for_the_tables_stops_it() {
    let mut stage = at_version_three();
    stage.migrate(&["down", "--to", "2"]).exits(0);
    // Not yet committed, so the first look does not see it; its lock keeps the second look waiting.
    let mut stager = stage.another_session();
    stager
        .run("BEGIN; UPDATE namespaceimmutabilitypolicy SET active = false")
        .expect("a staged policy");
    let down = stage.start(&["down", "--to", "1"]);
    stage.wait_until(
        "SELECT count(*) > 0 FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'quay-doctor migrate'",
        "true",
    );
    std::thread::sleep(Duration::from_millis(500));
    stager.run("COMMIT").expect("the policy is staged");
    Ended::from(down.wait_with_output().expect("an end"))
        .exits(3)
        .complains_of(&["a policy is inactive"]);
    assert_eq!(
        stage.value("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE NOT active"),
        "1"
    );
}

#[test]
fn no_way_down_leads_over_an_unfinished_operation() {
    let mut stage = at_version_three();
    stage.sql(OPERATION);
    let before = stage.catalog();
    for args in [
        &["down", "--to", "2"][..],
        &["down", "--to", "0", "--drop-journal", "/nonexistent/file"],
        &["hand-over"],
    ] {
        stage.migrate(args).exits(3).complains_of(&[
            "an operation is unfinished",
            "(create, applying) in acme for policy the-policy",
            "recover",
        ]);
        assert_eq!(stage.catalog(), before, "{args:?}");
    }
    stage.sql("UPDATE quay_doctor.operation SET phase = 'done', finished_at = now()");
    stage.migrate(&["hand-over"]).exits(0);
}

#[test]
fn a_journal_that_could_still_undo_something_is_not_dropped_unasked() {
    for (row, told) in [
        (TAG_CHANGE, "1 changes of tags and 0 of policies"),
        (POLICY_CHANGE, "0 changes of tags and 1 of policies"),
        (KEPT, "1 declarations keep tags immutable"),
    ] {
        let mut stage = at_version_three();
        stage.sql(row);
        stage
            .migrate(&["down", "--to", "0"])
            .exits(3)
            .complains_of(&[told, "--drop-journal"]);
        assert_eq!(
            stage
                .migrate(&["status", "--format", "json"])
                .exits(0)
                .json()["result"]["version"],
            3
        );
        // Not needed for a hand-over, which keeps the journal.
        stage.migrate(&["hand-over"]).exits(0);
    }
}

#[test]
fn a_journal_whose_changes_are_all_undone_goes_without_a_question() {
    let mut stage = at_version_three();
    for row in [TAG_CHANGE, POLICY_CHANGE, KEPT] {
        stage.sql(row);
    }
    stage.sql(
        "UPDATE quay_doctor.tag_change SET undone_at = now();
         UPDATE quay_doctor.policy_change SET undone_at = now();
         UPDATE quay_doctor.kept SET withdrawn_at = now()",
    );
    stage.migrate(&["down", "--to", "0"]).exits(0);
}

#[test]
fn drop_journal_writes_every_row_to_a_new_file_first_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.jsonl");
    let path = file.to_str().expect("UTF-8");
    let mut stage = at_version_three();
    // More rows than are held in memory at a time.
    stage.sql(&format!("{TAG_CHANGE}; {POLICY_CHANGE}; {KEPT}"));
    stage.sql(
        "INSERT INTO quay_doctor.tag_change (operation_id, tag_id, repository_id, immutable_before, immutable_after)
         SELECT 1, n, 1, false, true FROM generate_series(1, 2500) AS n",
    );
    let rows = "SELECT jsonb_agg(to_jsonb(t) ORDER BY id) FROM quay_doctor.tag_change AS t";
    let wanted: Value = serde_json::from_str(&stage.value(rows)).expect("JSON");

    let down = stage
        .migrate(&["down", "--to", "0", "--drop-journal", path])
        .exits(0);
    assert!(
        down.stdout.contains("the journal's 2503 rows are in"),
        "{}",
        down.stdout
    );
    assert!(down.stdout.contains(path), "{}", down.stdout);
    assert_eq!(stage.value("SELECT to_regnamespace('quay_doctor')"), "NULL");

    let text = std::fs::read_to_string(&file).expect("the export");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect();
    assert_eq!(lines[0]["export"], "quay-doctor journal");
    let changes: Vec<Value> = lines
        .iter()
        .filter(|line| line["table"] == "tag_change")
        .map(|line| line["row"].clone())
        .collect();
    assert_eq!(Value::Array(changes), wanted);
    let kept = lines
        .iter()
        .find(|line| line["table"] == "kept")
        .expect("the declaration");
    assert_eq!(kept["row"]["reason"], "\"quoted\"\nand broken");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file)
            .expect("metadata")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn an_export_that_cannot_be_written_drops_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "someone else's").expect("a file");
    for path in [taken.to_str().expect("UTF-8"), "/nonexistent/journal.jsonl"] {
        let mut stage = at_version_three();
        stage.sql(TAG_CHANGE);
        stage
            .migrate(&["down", "--to", "0", "--drop-journal", path])
            .exits(2)
            .complains_of(&["the journal cannot be written to", path]);
        assert_eq!(
            stage.value("SELECT count(*) FROM quay_doctor.tag_change"),
            "1"
        );
    }
    assert_eq!(
        std::fs::read_to_string(&taken).expect("the file"),
        "someone else's"
    );
}

#[test]
fn drop_journal_without_a_name_makes_one_of_its_own_in_the_current_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stage = at_version_three();
    stage.sql(TAG_CHANGE);
    let output = super::stage::program(&stage.url(), &["down", "--to", "0", "--drop-journal"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let ended = Ended::from(output).exits(0);
    let files: Vec<String> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].starts_with("quay-doctor-journal-2") && ended.stdout.contains(&files[0]));
}

#[test]
fn drop_journal_and_a_version_that_keeps_the_journal_contradict_each_other() {
    let stage = at_version_three();
    stage
        .migrate(&["down", "--to", "1", "--drop-journal", "f"])
        .exits(2)
        .complains_of(&["--drop-journal goes with `down --to 0` only"]);
}

#[test]
fn a_schema_that_holds_something_else_is_kept_and_said_so() {
    let mut stage = at_version_three();
    stage.sql("CREATE FUNCTION quay_doctor.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'");
    let down = stage.migrate(&["down", "--to", "0"]).exits(0);
    assert!(
        down.stdout.contains("schema quay_doctor is kept"),
        "{}",
        down.stdout
    );
    assert_eq!(stage.value("SELECT quay_doctor.mine()"), "1");
    stage.migrate(&["up"]).exits(0);
}

#[test]
fn down_does_not_go_up_and_knows_its_versions() {
    let stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "1"]).exits(0);
    stage
        .migrate(&["down", "--to", "2"])
        .exits(2)
        .complains_of(&["the database is at version 1", "migrate up --to 2"]);
    for args in [
        &["down", "--to", "7"][..],
        &["down", "--to=-1"],
        &["up", "--to", "4"],
        &["plan", "--to", "4"],
    ] {
        stage
            .migrate(args)
            .exits(2)
            .complains_of(&["there is no migration", "0 to 3"]);
    }
    let nothing = stage.migrate(&["down", "--to", "1"]).exits(0);
    assert!(
        nothing.stdout.contains("nothing was to be taken down"),
        "{}",
        nothing.stdout
    );
}

//! A history that someone has lost, emptied or edited: reported with a way out, never a panic.

use super::stage::Stage;

/// Every sub-verb that reads the history; `verify` is looked at apart.
const READERS: [&[&str]; 5] = [
    &["status"],
    &["plan"],
    &["up"],
    &["down", "--to", "0"],
    &["hand-over"],
];

#[test]
fn an_edited_row_is_an_error_that_says_what_the_row_should_hold() {
    for (edit, told) in [
        (
            "checksum = 'not a number'",
            "its checksum \"not a number\" is no number",
        ),
        ("checksum = '-1'", "its checksum \"-1\" is no number"),
        ("checksum = NULL", "its checksum is NULL"),
        (
            "applied_on = 'yesterday'",
            "its time \"yesterday\" is none by RFC 3339",
        ),
        ("applied_on = ''", "its time \"\" is none by RFC 3339"),
        ("applied_on = NULL", "its time is NULL"),
        ("name = NULL", "its name is NULL"),
    ] {
        let mut stage = Stage::with_policies();
        stage.migrate(&["up"]).exits(0);
        stage.sql(&format!(
            "UPDATE quay_doctor.refinery_schema_history SET {edit} WHERE version = 2"
        ));
        let before = stage.catalog();
        for args in READERS.iter().chain([&["verify"][..]].iter()) {
            stage.migrate(args).exits(3).complains_of(&[
                "the history row of version 2 cannot be read",
                told,
                "version 2, name 'active', applied_on a time by RFC 3339, checksum '",
            ]);
        }
        assert_eq!(stage.catalog(), before, "{edit}");
    }
}

#[test]
fn a_history_table_of_another_shape_is_an_error() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage.sql(
        "ALTER TABLE quay_doctor.refinery_schema_history ALTER COLUMN checksum TYPE numeric USING checksum::numeric",
    );
    for args in READERS {
        stage
            .migrate(args)
            .exits(3)
            .complains_of(&["its checksum is no text"]);
    }
    stage.sql("ALTER TABLE quay_doctor.refinery_schema_history DROP COLUMN checksum");
    for args in READERS {
        stage
            .migrate(args)
            .exits(3)
            .complains_of(&["did not carry out a statement"]);
    }
}

#[test]
fn a_migration_edited_after_it_was_applied_is_told_with_both_checksums() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    let ours =
        stage.value("SELECT checksum FROM quay_doctor.refinery_schema_history WHERE version = 1");
    stage.sql("UPDATE quay_doctor.refinery_schema_history SET checksum = '4711' WHERE version = 1");
    for args in READERS {
        stage.migrate(args).exits(3).complains_of(&[
            "migration V1 is not the one that was applied",
            "checksum 4711",
            &format!("checksum {ours}"),
        ]);
    }
}

#[test]
fn a_version_of_a_newer_program_is_left_alone() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage.sql(
        "INSERT INTO quay_doctor.refinery_schema_history VALUES (4, 'later', '2030-01-01T00:00:00Z', '1')",
    );
    for args in READERS {
        stage
            .migrate(args)
            .exits(3)
            .complains_of(&["at version 4 (later)", "newer quay-doctor"]);
    }
}

/// Runs the statements that a complaint's hint offers.
fn follow_the_hint(stage: &mut Stage, stderr: &str) {
    let flat = stderr
        .split_whitespace()
        .filter(|word| *word != "│")
        .collect::<Vec<_>>()
        .join(" ");
    let (_, statements) = flat.rsplit_once("put the row back: ").expect("a way out");
    stage.sql(statements);
}

#[test]
fn a_lost_emptied_or_torn_history_is_reported_and_the_way_out_leads_out() {
    for (loss, told) in [
        (
            "DROP TABLE quay_doctor.refinery_schema_history",
            "does not record migration V1",
        ),
        (
            "TRUNCATE quay_doctor.refinery_schema_history",
            "does not record migration V1",
        ),
        (
            "DELETE FROM quay_doctor.refinery_schema_history WHERE version > 1",
            "does not record migration V2",
        ),
        (
            "DELETE FROM quay_doctor.refinery_schema_history WHERE version = 2",
            "but not V2",
        ),
        (
            "DELETE FROM quay_doctor.refinery_schema_history WHERE version = 1",
            "but not V1",
        ),
    ] {
        let mut stage = Stage::with_policies();
        stage.migrate(&["up"]).exits(0);
        stage.sql(loss);
        let before = stage.catalog();
        for args in READERS {
            stage
                .migrate(args)
                .exits(3)
                .complains_of(&[told, "put the row back: "]);
        }
        assert_eq!(stage.catalog(), before, "{loss}");
        let complaint = stage.migrate(&["up"]).stderr;
        follow_the_hint(&mut stage, &complaint);
        stage.migrate(&["up"]).exits(0);
        stage.migrate(&["verify"]).exits(0);
        stage.migrate(&["status"]).exits(0);
    }
}

#[test]
fn verify_tells_a_lost_history_as_drift_and_still_compares_the_rest() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage.sql(
        "DROP TABLE quay_doctor.refinery_schema_history;
         ALTER TABLE quay_doctor.scan ADD COLUMN extra integer",
    );
    let verified = stage.migrate(&["verify"]).exits(1);
    for told in ["history row of V1", "column scan.extra"] {
        assert!(verified.stdout.contains(told), "{}", verified.stdout);
    }
}

#[test]
fn a_lost_history_of_v3_alone_is_what_a_cut_off_build_leaves_and_is_put_right() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage.sql("DELETE FROM quay_doctor.refinery_schema_history WHERE version = 3");
    stage.migrate(&["up"]).exits(0);
    stage.migrate(&["status"]).exits(0);
}

#[test]
fn an_empty_schema_that_a_first_run_left_when_it_was_killed_is_a_database_without_migrations() {
    let mut stage = Stage::with_policies();
    // What refinery's driver makes before the first migration.
    stage.sql(
        "CREATE SCHEMA quay_doctor;
         CREATE TABLE quay_doctor.refinery_schema_history (
             version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))",
    );
    stage.migrate(&["status"]).exits(1);
    stage.migrate(&["verify"]).exits(0);
    stage.migrate(&["plan"]).exits(1);
    stage.migrate(&["down", "--to", "0"]).exits(0);
    stage.migrate(&["up"]).exits(0);
    stage.migrate(&["verify"]).exits(0);
    stage.migrate(&["down", "--to", "0"]).exits(0);
    assert_eq!(stage.value("SELECT to_regnamespace('quay_doctor')"), "NULL");
}

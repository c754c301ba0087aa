//! Migration V3: concurrent builds, and what a build that is cut short leaves behind.

use std::time::Duration;

use super::stage::{Ended, Stage};

const REPOSITORY_INDEX: &str = "idx_repository_immutability_policy_active";

fn validity(index: &str) -> String {
    format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')")
}

/// A transaction that a concurrent build of the repository table's index has to wait for.
fn blocker(stage: &Stage) -> quay_doctor::pg::WriteSession {
    let mut session = stage.another_session();
    session
        .run("BEGIN; UPDATE repositoryimmutabilitypolicy SET policy = policy WHERE false")
        .expect("a writer");
    session
}

#[test]
fn a_migrator_killed_in_the_middle_of_a_build_leaves_an_invalid_index_that_up_builds_again() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "2"]).exits(0);
    let mut blocker = blocker(&stage);
    let mut migrator = stage.start(&["up"]);
    stage.wait_until(&validity(REPOSITORY_INDEX), "false");
    // SIGKILL: no handler of ours runs.
    migrator.kill().expect("kill");
    migrator.wait().expect("dead");
    // The server notices within two seconds that its client is gone and ends the build; one older
    // than 14 does not, and is told.
    if stage.value("SELECT current_setting('server_version_num')::int < 140000") == "true" {
        stage.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'quay-doctor migrate'",
        );
    }
    stage.wait_until(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'quay-doctor migrate'",
        "0",
    );
    blocker.run("ROLLBACK").expect("the blocker's end");
    assert_eq!(stage.value(&validity(REPOSITORY_INDEX)), "false");
    assert_eq!(
        stage.value("SELECT max(version) FROM quay_doctor.refinery_schema_history"),
        "2"
    );
    stage.migrate(&["status"]).exits(1);

    let healed = stage.migrate(&["up"]).exits(0);
    assert!(healed.stdout.contains("was INVALID"), "{}", healed.stdout);
    assert_eq!(stage.value(&validity(REPOSITORY_INDEX)), "true");
    stage.migrate(&["verify"]).exits(0);
}

#[test]
fn a_build_that_outruns_its_time_ends_in_an_error_and_the_next_run_finishes() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "2"]).exits(0);
    let mut blocker = blocker(&stage);
    stage
        .migrate(&["up", "--index-timeout", "500ms"])
        .exits(3)
        .complains_of(&[
            REPOSITORY_INDEX,
            "could not be built",
            "statement timeout",
            "--index-timeout",
        ]);
    assert_eq!(
        stage.value("SELECT max(version) FROM quay_doctor.refinery_schema_history"),
        "2"
    );
    blocker.run("ROLLBACK").expect("the blocker's end");
    stage.migrate(&["up"]).exits(0);
    stage.migrate(&["verify"]).exits(0);
}

#[test]
fn a_build_waits_for_a_long_transaction_for_longer_than_any_lock_timeout_of_ours() {
    let mut stage = Stage::with_policies();
    // A role's own lock_timeout must not reach the build either.
    let database = stage.database.name().to_owned();
    stage.sql(&format!(
        "ALTER DATABASE {database} SET lock_timeout = '300ms'"
    ));
    stage.migrate(&["up", "--to", "2"]).exits(0);
    let mut blocker = blocker(&stage);
    std::thread::sleep(Duration::from_millis(1_100));
    let migrator = stage.start(&["up"]);
    stage.wait_until(&validity(REPOSITORY_INDEX), "false");
    std::thread::sleep(Duration::from_secs(6));
    blocker.run("ROLLBACK").expect("the blocker's end");
    Ended::from(migrator.wait_with_output().expect("an end"))
        .exits(0)
        .complains_of(&[
            REPOSITORY_INDEX,
            "open transactions that it may wait for: process",
        ]);
    stage.migrate(&["verify"]).exits(0);
}

#[test]
fn an_invalid_index_is_never_called_good_with_or_without_its_history_row() {
    for target in ["2", "3"] {
        let mut stage = Stage::with_policies();
        stage.migrate(&["up", "--to", target]).exits(0);
        stage.sql(&format!(
            "CREATE INDEX IF NOT EXISTS {REPOSITORY_INDEX} ON repositoryimmutabilitypolicy (repository_id, active);
             UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{REPOSITORY_INDEX}'::regclass"
        ));
        let planned = stage.migrate(&["plan"]).exits(1);
        assert!(
            planned
                .stdout
                .contains(&format!("DROP INDEX CONCURRENTLY {REPOSITORY_INDEX};")),
            "{}",
            planned.stdout
        );
        let before = stage.value(&format!("SELECT '{REPOSITORY_INDEX}'::regclass::oid"));
        let ended = stage.migrate(&["up"]).exits(0);
        assert!(
            ended.stdout.contains("dropped and built again"),
            "{}",
            ended.stdout
        );
        let after = stage.value(&format!("SELECT '{REPOSITORY_INDEX}'::regclass::oid"));
        assert_ne!(before, after, "a new index");
        stage.migrate(&["verify"]).exits(0);
    }
}

#[test]
fn an_index_of_our_name_with_another_definition_is_drift_and_refused() {
    for (made, found) in [
        (
            "CREATE INDEX {} ON repositoryimmutabilitypolicy (repository_id)",
            "btree (repository_id)",
        ),
        (
            "CREATE INDEX {} ON repositoryimmutabilitypolicy (namespace_id, uuid)",
            "(namespace_id, uuid)",
        ),
        (
            "CREATE UNIQUE INDEX {} ON repositoryimmutabilitypolicy (repository_id, uuid)",
            "UNIQUE",
        ),
        ("CREATE INDEX {} ON tag (repository_id)", "ON tag"),
        (
            "CREATE VIEW {} AS SELECT 1",
            "not an index, but a relation of kind v",
        ),
    ] {
        let mut stage = Stage::with_policies();
        stage.sql(&made.replace("{}", REPOSITORY_INDEX));
        let before = stage.catalog();
        stage.migrate(&["up"]).exits(3).complains_of(&[
            REPOSITORY_INDEX,
            "defined otherwise",
            found,
            "(repository_id, active)",
        ]);
        assert_eq!(stage.catalog(), before, "{made}");
    }
}

#[test]
fn a_build_without_its_comment_and_row_is_finished_and_goes_down_again_with_its_column() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "2"]).exits(0);
    stage.sql(&format!(
        "CREATE INDEX {REPOSITORY_INDEX} ON repositoryimmutabilitypolicy (repository_id, active)"
    ));
    stage.migrate(&["up"]).exits(0);
    assert_ne!(
        stage.value(&format!(
            "SELECT obj_description('{REPOSITORY_INDEX}'::regclass, 'pg_class')"
        )),
        "NULL"
    );
    stage.migrate(&["down", "--to", "2"]).exits(0);
    assert_eq!(
        stage.value(&format!("SELECT to_regclass('{REPOSITORY_INDEX}')")),
        "NULL"
    );
}

#[test]
fn an_index_left_without_a_history_row_does_not_survive_going_down() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "2"]).exits(0);
    stage.sql(&format!(
        "CREATE INDEX {REPOSITORY_INDEX} ON repositoryimmutabilitypolicy (repository_id, active)"
    ));
    stage.migrate(&["down", "--to", "2"]).exits(0);
    assert_eq!(
        stage.value(&format!("SELECT to_regclass('{REPOSITORY_INDEX}')")),
        "NULL"
    );
}

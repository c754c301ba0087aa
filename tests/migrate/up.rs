//! Going up: what the versions make, all or nothing, and one migrator at a time.

use std::time::{Duration, Instant};

use super::stage::{Ended, Stage};

#[test]
fn up_brings_a_fresh_database_to_the_newest_version_and_a_second_time_finds_nothing_due() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["status"]).exits(1);
    let first = stage.migrate(&["up"]).exits(0);
    assert!(
        first.stdout.contains("now at version 3, as promised"),
        "{}",
        first.stdout
    );
    stage.migrate(&["status"]).exits(0);
    let before = stage.catalog();
    let second = stage.migrate(&["up"]).exits(0);
    assert!(
        second.stdout.contains("nothing was due"),
        "{}",
        second.stdout
    );
    assert_eq!(stage.catalog(), before);
}

#[test]
fn old_policies_are_active_and_of_unknown_date_and_new_ones_are_dated_in_utc() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    for table in [
        "repositoryimmutabilitypolicy",
        "namespaceimmutabilitypolicy",
    ] {
        let old = stage.value(&format!(
            "SELECT array_agg((active, created_date)) FROM {table}"
        ));
        assert_eq!(old, r#"{"(t,)"}"#, "{table}");
    }
    // As a Quay that knows neither column goes on inserting, in whatever time zone.
    stage.sql(
        "SET timezone = 'Asia/Tokyo';
         INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy) VALUES ('new', 1, '{}')",
    );
    let new = stage.value(
        "SELECT active AND created_date BETWEEN (now() AT TIME ZONE 'UTC') - interval '1 minute'
                                            AND (now() AT TIME ZONE 'UTC') + interval '1 minute'
         FROM namespaceimmutabilitypolicy WHERE uuid = 'new'",
    );
    assert_eq!(new, "true");
}

#[test]
fn up_to_one_touches_nothing_of_quays() {
    let mut stage = Stage::with_policies();
    let quays = |stage: &mut Stage| {
        let catalog = stage.catalog();
        let lines = catalog.lines().filter(|line| !line.contains("quay_doctor"));
        let lines = lines.filter(|line| !line.starts_with('('));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = quays(&mut stage);
    stage.migrate(&["up", "--to", "1"]).exits(0);
    assert_eq!(quays(&mut stage), before);
    stage.migrate(&["status"]).exits(1);
}

/// Makes the server refuse a command that mentions an object.
fn forbid(stage: &mut Stage, tag: &str, object: &str) {
    stage.sql(&format!(
        "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%{object}%') THEN
                 RAISE EXCEPTION 'forbidden by the test';
             END IF;
         END $$;
         CREATE EVENT TRIGGER forbid ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION forbid()"
    ));
}

fn allow(stage: &mut Stage) {
    stage.sql("DROP EVENT TRIGGER forbid; DROP FUNCTION forbid()");
}

#[test]
fn a_first_migration_that_fails_leaves_nothing_behind_not_even_the_history_table() {
    let mut stage = Stage::with_policies();
    let before = stage.catalog();
    forbid(&mut stage, "CREATE TABLE", "quay_doctor.scan");
    stage
        .migrate(&["up"])
        .exits(3)
        .complains_of(&["did not carry out a statement"]);
    allow(&mut stage);
    assert_eq!(stage.catalog(), before);
    stage.migrate(&["up"]).exits(0);
}

#[test]
fn a_migration_that_fails_leaves_neither_its_columns_nor_its_history_row() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "1"]).exits(0);
    let before = stage.catalog();
    // The fourth of its four columns.
    forbid(
        &mut stage,
        "COMMENT",
        "namespaceimmutabilitypolicy.created_date",
    );
    let failed = stage.migrate(&["up"]).exits(3);
    assert!(!failed.stdout.contains("V2"), "{}", failed.stdout);
    allow(&mut stage);
    let without_dropped = |catalog: String| {
        let kept = catalog.lines().filter(|line| !line.contains("pg.dropped"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_dropped(stage.catalog()), without_dropped(before));
}

#[test]
fn what_was_done_before_a_fault_is_told() {
    let mut stage = Stage::with_policies();
    forbid(
        &mut stage,
        "CREATE INDEX",
        "namespace_immutability_policy_active",
    );
    let failed = stage.migrate(&["up", "--format", "json"]).exits(3);
    let json = failed.json();
    let versions: Vec<_> = json["result"]["applied"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|applied| applied["version"].clone())
        .collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(json["result"]["to"], 2);
    assert!(
        json["error"]["message"]
            .as_str()
            .expect("a text")
            .contains("could not be built")
    );
    allow(&mut stage);
    stage.migrate(&["up"]).exits(0);
    stage.migrate(&["verify"]).exits(0);
}

#[test]
fn three_migrators_at_once_all_end_well_and_each_migration_is_applied_once() {
    for _round in 0..3 {
        let mut stage = Stage::with_policies();
        let migrators: Vec<_> = (0..3).map(|_| stage.start(&["up"])).collect();
        for migrator in migrators {
            Ended::from(migrator.wait_with_output().expect("an end")).exits(0);
        }
        let recorded = stage.value(
            "SELECT string_agg(version::text, ',' ORDER BY version) FROM quay_doctor.refinery_schema_history",
        );
        assert_eq!(recorded, "1,2,3");
        stage.migrate(&["verify"]).exits(0);
    }
}

/// The keys of the one-migrator lock, told apart from Quay's by their being two.
const LOCK: &str = "SELECT pg_advisory_lock(('x' || encode('Qdoc', 'hex'))::bit(32)::int, 1)";

#[test]
fn a_second_migrator_waits_for_as_long_as_it_was_told_and_names_the_holder() {
    let mut stage = Stage::with_policies();
    stage.sql("SET application_name = 'the other one'");
    let pid = stage.value("SELECT pg_backend_pid()");
    stage.sql(LOCK);
    let began = Instant::now();
    stage
        .migrate(&["up", "--wait", "700ms"])
        .exits(3)
        .complains_of(&[
            "another migrator is at work",
            &format!("process {pid} (the other one) since 2"),
        ]);
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(stage.value("SELECT to_regnamespace('quay_doctor')"), "NULL");
}

#[test]
fn a_migrator_that_waits_holds_no_transaction_and_goes_on_when_the_lock_is_free() {
    let mut stage = Stage::with_policies();
    stage.sql(LOCK);
    let waiting = stage.start(&["up"]);
    let sessions = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'quay-doctor migrate'";
    stage.wait_until(&format!("SELECT count(*) {sessions}"), "1");
    for _look in 0..50 {
        let open = stage.value(&format!(
            "SELECT count(*) {sessions} AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Lock')"
        ));
        assert_eq!(open, "0");
        std::thread::sleep(Duration::from_millis(10));
    }
    stage.sql("SELECT pg_advisory_unlock_all()");
    let ended = Ended::from(waiting.wait_with_output().expect("an end")).exits(0);
    assert!(
        ended
            .stderr
            .contains("another migrator is at work, waiting"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_wait_without_measure_is_no_panic() {
    let stage = Stage::with_policies();
    let long = "500000000years";
    stage
        .migrate(&[
            "up",
            "--wait",
            long,
            "--lock-wait",
            long,
            "--index-timeout",
            long,
        ])
        .exits(0);
}

#[test]
fn quiet_means_that_nothing_but_complaints_comes_to_stderr() {
    let stage = Stage::with_policies();
    let ended = stage.migrate(&["up", "--quiet"]).exits(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_migrators_session_is_bounded_in_time() {
    let mut stage = Stage::with_policies();
    // The settings show only inside the session itself: a trigger of the test looks at them.
    stage.sql(
        "CREATE TABLE seen (name text, value text);
         CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO seen SELECT tg_tag || ' ' || name, setting FROM pg_settings
             WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout');
         END $$;
         CREATE EVENT TRIGGER look ON ddl_command_start EXECUTE FUNCTION look()",
    );
    stage.migrate(&["up", "--index-timeout", "77s"]).exits(0);
    stage.sql("DROP EVENT TRIGGER look; DROP FUNCTION look()");
    let unbounded = stage.value(
        "SELECT string_agg(DISTINCT name, ', ') FROM seen WHERE value = '0' AND name NOT LIKE '%lock_timeout'",
    );
    assert_eq!(unbounded, "NULL");
    let of = |stage: &mut Stage, name: &str| {
        stage.value(&format!(
            "SELECT string_agg(DISTINCT value, ', ') FROM seen WHERE name = '{name}'"
        ))
    };
    assert_eq!(
        of(&mut stage, "CREATE INDEX statement_timeout"),
        "30000, 77000"
    );
    assert_eq!(of(&mut stage, "ALTER TABLE statement_timeout"), "5000");
    assert_eq!(
        of(
            &mut stage,
            "ALTER TABLE idle_in_transaction_session_timeout"
        ),
        "5000"
    );
    let at_the_build = stage.value(
        "SELECT count(*) FROM seen WHERE name = 'CREATE INDEX lock_timeout' AND value = '0'",
    );
    assert_eq!(at_the_build, "2");
}

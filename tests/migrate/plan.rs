//! `plan` prints what `up` does, and changes nothing.

use super::stage::Stage;

/// The statements of the JSON plan.
fn statements(stage: &Stage) -> Vec<String> {
    let plan = stage.migrate(&["plan", "--format", "json"]).exits(1).json();
    plan["result"]["migrations"]
        .as_array()
        .expect("migrations")
        .iter()
        .flat_map(|migration| migration["statements"].as_array().expect("statements"))
        .map(|statement| statement.as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn plan_status_and_verify_change_nothing_at_any_version() {
    for version in ["0", "1", "2", "3"] {
        let mut stage = Stage::with_policies();
        stage.migrate(&["up", "--to", version]).exits(0);
        let before = stage.catalog();
        let pending = i32::from(version != "3");
        stage.migrate(&["plan"]).exits(pending);
        stage.migrate(&["status"]).exits(pending);
        stage.migrate(&["verify"]).exits(0);
        assert_eq!(stage.catalog(), before, "at version {version}");
    }
}

#[test]
fn running_the_planned_statements_by_hand_is_going_up() {
    let mut by_hand = Stage::with_policies();
    for statement in statements(&by_hand) {
        by_hand.sql(&statement);
    }
    let finished = by_hand.migrate(&["up"]).exits(0);
    assert!(
        finished.stdout.contains("nothing was due"),
        "{}",
        finished.stdout
    );
    by_hand.migrate(&["verify"]).exits(0);

    let mut by_program = Stage::with_policies();
    by_program.migrate(&["up"]).exits(0);
    let without_times = |catalog: String| -> Vec<String> {
        let lines = catalog.lines().filter(|line| !line.starts_with('('));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        without_times(by_hand.catalog()),
        without_times(by_program.catalog())
    );
}

#[test]
fn the_plan_leaves_out_what_would_be_adopted_and_says_so() {
    let mut stage = Stage::with_policies();
    stage.sql(
        "ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN active boolean NOT NULL DEFAULT false",
    );
    let plan = stage.migrate(&["plan"]).exits(1).stdout;
    assert!(
        plan.contains("-- column repositoryimmutabilitypolicy.active is there already"),
        "{plan}"
    );
    assert!(
        !plan.contains("ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN active"),
        "{plan}"
    );
    assert!(
        plan.contains("ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN active"),
        "{plan}"
    );
}

#[test]
fn the_plan_refuses_what_up_would_refuse() {
    let mut stage = Stage::with_policies();
    stage.sql("ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN active integer");
    stage
        .migrate(&["plan"])
        .exits(3)
        .complains_of(&["its type is integer"]);
}

#[test]
fn a_plan_up_to_a_version_stops_there() {
    let stage = Stage::with_policies();
    let plan = stage.migrate(&["plan", "--to", "1"]).exits(1).stdout;
    assert!(
        plan.contains("-- V1 journal") && !plan.contains("-- V2"),
        "{plan}"
    );
}

#[test]
fn the_human_plan_holds_the_same_statements_as_the_json_one() {
    let stage = Stage::with_policies();
    let plan = stage.migrate(&["plan"]).exits(1).stdout;
    for statement in statements(&stage) {
        // The history rows carry the time of the planning.
        if !statement.starts_with("INSERT INTO quay_doctor.refinery_schema_history") {
            assert!(plan.contains(&statement), "{statement}");
        }
    }
}

#[test]
fn every_document_has_the_head_that_the_documentation_promises() {
    let stage = Stage::with_policies();
    for (args, command, keys) in [
        (
            &["status"][..],
            "migrate status",
            &[
                "server_version",
                "server",
                "version",
                "latest",
                "migrations",
                "schema",
                "journal",
                "differences",
                "remarks",
            ][..],
        ),
        (
            &["plan"],
            "migrate plan",
            &["from", "to", "migrations", "warnings"],
        ),
        (
            &["up"],
            "migrate up",
            &["from", "to", "applied", "mended", "warnings"],
        ),
        (
            &["verify"],
            "migrate verify",
            &["version", "latest", "differences"],
        ),
        (
            &["hand-over"],
            "migrate hand-over",
            &["from", "to", "taken_down", "remarks", "exported"],
        ),
        (
            &["down", "--to", "0"],
            "migrate down",
            &["from", "to", "taken_down", "remarks", "exported"],
        ),
    ] {
        let json = stage
            .migrate(&[args, &["--format", "json"]].concat())
            .json();
        assert_eq!(json["tool"], "quay-doctor");
        assert_eq!(json["format"], 1);
        assert_eq!(json["command"], command);
        assert!(json["error"].is_null());
        let found: Vec<&str> = json["result"]
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(found, keys, "{command}");
        let page = include_str!("../../docs/migrations.md");
        for key in keys {
            assert!(
                page.contains(&format!("`{key}`")),
                "docs/migrations.md does not tell of {key}"
            );
        }
    }
}

#[test]
fn a_look_that_fails_is_a_document_too() {
    let stage = Stage::empty();
    for verb in ["status", "plan", "verify"] {
        let ended = stage.migrate(&[verb, "--format", "json"]).exits(2);
        let json = ended.json();
        assert!(json["result"].is_null());
        let message = json["error"]["message"].as_str().expect("a message");
        assert!(message.contains("not Quay's database"), "{message}");
        assert!(json["error"]["help"].as_str().is_some());
    }
}

#[test]
fn status_shows_the_journals_size() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage.sql(
        "INSERT INTO quay_doctor.tag_change (operation_id, tag_id, repository_id, immutable_before, immutable_after)
         SELECT 1, n, 1, false, true FROM generate_series(1, 123) AS n",
    );
    let journal = stage
        .migrate(&["status", "--format", "json"])
        .exits(0)
        .json()["result"]["journal"]
        .clone();
    let table = journal["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .find(|t| t["table"] == "tag_change")
        .expect("it");
    assert_eq!(table["rows"], 123);
    let bytes = stage.value(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
         WHERE relnamespace = 'quay_doctor'::regnamespace AND relkind = 'r' AND relname <> 'refinery_schema_history'",
    );
    assert_eq!(journal["bytes"].to_string(), bytes);
}

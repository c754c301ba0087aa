//! A lost policy that is created again: an operation of its own, and one with the run.

use super::journey::Journey;

/// Quay's pass was cut off after v1.0 and v1.1; the policy is gone.
const CUT_OFF: &str = r#"
    seed = 20
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 3
    [[namespace.repository.tags]]
    name = "v3.{n}"
    count = 2
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "latest"
"#;

const RECREATE: [&str; 4] = [
    "--remedy",
    "orphaned-immutable-tag=recreate",
    "--pattern",
    "v.*",
];

fn journey(world: &str) -> Journey {
    Journey::through(world, "", "orphaned-immutable-tag").with(&RECREATE)
}

#[test]
fn a_lost_policy_is_created_again_and_taken_back_with_the_run() {
    let journey = journey(CUT_OFF);
    let (plan, run) = journey.there_and_back();
    insta::assert_snapshot!(plan);
    assert_eq!(
        (&run["applied"], &run["expirations_cleared"]),
        (&1.into(), &2.into())
    );
    assert_eq!(run["operations"][0]["tags_changed"], 5);
    let linked = format!(
        "SELECT count(*) FROM quay_doctor.operation
         WHERE kind = 'create' AND phase = 'rolled_back' AND parent_id = {}",
        run["run"]
    );
    assert_eq!(journey.stage.count(&linked), 1);
}

#[test]
fn it_is_the_repositorys_where_one_repository_has_orphans_and_the_namespaces_where_several_have() {
    journey(CUT_OFF).apply();
    let world = format!(
        "{CUT_OFF}\n[[namespace.repository]]\nname = \"tool\"\n\
         [[namespace.repository.tags]]\nname = \"v5\"\nimmutable = true\n"
    );
    for (world, table) in [
        (CUT_OFF, "repositoryimmutabilitypolicy"),
        (&world, "namespaceimmutabilitypolicy"),
    ] {
        let journey = journey(world);
        journey.apply();
        let rows = format!("SELECT count(*) FROM {table} WHERE active");
        assert_eq!(journey.stage.count(&rows), 1, "{table}");
    }
}

#[test]
fn what_the_pattern_does_not_explain_stays_a_question() {
    let world = format!(
        "{CUT_OFF}\n[[namespace.repository.tags]]\nname = \"release-{{n}}\"\ncount = 2\nimmutable = true\n"
    );
    let journey = journey(&world);
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!((&run["applied"], &run["undecided"]), (&1.into(), &2.into()));
    assert_eq!(journey.violations(), 2);
}

#[test]
fn what_was_pushed_under_the_policy_is_released_with_it_where_quay_says_that_it_was_the_policy() {
    let journey = journey(CUT_OFF);
    let run = journey.apply();
    for (name, entry) in [("v8", true), ("v9", false)] {
        journey.stage.sql(&format!(
            "INSERT INTO tag (name, repository_id, manifest_id, lifetime_start_ms, tag_kind_id,
                 immutable, hidden, reversion)
             SELECT '{name}', repository_id, manifest_id, lifetime_start_ms, tag_kind_id, true,
                 false, false
             FROM tag ORDER BY id LIMIT 1"
        ));
        if entry {
            journey.stage.sql(&format!(
                r#"INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
                   SELECT k.id, u.id, now(), format(
                       '{{"tag": "%s", "namespace": "acme", "immutable": true, "repo": null}}',
                       '{name}')
                   FROM logentrykind k, "user" u
                   WHERE k.name = 'tag_made_immutable_by_policy' AND u.username = 'acme'"#
            ));
        }
    }
    let id = run["run"].to_string();
    let undone = journey
        .stage
        .run(&["fix", "undo", &id, "--audit", "none", "--format", "json"]);
    let undone = undone.expect_status(1).json();
    let refusals = undone["refusals"].to_string();
    assert!(
        refusals.contains("v9") && !refusals.contains("v8"),
        "{undone:#}"
    );
    let immutable = "SELECT count(*) FROM tag WHERE immutable AND name IN ('v8', 'v9')";
    assert_eq!(journey.stage.count(immutable), 1);
}

#[test]
fn a_pattern_that_quay_would_not_take_stops_before_anything_is_looked_at() {
    let journey = Journey::through(CUT_OFF, "", "orphaned-immutable-tag").with(&[
        "--remedy",
        "orphaned-immutable-tag=recreate",
        "--pattern",
        "v(",
    ]);
    let ended = journey.fix(&[]).expect_status(2);
    assert!(ended.stderr.contains("not valid"), "{}", ended.stderr);
    let alone = Journey::through(CUT_OFF, "", "orphaned-immutable-tag").with(&["--pattern", "v"]);
    alone.fix(&[]).expect_status(2);
}

#[test]
fn a_scope_that_takes_no_policy_is_named_and_nothing_is_done_there() {
    let journey = journey(CUT_OFF);
    journey
        .stage
        .sql(r#"UPDATE "user" SET enabled = false WHERE username = 'acme'"#);
    let plan = journey.fix(&["--format", "json"]).json();
    assert_eq!(plan["corrections"].as_array().map(Vec::len), Some(0));
    assert_eq!(plan["totals"]["undecided"], 2);
    assert!(
        plan["notes"][0]
            .as_str()
            .is_some_and(|note| note.contains("disabled")),
        "{plan:#}"
    );
}

#[test]
fn at_the_bound_of_its_wait_an_operation_of_the_run_is_left_and_the_sessions_named() {
    let journey = journey(CUT_OFF);
    let before = journey.dump();
    let mut reader = journey.stage.session();
    reader
        .run("SET application_name = 'the slow pusher'; BEGIN; SELECT FROM namespaceimmutabilitypolicy")
        .expect("a long transaction");
    let apply = ["--apply", "--settle-timeout", "300ms", "--format", "json"];
    let run = journey.fix(&apply).expect_status(3).json();
    let left = run["operations"][0].to_string();
    assert!(left.contains("the slow pusher"), "{left}");
    let id = run["run"].to_string();
    let undo = [
        "fix",
        "undo",
        &id,
        "--audit",
        "none",
        "--settle-timeout",
        "300ms",
    ];
    let refused = journey.stage.run(&undo).expect_status(1);
    assert!(
        refused.stdout.contains("the slow pusher"),
        "{}",
        refused.stdout
    );
    reader.run("COMMIT").expect("the end");
    journey.undo(&run);
    assert_eq!(journey.dump(), before);
}

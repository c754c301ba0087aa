//! The remedies of rules about policies that change a row alone.

use super::journey::Journey;
use crate::line::stage::Stage;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// Two policies of one namespace with the same pattern, and protected tags under them.
fn twins(second: &str) -> String {
    format!(
        r#"
        seed = 11
        [[namespace]]
        name = "acme"
        [[namespace.policy]]
        pattern = "v.*"
        uuid = "{A}"
        [[namespace.policy]]
        pattern = "v.*"
        uuid = "bbbbbbbb-0000-4000-8000-000000000002"
        {second}
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "v1.{{n}}"
        count = 2
        immutable = true
        "#
    )
}

#[test]
fn two_policies_that_decide_alike_are_merged_into_the_elder_and_parted_again() {
    let journey = Journey::through(&twins(""), "", "duplicate-policy");
    let (plan, run) = journey.there_and_back();
    assert_eq!(run["applied"], 1);
    insta::assert_snapshot!(plan);
    journey.apply();
    let left = format!("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE uuid = '{A}'");
    assert_eq!(journey.stage.count(&left), 1);
}

#[test]
fn of_twins_the_active_one_stays_whichever_is_older() {
    let sql = format!("UPDATE namespaceimmutabilitypolicy SET active = false WHERE uuid = '{A}'");
    let journey = Journey::through(&twins(""), &sql, "duplicate-policy");
    journey.there_and_back();
    journey.apply();
    let left = format!("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE uuid <> '{A}'");
    assert_eq!(journey.stage.count(&left), 1);
}

#[test]
fn twins_that_decide_differently_are_a_question_and_merging_them_is_refused() {
    let world = twins("matches = false");
    let journey = Journey::through(&world, "", "duplicate-policy");
    let before = journey.dump();
    insta::assert_snapshot!(journey.plan());
    let journey = journey.with(&["--remedy", "duplicate-policy=merge"]);
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!((&run["applied"], &run["undecided"]), (&0.into(), &1.into()));
    assert_eq!(journey.dump(), before);
}

#[test]
fn twins_of_which_an_operation_owns_one_are_left_to_recover() {
    let sql = format!(
        "INSERT INTO quay_doctor.operation
             (kind, phase, policy_uuid, fence, worker, actor, tool_version, heartbeat_at)
         VALUES ('delete', 'releasing', '{A}', gen_random_uuid(), 'gone', 'ann', '0',
             now() - interval '1 hour')"
    );
    let journey = Journey::through(&twins(""), &sql, "duplicate-policy");
    let before = journey.dump();
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(
        (&run["applied"], &run["left_to_recover"]),
        (&0.into(), &1.into())
    );
    assert_eq!(journey.dump(), before);
}

#[test]
fn a_twin_is_not_put_back_once_nothing_decides_alike() {
    let journey = Journey::through(&twins(""), "", "duplicate-policy");
    let run = journey.apply();
    journey.stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    let id = run["run"].to_string();
    let undone = journey.stage.run(&["fix", "undo", &id, "--format", "json"]);
    let undone = undone.expect_status(1).json();
    assert_eq!(
        (&undone["undone"], &undone["refused"]),
        (&0.into(), &1.into())
    );
    let why = undone["refusals"][0]["why"].as_str().expect("a reason");
    assert!(
        why.contains("no other active policy decides alike"),
        "{why}"
    );
}

const MISPLACED: &str = r#"
    seed = 12
    [[namespace]]
    name = "other"
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    namespace = "other"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
"#;

#[test]
fn a_misplaced_policy_gets_its_repositorys_namespace_and_loses_it_again() {
    let journey = Journey::through(MISPLACED, "", "misplaced-policy");
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_policy_that_was_moved_since_is_not_moved_back() {
    let journey = Journey::through(MISPLACED, "", "misplaced-policy");
    let run = journey.apply();
    journey
        .stage
        .sql("UPDATE repositoryimmutabilitypolicy SET uuid = gen_random_uuid()::text");
    let id = run["run"].to_string();
    let undone = journey.stage.run(&["fix", "undo", &id, "--format", "json"]);
    assert_eq!(undone.expect_status(1).json()["refused"], 1);
}

const STALE: &str = r#"
    seed = 13
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "latest"
"#;
const INACTIVE: &str = "UPDATE namespaceimmutabilitypolicy SET active = false";

#[test]
fn a_stale_inactive_policy_is_deleted_and_comes_back() {
    let journey = Journey::through(STALE, INACTIVE, "stale-inactive-policy");
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_stale_policy_that_may_have_left_orphans_is_a_question_until_they_are_decided() {
    let world = format!(
        "{STALE}\n[[namespace.repository.tags]]\nname = \"v1.{{n}}\"\ncount = 2\nimmutable = true\n"
    );
    let journey = Journey::through(&world, INACTIVE, "stale-inactive-policy");
    insta::assert_snapshot!(journey.plan());
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!((&run["applied"], &run["undecided"]), (&0.into(), &3.into()));
    let journey = journey.with(&["--remedy", "orphaned-immutable-tag=release"]);
    assert_eq!(journey.there_and_back().1["applied"], 3);
}

#[test]
fn a_redundant_policy_goes_when_that_is_asked_for_and_comes_back() {
    let world = r#"
        seed = 14
        [[namespace]]
        name = "acme"
        [[namespace.policy]]
        pattern = "v.*"
        uuid = "aaaaaaaa-0000-4000-8000-000000000001"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.policy]]
        pattern = "v.*"
        uuid = "bbbbbbbb-0000-4000-8000-000000000002"
        [[namespace.repository.tags]]
        name = "v1.{n}"
        count = 2
        immutable = true
    "#;
    let journey = Journey::through(world, "", "redundant-policy");
    journey.fix(&[]).expect_status(0);
    let journey = journey.with(&["--remedy", "redundant-policy=delete"]);
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_plan_that_was_overtaken_changes_nothing() {
    // The twin became the other way round between plan and apply: a run that waits for the row.
    let journey = Journey::through(&twins(""), "", "duplicate-policy");
    let mut session = journey.stage.session();
    let mut tx = session.begin().expect("a transaction");
    tx.run(&format!(
        "UPDATE namespaceimmutabilitypolicy
         SET policy = '{{\"tag_pattern\": \"v.*\", \"tag_pattern_matches\": false}}'
         WHERE uuid = '{A}'"
    ))
    .expect("an update");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| journey.fix(&["--apply", "--format", "json"]));
        // It waits for the row that is being changed; where it came later still, it sees the change.
        std::thread::sleep(std::time::Duration::from_millis(700));
        tx.commit().expect("committed");
        let run = run.join().expect("a run").json();
        assert_eq!(run["applied"], 0, "{run:#}");
    });
    let rows = "SELECT count(*) FROM namespaceimmutabilitypolicy";
    assert_eq!(journey.stage.count(rows), 2);
}

#[test]
fn of_twins_the_last_one_stays_where_the_other_goes_for_a_reason_of_its_own() {
    // Both are inactive; the second is young, and not stale.
    for (young, left) in [("1 second", 1), ("2 days", 0)] {
        let stage = Stage::migrated(&twins(""));
        stage.sql(&format!(
            "UPDATE namespaceimmutabilitypolicy SET active = false, created_date
                 = timezone('utc', now()) - CASE WHEN uuid = '{A}' THEN '2 days' ELSE '{young}' END::interval;
             UPDATE tag SET immutable = false"
        ));
        let ended = stage.run(&[
            "fix",
            "--apply",
            "--remedy",
            "duplicate-policy=delete",
            "--immutable-tags",
            "true",
            "--format",
            "json",
        ]);
        let run = ended.json();
        assert_eq!(run["skipped"], 0, "{run:#}");
        let there = stage.count("SELECT count(*) FROM namespaceimmutabilitypolicy");
        assert_eq!(there, left, "{run:#}");
    }
}

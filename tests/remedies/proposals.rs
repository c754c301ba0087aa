//! Which pattern made the orphans: proposed from them, and good enough to finish the job.

use super::journey::Journey;

/// Two repositories under a policy of the namespace that is gone: Quay's pass came past `latest`
/// and the nightly builds, and was cut off in the second.
const NAMESPACE: &str = r#"
    seed = 30
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "latest"
    [[namespace.repository.tags]]
    name = "nightly-{n}"
    count = 20
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 30
    immutable = true
    [[namespace.repository]]
    name = "tool"
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 10
    immutable = true
    [[namespace.repository.tags]]
    name = "v3.{n}"
    count = 10
    [[namespace.repository.tags]]
    name = "pr-{n}"
    count = 5
"#;

#[test]
fn the_pattern_that_is_proposed_creates_the_policy_again_and_finishes_its_job() {
    let journey = Journey::through(NAMESPACE, "", "orphaned-immutable-tag");
    insta::assert_snapshot!(journey.plan());
    let plan = journey.fix(&["--format", "json"]).json();
    crate::line::output::valid("plan", &plan);
    let proposal = &plan["proposals"][0];
    assert_eq!(plan["proposals"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&proposal["namespace"], &proposal["repository"]),
        (&"acme".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&proposal["orphans"], &proposal["passed_over"]),
        (&40.into(), &21.into())
    );
    let pattern = proposal["policies"][0]["pattern"]
        .as_str()
        .expect("a pattern");
    let before = journey.dump();
    let args = [
        "--remedy",
        "orphaned-immutable-tag=recreate",
        "--pattern",
        pattern,
        "--apply",
        "--format",
        "json",
    ];
    let run = journey.fix(&args).expect_status(0).json();
    assert_eq!(run["operations"][0]["tags_changed"], 10);
    journey.check(&[]).expect_status(0);
    let table = "SELECT count(*) FROM namespaceimmutabilitypolicy WHERE active";
    assert_eq!(journey.stage.count(table), 1);
    journey.undo(&run);
    assert_eq!(journey.dump(), before);
}

#[test]
fn repositories_whose_orphans_no_one_policy_explains_get_a_proposal_each() {
    let world = r#"
        seed = 31
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "x{n}"
        count = 3
        [[namespace.repository.tags]]
        name = "v{n}"
        count = 9
        immutable = true
        [[namespace.repository]]
        name = "tool"
        [[namespace.repository.tags]]
        name = "v{n}"
        count = 4
        [[namespace.repository.tags]]
        name = "x{n}"
        count = 7
        immutable = true
    "#;
    let journey = Journey::through(world, "", "orphaned-immutable-tag");
    let plan = journey.fix(&["--format", "json"]).json();
    let best = |repository: &str| {
        let proposals = plan["proposals"].as_array().expect("proposals");
        let of = proposals.iter().find(|p| p["repository"] == repository);
        let best = &of.expect("a proposal")["policies"][0];
        assert_eq!(best["contradicts"], 0, "{plan:#}");
        best["pattern"].as_str().expect("a pattern").to_owned()
    };
    assert_eq!(best("shop"), "v.*");
    assert_eq!(best("tool"), "x.*");
}

#[test]
fn the_pattern_of_a_policy_that_was_left_inactive_is_the_likeliest() {
    let sql = r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active,
            created_date)
        SELECT gen_random_uuid()::text, id, '{"tag_pattern": "v[0-9]+[.][0-9]+"}', false, NULL
        FROM "user" WHERE username = 'acme'"#;
    let journey = Journey::through(NAMESPACE, sql, "orphaned-immutable-tag");
    let plan = journey.fix(&["--format", "json"]).json();
    let best = &plan["proposals"][0]["policies"][0];
    assert_eq!(best["pattern"], "v[0-9]+[.][0-9]+");
    assert_eq!(
        (&best["explains"], &best["contradicts"]),
        (&40.into(), &0.into())
    );
}

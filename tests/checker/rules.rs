//! Each rule on a database: the rows that violate it are found, and told from those that do not.

use serde_json::Value;

use crate::line::stage::{BOTH_FAILURES, Stage};

/// Two organisations, one repository each, no policy, ten mutable tags.
const PLAIN: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 10
    [[namespace]]
    name = "globex"
    [[namespace.repository]]
    name = "portal"
"#;

/// Adds policies: scope ("acme" or "acme/shop") and stored text.
fn add_policies(stage: &Stage, policies: &[(&str, &str)]) {
    for (number, (scope, text)) in policies.iter().enumerate() {
        let text = text.replace('\'', "''");
        let old = "timezone('utc', now()) - interval '1 day'";
        let sql = match scope.split_once('/') {
            Some((namespace, repository)) => format!(
                "INSERT INTO repositoryimmutabilitypolicy
                     (uuid, namespace_id, repository_id, policy, created_date)
                 SELECT 'p{number}', r.namespace_user_id, r.id, '{text}', {old}
                 FROM repository r JOIN \"user\" u ON u.id = r.namespace_user_id
                 WHERE u.username = '{namespace}' AND r.name = '{repository}'"
            ),
            None => format!(
                "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, created_date)
                 SELECT 'p{number}', id, '{text}', {old} FROM \"user\" WHERE username = '{scope}'"
            ),
        };
        stage.sql(&sql);
    }
}

/// The names of a rule's violations, in order, and the rule's sums.
fn found(stage: &Stage, rule: &str, args: &[&str]) -> (Vec<String>, Value) {
    let mut all = vec!["check", "--format", "json", "--rule", rule];
    all.extend(args);
    let report = stage.run(&all).json();
    let names = report["violations"]
        .as_array()
        .expect("violations")
        .iter()
        .map(|v| v["subject"]["name"].as_str().expect("a name").to_owned())
        .collect();
    (names, report["rules"][0].clone())
}

fn names(stage: &Stage, rule: &str) -> Vec<String> {
    found(stage, rule, &[]).0
}

#[test]
fn policies_that_quay_cannot_use_are_critical() {
    let stage = Stage::migrated(PLAIN);
    add_policies(
        &stage,
        &[
            ("acme", r#"{"tag_pattern": "v.*"}"#),
            ("acme", "{}"),
            ("acme", ""),
            ("acme", r#"{"tag_pattern": "v("}"#),
            ("acme/shop", r#"["v.*"]"#),
        ],
    );
    assert_eq!(names(&stage, "invalid-policy"), ["p1", "p2", "p3", "p4"]);
    stage
        .run(&["check", "--rule", "invalid-policy", "--fail-on", "critical"])
        .expect_status(1);
    let report = stage.run(&["check", "--rule", "invalid-policy"]);
    assert!(
        report.stdout.contains("tag_pattern that is a string"),
        "{}",
        report.stdout
    );
}

#[test]
fn a_text_that_only_python_reads_is_undecided_and_not_invalid() {
    let stage = Stage::migrated(PLAIN);
    add_policies(
        &stage,
        &[(
            "acme",
            r#"{"tag_pattern": "v.*", "tag_pattern_matches": NaN}"#,
        )],
    );
    let (violations, rule) = found(&stage, "invalid-policy", &[]);
    assert_eq!(
        (violations.len(), &rule["status"]),
        (0, &"undecided".into())
    );
    assert_eq!(names(&stage, "undecidable-policy"), ["p0"]);
    stage
        .run(&["check", "--rule", "unprotected-tag"])
        .expect_status(3);
}

#[test]
fn what_cannot_be_decided_can_be_accepted_and_is_shown() {
    let stage = Stage::migrated(PLAIN);
    add_policies(&stage, &[("acme", r#"{"tag_pattern": "(?:v1){e<=1}.*"}"#)]);
    assert_eq!(names(&stage, "undecidable-policy"), ["p0"]);
    stage.run(&["check"]).expect_status(3);
    let accept = ["--accept-undecided", "p0", "--accept-undecided", "no-such"];
    let mut args = vec!["check", "--format", "json"];
    args.extend(accept);
    let report = stage.run(&args).expect_status(0).json();
    let rules = report["rules"].as_array().expect("rules");
    let of = |id: &str| rules.iter().find(|rule| rule["id"] == id).expect("a rule");
    assert_eq!(of("unprotected-tag")["accepted"], 10);
    assert_eq!(of("undecidable-policy")["explained"], 1);
    assert!(
        report["notes"].to_string().contains("no-such"),
        "{}",
        report["notes"]
    );
    args[2] = "human";
    let text = stage.run(&args).stdout;
    assert!(text.contains("10 accepted as undecided"), "{text}");
}

#[test]
fn an_accepted_policy_does_not_hide_another_that_is_not() {
    let stage = Stage::migrated(PLAIN);
    add_policies(
        &stage,
        &[
            ("acme", r#"{"tag_pattern": "(?:v1){e<=1}.*"}"#),
            ("acme", r#"{"tag_pattern": "(?:v2){e<=1}.*"}"#),
        ],
    );
    let (_, rule) = found(&stage, "unprotected-tag", &["--accept-undecided", "p0"]);
    assert_eq!(
        (&rule["undecided"], &rule["accepted"]),
        (&10.into(), &0.into())
    );
}

#[test]
fn slow_duplicate_and_redundant_policies_are_told_from_their_neighbours() {
    let stage = Stage::migrated(PLAIN);
    add_policies(
        &stage,
        &[
            ("acme", r#"{"tag_pattern": "x.*"}"#),
            (
                "acme",
                r#"{"tag_pattern": "x.*", "tag_pattern_matches": false}"#,
            ),
            ("globex", r#"{"tag_pattern": "x.*"}"#),
            ("acme/shop", r#"{"tag_pattern": "x.*"}"#),
            ("acme/shop", r#"{"tag_pattern": "(a|aa)*b"}"#),
            (
                "globex/portal",
                r#"{"tag_pattern": "x.*", "tag_pattern_matches": false}"#,
            ),
        ],
    );
    assert_eq!(names(&stage, "duplicate-policy"), ["p1"]);
    assert_eq!(names(&stage, "redundant-policy"), ["p3"]);
    assert_eq!(names(&stage, "slow-pattern"), ["p4"]);
    // Of an inactive policy and an active one the active one is kept, however young.
    stage.sql("UPDATE namespaceimmutabilitypolicy SET active = false WHERE uuid = 'p0'");
    assert_eq!(names(&stage, "duplicate-policy"), ["p0"]);
}

#[test]
fn a_policy_in_another_namespace_is_misplaced() {
    let stage = Stage::migrated(PLAIN);
    let text = r#"{"tag_pattern": "x.*"}"#;
    add_policies(&stage, &[("acme/shop", text), ("globex/portal", text)]);
    assert_eq!(names(&stage, "misplaced-policy"), [""; 0]);
    stage.sql(
        "UPDATE repositoryimmutabilitypolicy SET namespace_id =
             (SELECT id FROM \"user\" WHERE username = 'acme') WHERE uuid = 'p1'",
    );
    assert_eq!(names(&stage, "misplaced-policy"), ["p1"]);
}

#[test]
fn policies_on_mirrors_are_a_warning_and_on_proxy_caches_an_information() {
    let stage = Stage::migrated(
        r#"
        seed = 6
        [[namespace]]
        name = "mirrored"
        source = "mirror"
        [[namespace.policy]]
        pattern = "x"
        uuid = "m"
        [[namespace]]
        name = "cached"
        source = "proxy-cache"
        [[namespace.policy]]
        pattern = "x"
        uuid = "c"
        [[namespace]]
        name = "pushed"
        [[namespace.policy]]
        pattern = "x"
        "#,
    );
    let args = ["check", "--format", "json", "--rule", "policy-on-mirror"];
    let report = stage.run(&args).expect_status(1).json();
    let found: Vec<(&str, &str)> = report["violations"]
        .as_array()
        .expect("violations")
        .iter()
        .map(|v| {
            (
                v["subject"]["name"].as_str().unwrap(),
                v["severity"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [("c", "info"), ("m", "warning")]);
    stage.sql("DELETE FROM orgmirrorconfig");
    stage.run(&args).expect_status(0);
    let mut info = args.to_vec();
    info.extend(["--fail-on", "info"]);
    stage.run(&info).expect_status(1);
    // A Quay without mirrors has no such table, and so nothing mirrored.
    stage.sql("DROP TABLE orgmirrorconfig");
    stage.run(&args).expect_status(0);
}

#[test]
fn dead_immutable_rows_are_seen_by_their_own_rule_alone() {
    let stage = Stage::migrated(PLAIN);
    stage.sql("UPDATE tag SET immutable = true, lifetime_end_ms = 1000 WHERE name IN ('v1', 'v2')");
    stage.sql("UPDATE tag SET lifetime_end_ms = 1000 WHERE name = 'v3'");
    let can_not = ["--immutable-tags-can-expire", "false"];
    assert_eq!(found(&stage, "uncollectable-tag", &can_not).0, ["v1", "v2"]);
    assert_eq!(names(&stage, "orphaned-immutable-tag"), [""; 0]);
    let (violations, rule) = found(&stage, "uncollectable-tag", &[]);
    assert_eq!((violations.len(), &rule["undecided"]), (0, &2.into()));
    // It is only an information: neither found nor not known does it change the status.
    stage.run(&["check"]).expect_status(0);
    let mut info = vec!["check", "--fail-on", "info"];
    stage.run(&info).expect_status(3);
    info.extend(can_not);
    stage.run(&info).expect_status(1);
}

#[test]
fn whether_immutable_tags_may_expire_matters_only_where_one_does() {
    let stage = Stage::migrated(PLAIN);
    stage.run(&["check"]).expect_status(0);
    stage.sql(
        "UPDATE tag SET immutable = true, lifetime_end_ms = 4102444800000 WHERE name = 'v1';
         INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
         SELECT k.id, r.namespace_user_id, r.id, now() AT TIME ZONE 'utc',
             '{\"tag\": \"v1\", \"immutable\": true, \"previous_immutable\": false}'
         FROM logentrykind k, repository r
         WHERE k.name = 'change_tag_immutability' AND r.name = 'shop'",
    );
    stage.run(&["check"]).expect_status(3);
    stage
        .run(&["check", "--immutable-tags-can-expire", "true"])
        .expect_status(0);
    stage
        .run(&["check", "--immutable-tags-can-expire", "false"])
        .expect_status(1);
}

#[test]
fn an_interrupted_operation_is_reported_where_it_is_and_left_to_recover() {
    let stage = Stage::migrated(PLAIN);
    stage.sql(
        "INSERT INTO quay_doctor.operation
             (kind, phase, scope_kind, scope_id, fence, worker, actor, tool_version, heartbeat_at)
         SELECT 'create', 'applying', 'namespace', id, gen_random_uuid(), 'host a', 'ann', '0',
             now() - interval '1 hour'
         FROM \"user\" WHERE username = 'acme'",
    );
    let rule = ["check", "--rule", "interrupted-operation"];
    let text = stage.run(&rule).expect_status(1).stdout;
    assert!(
        text.contains("operation 1 (create) has stopped in the phase applying"),
        "{text}"
    );
    assert!(text.contains("host a"), "{text}");
    let mut elsewhere = rule.to_vec();
    elsewhere.extend(["--namespace", "globex"]);
    stage.run(&elsewhere).expect_status(0);
    let plan = stage
        .run(&["fix", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(plan["left_to_recover"][0]["operation"], 1);
    stage.sql("UPDATE quay_doctor.operation SET heartbeat_at = now()");
    stage.run(&rule).expect_status(3);
}

#[test]
fn without_a_journal_there_are_no_operations_to_speak_of() {
    let stage = Stage::of(BOTH_FAILURES);
    let (_, rule) = found(&stage, "interrupted-operation", &[]);
    assert_eq!(rule["status"], "skipped");
}

//! `tag explain`: everything that accounts for a tag, and each rule's verdict.

use serde_json::Value;

use crate::line::output::valid;
use crate::line::stage::{BOTH_FAILURES, Stage};

fn explain(stage: &Stage, tag: &str) -> Value {
    let told = stage.run(&["tag", "explain", tag, "--format", "json"]);
    let told = told.expect_status(0).json();
    valid("tag", &told);
    told
}

fn verdict<'v>(explanation: &'v Value, rule: &str) -> &'v str {
    let rules = explanation["rules"].as_array().expect("rules");
    let rule = rules
        .iter()
        .find(|told| told["id"] == rule)
        .expect("the rule");
    rule["verdict"].as_str().expect("a verdict")
}

#[test]
fn an_orphan_an_unprotected_tag_and_a_sound_one_are_told_apart() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let orphan = explain(&stage, "acme/shop:v1");
    assert_eq!(orphan["row"]["immutable"], true);
    assert_eq!(orphan["policies"], Value::Array(vec![]));
    assert_eq!(verdict(&orphan, "orphaned-immutable-tag"), "violated");
    let unprotected = explain(&stage, "globex/portal:v3.1");
    assert_eq!(unprotected["policies"][0]["says"], "immutable");
    assert_eq!(verdict(&unprotected, "unprotected-tag"), "violated");
    assert_eq!(
        verdict(
            &explain(&stage, "globex/portal:v1.1"),
            "orphaned-immutable-tag"
        ),
        "sound"
    );
    assert_eq!(
        verdict(&explain(&stage, "acme/shop:nightly-1"), "unprotected-tag"),
        "not-a-subject"
    );
}

#[test]
fn a_users_act_and_a_change_of_ours_are_told() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(
        r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
           SELECT k.id, r.namespace_user_id, r.id, now() AT TIME ZONE 'utc',
               '{"username": "ann", "tag": "v1", "immutable": true, "previous_immutable": false}'
           FROM logentrykind k, repository r
           WHERE k.name = 'change_tag_immutability' AND r.name = 'shop'"#,
    );
    let excused = explain(&stage, "acme/shop:v1");
    assert_eq!(verdict(&excused, "orphaned-immutable-tag"), "explained");
    assert_eq!(excused["audit"][0]["user"], "ann");
    assert!(
        excused["evidence"][0]
            .as_str()
            .is_some_and(|text| text.contains("ann"))
    );

    let args = [
        "fix",
        "--apply",
        "--immutable-tags-can-expire",
        "false",
        "--actor",
        "bob",
    ];
    stage.run(&args).expect_status(1);
    let protected = explain(&stage, "globex/portal:v3.1");
    let change = &protected["journal"][0];
    assert_eq!(
        (&change["actor"], &change["kind"]),
        (&"bob".into(), &"fix".into())
    );
    assert_eq!(change["immutable"], serde_json::json!([false, true]));
    assert!(
        change["end_ms"][0].is_i64() && change["end_ms"][1].is_null(),
        "{change}"
    );
    let text = stage
        .run(&["tag", "explain", "globex/portal:v3.1"])
        .expect_status(0)
        .stdout;
    assert!(
        text.contains("alive and immutable") && text.contains("by bob"),
        "{text}"
    );
}

#[test]
fn the_live_row_is_explained_and_earlier_ones_are_counted() {
    let stage = Stage::of(BOTH_FAILURES);
    stage.sql(
        "INSERT INTO tag (name, repository_id, lifetime_start_ms, lifetime_end_ms, tag_kind_id, immutable)
         SELECT name, repository_id, 1, n, tag_kind_id, true
         FROM tag, generate_series(1000, 1002) n WHERE name = 'nightly-1'",
    );
    let told = explain(&stage, "acme/shop:nightly-1");
    assert_eq!(
        (&told["row"]["live"], &told["earlier_rows"]),
        (&true.into(), &3.into())
    );
    stage.sql("DELETE FROM tag WHERE name = 'nightly-1' AND lifetime_end_ms IS NULL");
    let told = explain(&stage, "acme/shop:nightly-1");
    assert_eq!(
        (&told["row"]["live"], &told["row"]["end_ms"]),
        (&false.into(), &1002.into())
    );
    assert_eq!(verdict(&told, "uncollectable-tag"), "undecided");
}

#[test]
fn a_tag_that_is_not_there_is_an_error() {
    let stage = Stage::of(BOTH_FAILURES);
    for name in [
        "acme/shop:v999",
        "acme/none:v1",
        "nobody/shop:v1",
        "acme-shop-v1",
    ] {
        let ended = stage.run(&["tag", "explain", name]).expect_status(2);
        assert!(
            ended.stdout.is_empty() && !ended.stderr.is_empty(),
            "{ended:?}"
        );
    }
}

//! What bounds a check: grace, shards, time; what it says where it could not look.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::proxy::{Effect, FaultProxy, Rule};

use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::program::run_on;

#[test]
fn tags_under_a_young_policy_are_settling_and_neither_clean_nor_violated() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql("UPDATE namespaceimmutabilitypolicy SET created_date = timezone('utc', now())");
    let rule = stage.rule("unprotected-tag", &[]);
    assert_eq!(
        (&rule["status"], &rule["settling"], &rule["violations"]),
        (&"settling".into(), &220.into(), &0.into())
    );
    let globex = ["check", "--namespace", "globex"];
    let with = |more: &[&'static str]| [&globex[..], more].concat();
    let told = stage.run(&globex).expect_status(3);
    assert!(told.stdout.contains("220 settling"), "{}", told.stdout);
    stage.run(&with(&["--allow-settling"])).expect_status(0);
    stage.run(&with(&["--grace", "0s"])).expect_status(1);
    // Orphans do not depend on it.
    stage.run(&["check", "--allow-settling"]).expect_status(1);
    // An older policy that matches, too, settles the matter.
    stage.sql(
        r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, created_date)
           SELECT 'old', id, '{"tag_pattern": "v3.*"}', NULL FROM "user" WHERE username = 'globex'"#,
    );
    let rule = stage.rule("unprotected-tag", &[]);
    assert_eq!(
        (&rule["settling"], &rule["violations"]),
        (&200.into(), &20.into())
    );
}

#[test]
fn nothing_is_corrected_that_quay_may_still_be_at() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql("UPDATE namespaceimmutabilitypolicy SET created_date = timezone('utc', now())");
    let plan = stage
        .run(&["fix", "--format", "json", "--namespace", "globex"])
        .json();
    assert_eq!(plan["totals"]["corrections"], 0);
}

#[test]
fn every_subject_is_in_exactly_one_shard() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let subjects = |args: &[&str]| -> BTreeSet<String> {
        let mut all = vec!["check", "--format", "json"];
        all.extend(args);
        let report = stage.run(&all).json();
        let violations = report["violations"].as_array().expect("violations").clone();
        let ids: Vec<String> = violations
            .iter()
            .map(|v| format!("{} {}", v["rule"], v["subject"]["id"]))
            .collect();
        let set: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(set.len(), ids.len());
        set
    };
    stage.sql("UPDATE namespaceimmutabilitypolicy SET policy = '{}'");
    stage.sql("UPDATE tag SET immutable = true");
    let all = subjects(&[]);
    assert!(all.len() > 300);
    let parts: Vec<BTreeSet<String>> = ["0/3", "1/3", "2/3"]
        .iter()
        .map(|shard| subjects(&["--shard", shard]))
        .collect();
    let sum: usize = parts.iter().map(BTreeSet::len).sum();
    assert_eq!(sum, all.len(), "no subject is in two shards");
    let union: BTreeSet<String> = parts.into_iter().flatten().collect();
    assert_eq!(union, all, "no subject is in none");
    stage.run(&["check", "--shard", "3/3"]).expect_status(2);
}

#[test]
fn a_scan_that_was_cut_short_never_says_that_all_is_well() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql("UPDATE tag SET immutable = false; DELETE FROM namespaceimmutabilitypolicy");
    stage.run(&["check"]).expect_status(0);
    let args = ["check", "--timeout", "1ns", "--format", "json"];
    let report = stage.run(&args).expect_status(3).json();
    assert!(
        report["cut_short"]
            .as_str()
            .is_some_and(|why| why.contains("--timeout"))
    );
    let text = stage
        .run(&["check", "--timeout", "1ns"])
        .expect_status(3)
        .stdout;
    assert!(
        !text.contains("All is well") && text.contains("Not known"),
        "{text}"
    );
}

fn notes(report: &Value) -> String {
    report["notes"].to_string()
}

#[test]
fn an_audit_log_that_is_kept_elsewhere_is_said_to_tell_nothing() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let check = || stage.run(&["check", "--format", "json"]).json();
    stage.sql("DELETE FROM logentry3");
    assert!(
        notes(&check()).contains("audit log is empty"),
        "{}",
        notes(&check())
    );
    stage.sql(
        "INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
         SELECT k.id, u.id, now(), '{}' FROM logentrykind k, \"user\" u LIMIT 1",
    );
    assert!(
        !notes(&check()).contains("audit log"),
        "{}",
        notes(&check())
    );
}

#[test]
fn a_journal_that_may_not_be_read_is_not_taken_for_none() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let role = format!("outsider_{}", std::process::id());
    stage.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = stage.db.url();
    let user = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('@').next())
        .expect("a user");
    let url = format!("{}&user={role}", url.replace(&format!("://{user}@"), "://"));
    let verbs: [&[&str]; 6] = [
        &["history"],
        &["recover", "--list"],
        &["check"],
        &["policy", "list"],
        &["fix", "--apply", "--rule", "unprotected-tag"],
        &["fix", "prune", "--older-than", "1h"],
    ];
    for verb in verbs {
        let ended = run_on(&url, verb).expect_status(2);
        assert!(
            ended.stderr.contains("may not read the journal"),
            "{ended:?}"
        );
        assert!(ended.stderr.contains("GRANT USAGE"), "{ended:?}");
    }
    stage.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn where_the_audit_log_may_not_be_read_what_it_could_account_for_is_undecided() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let role = format!("deaf_{}", std::process::id());
    stage.sql(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE SELECT ON logentry3 FROM {role};
         GRANT USAGE ON SCHEMA quay_doctor TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA quay_doctor TO {role}"
    ));
    let url = stage.db.url();
    let user = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('@').next())
        .expect("a user");
    let url = format!("{}&user={role}", url.replace(&format!("://{user}@"), "://"));
    let report = run_on(&url, &["check", "--format", "json"])
        .expect_status(3)
        .json();
    assert_eq!(report["totals"]["violations"], 0);
    let undecided: i64 = report["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .filter_map(|rule| rule["undecided"].as_i64())
        .sum();
    assert_eq!(undecided, 520);
    assert!(
        notes(&report).contains("may not read the audit log"),
        "{}",
        notes(&report)
    );
    stage.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn an_undated_policy_is_said_to_be_taken_for_old() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let check = || notes(&stage.run(&["check", "--format", "json"]).json());
    stage.sql("UPDATE namespaceimmutabilitypolicy SET created_date = NULL");
    assert!(
        check().contains("without a date of creation"),
        "{}",
        check()
    );
    stage.sql("UPDATE namespaceimmutabilitypolicy SET created_date = '2020-01-01'");
    assert!(!check().contains("without a date"), "{}", check());
    let before = Stage::of(BOTH_FAILURES);
    let report = before.run(&["check", "--format", "json"]).json();
    assert!(
        notes(&report).contains("no column `created_date`"),
        "{}",
        notes(&report)
    );
}

#[test]
fn a_server_that_falls_silent_does_not_outlast_the_time_of_a_scan() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let proxy = FaultProxy::before(&stage.db.tcp_url()).expect("a proxy");
    proxy.arm(Rule::lost_answer("string_agg(name", 1).with(Effect::BlackHole));
    let ended = run_on(&proxy.url(), &["check", "--timeout", "1s"]).expect_status(3);
    assert_eq!(proxy.struck(), 1);
    assert!(!ended.stdout.contains("All is well"), "{ended:?}");
    assert!(ended.stderr.contains("did not answer in time"), "{ended:?}");
}

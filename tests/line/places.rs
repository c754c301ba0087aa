//! Where a check works: before the migrations, for a reader, on a standby, on a part.

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, Program, Programs, fixture};
use testkit::skipped;

use super::stage::{BOTH_FAILURES, Stage};
use crate::program::run_on;

#[test]
fn without_our_migrations_a_check_works_and_says_what_it_cannot_know() {
    let stage = Stage::of(BOTH_FAILURES);
    let report = stage
        .run(&["check", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(report["totals"]["violations"], 520);
    assert_eq!(report["database"]["migration_version"], 0);
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("no column `active`") && notes.contains("no journal"),
        "{notes}"
    );
}

#[test]
fn a_role_that_may_only_select_can_check_and_cannot_fix() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let reader = format!("reader_{}", std::process::id());
    stage.sql(&format!(
        "CREATE ROLE {reader} LOGIN;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
         GRANT USAGE ON SCHEMA quay_doctor TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA quay_doctor TO {reader}"
    ));
    let url = format!("{}&user={reader}", stage.db.url());
    let url = url.replace(&format!("://{}@", current_user(&stage.db.url())), "://");
    let before = stage.dump();
    run_on(&url, &["check"]).expect_status(1);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        super::stage::RELEASE,
        "--immutable-tags-can-expire",
        "false",
    ];
    let refused = run_on(&url, &args).expect_status(3);
    assert!(
        refused.stderr.contains("lacks a right"),
        "{}",
        refused.stderr
    );
    assert_eq!(stage.dump(), before);
    stage.sql(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

fn current_user(url: &str) -> String {
    let rest = url.split("://").nth(1).unwrap_or_default();
    rest.split('@').next().unwrap_or_default().to_owned()
}

#[test]
fn a_role_that_may_not_read_tags_gets_no_answer_and_never_a_clean_one() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let role = format!("blind_{}", std::process::id());
    stage.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE SELECT ON tag FROM {role};
         GRANT USAGE ON SCHEMA quay_doctor TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA quay_doctor TO {role}"
    ));
    let url = format!("{}&user={role}", stage.db.url());
    let url = url.replace(&format!("://{}@", current_user(&stage.db.url())), "://");
    let ended = run_on(&url, &["check"]).expect_status(3);
    assert!(
        ended.stdout.is_empty() && ended.stderr.contains("permission denied"),
        "{ended:?}"
    );
    stage.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_hot_standby_is_checked_and_not_written_to() {
    let programs = Programs::find().expect("programs");
    if !programs.has(Program::PgBasebackup) {
        skipped("this package of PostgreSQL has no pg_basebackup");
        return;
    }
    let mut cluster = Cluster::start().expect("a cluster");
    cluster.create_database("quay").expect("a database");
    let mut session =
        WriteSession::open(&cluster.settings("quay").expect("settings")).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    World::parse(BOTH_FAILURES)
        .expect("a description")
        .seed(&mut session, chrono::Utc::now())
        .expect("a world");
    run_on(&cluster.url("quay"), &["migrate", "up"]).expect_status(0);
    let standby = cluster.standby().expect("a standby");
    standby.wait_until_caught_up().expect("caught up");
    let report = run_on(&standby.url("quay"), &["check", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(report["totals"]["violations"], 520);
    assert_eq!(report["database"]["standby"], true);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        super::stage::RELEASE,
        "--immutable-tags-can-expire",
        "false",
    ];
    let refused = run_on(&standby.url("quay"), &args).expect_status(2);
    assert!(
        refused.stderr.contains("connect to the primary"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_part_of_the_registry_is_judged_alone() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let sums = |args: &[&str]| {
        let mut all = vec!["check", "--format", "json"];
        all.extend(args);
        stage.run(&all).json()["totals"]["violations"].as_i64()
    };
    assert_eq!(sums(&["--namespace", "acme"]), Some(300));
    assert_eq!(sums(&["--namespace", "globex"]), Some(220));
    assert_eq!(
        sums(&["--namespace", "globex", "--repository", "portal"]),
        Some(220)
    );
    assert_eq!(sums(&["--rule", "unprotected-tag"]), Some(220));
    assert_eq!(sums(&["--rule", "stale-inactive-policy"]), Some(0));
}

#[test]
fn the_worst_that_counts_can_be_chosen() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.run(&["check", "--fail-on", "error"]).expect_status(1);
    stage
        .run(&["check", "--fail-on", "critical"])
        .expect_status(0);
    stage.run(&["check", "--fail-on", "bad"]).expect_status(2);
}

#[test]
fn where_nothing_is_enforced_a_mutable_tag_is_no_fault() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let rule = stage.rule("unprotected-tag", &["--immutable-tags", "false"]);
    assert_eq!(rule["status"], "skipped");
    assert!(
        rule["reason"]
            .as_str()
            .is_some_and(|why| why.contains("FEATURE_IMMUTABLE_TAGS"))
    );
}

#[test]
fn a_pattern_that_cannot_be_decided_makes_the_answer_unknown_where_it_matters() {
    let stage = Stage::migrated(BOTH_FAILURES);
    // Fuzzy matching: Quay's engine has it, ours says that it has not.
    stage.sql(
        r#"UPDATE namespaceimmutabilitypolicy SET policy = '{"tag_pattern": "(?:v1){e<=1}.*"}'"#,
    );
    let ended = stage.run(&["check"]).expect_status(3);
    assert!(ended.stdout.contains("Not known"), "{}", ended.stdout);
    let rule = stage.rule("unprotected-tag", &[]);
    assert_eq!(rule["status"], "undecided");
    assert!(rule["undecided"].as_i64().is_some_and(|n| n > 0), "{rule}");
    // acme has no policy: nothing there depends on it.
    stage
        .run(&["check", "--namespace", "acme"])
        .expect_status(1);
    stage.run(&["fix"]).expect_status(3);
}

#[test]
fn a_policy_on_which_quay_fails_leaves_its_tags_undecided() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql("UPDATE namespaceimmutabilitypolicy SET policy = '{}'");
    stage
        .run(&["check", "--namespace", "globex"])
        .expect_status(3);
}

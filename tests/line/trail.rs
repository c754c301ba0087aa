//! What users and policies do while a run is at work counts in its later batches.

use quay_doctor::pg::WriteSession;
use quay_doctor::{
    ApplyOptions, Catalogue, CheckRequest, Choices, Features, FixRequest, Identity, NoProgress,
    Progress, RunError, Stated, apply_fix, plan_fix,
};

use super::stage::{BOTH_FAILURES, RELEASE, Stage};

/// A user confirms the last of the orphans, which no first batch holds.
const ACT: &str = r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
    SELECT k.id, r.namespace_user_id, r.id, now() AT TIME ZONE 'utc',
        '{"username": "ann", "tag": "v299", "immutable": true, "previous_immutable": true}'
    FROM logentrykind k, repository r
    WHERE k.name = 'change_tag_immutability' AND r.name = 'shop'"#;

/// Does something when the first batch is done.
struct AfterTheFirst<'a> {
    session: &'a mut WriteSession,
    does: Option<&'a str>,
    batches: u32,
}

impl Progress for AfterTheFirst<'_> {
    fn begin(&mut self, _what: &str, _total: u64) {}

    fn reached(&mut self, done: u64) {
        if done == 0 {
            // Asked before the run begins.
            return;
        }
        self.batches += 1;
        if let Some(sql) = self.does.take() {
            self.session.run(sql).expect("an act");
        }
    }

    fn end(&mut self) {}
}

/// Releases all orphans; how many were released, and skipped.
fn released(stage: &Stage, before: &str, after_the_first: &str) -> (u64, u64) {
    let settings = stage.db.settings().expect("settings");
    let mut check = CheckRequest::of(Catalogue::built_in().expect("valid rules"));
    check.rules = check
        .rules
        .choose(&["orphaned-immutable-tag".to_owned()])
        .expect("the rule");
    check.features = Features {
        immutable_tags: Stated::On,
        can_expire: Stated::Off,
    };
    let choices = Choices::parse::<RunError>(&[RELEASE.to_owned()], &check.rules).expect("valid");
    let request = FixRequest {
        check,
        choices,
        settling: Default::default(),
        fail_on: quay_doctor::Severity::Warning,
    };
    let plan = plan_fix(&settings, &request, &mut NoProgress).expect("a plan");
    let mut options = ApplyOptions::new(Identity {
        actor: "test".to_owned(),
        reason: None,
        worker: "test".to_owned(),
    });
    options.features.can_expire = Stated::Off;
    let mut session = stage.session();
    session.run(before).expect("what comes before");
    let mut progress = AfterTheFirst {
        session: &mut session,
        does: Some(after_the_first),
        batches: 0,
    };
    let report = apply_fix(&settings, &plan, &options, &mut progress).expect("a run");
    assert!(progress.batches > 1 && progress.does.is_none());
    (report.applied, report.skipped)
}

#[test]
fn an_act_between_two_batches_is_seen_by_the_second() {
    let stage = Stage::migrated(BOTH_FAILURES);
    assert_eq!(released(&stage, "SELECT 1", "SELECT 1"), (300, 0));
    let stage = Stage::migrated(BOTH_FAILURES);
    assert_eq!(released(&stage, "SELECT 1", ACT), (299, 1));
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name = 'v299' AND immutable"),
        1
    );
}

#[test]
fn an_act_with_an_early_id_that_comes_late_is_seen() {
    let stage = Stage::migrated(BOTH_FAILURES);
    // Its id is taken before the run reads the log, and its row shows after the first batch.
    let begun = format!("BEGIN; {ACT}");
    assert_eq!(released(&stage, &begun, "COMMIT"), (299, 1));
}

#[test]
fn what_a_run_itself_writes_into_the_log_is_no_act() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = ["fix", "--apply", "--remedy", RELEASE, "--format", "json"];
    let mut args = args.to_vec();
    args.extend([
        "--immutable-tags-can-expire",
        "false",
        "--batch-time",
        "1ms",
    ]);
    let run = stage.run(&args).expect_status(0).json();
    assert_eq!(run["applied"], 520);
    let undo = [
        "fix",
        "undo",
        &run["run"].to_string(),
        "--batch-time",
        "1ms",
    ];
    stage.run(&undo).expect_status(0);
    assert_eq!(stage.run(&args).expect_status(0).json()["applied"], 520);
}

/// A policy of acme's about the last of the orphans, which no first batch holds.
fn policy(text: &str, active: bool) -> String {
    format!(
        r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active)
        SELECT 'of-acme', id, '{{"tag_pattern": "{text}", "tag_pattern_matches": true}}', {active}
        FROM "user" WHERE username = 'acme'"#
    )
}

#[test]
fn a_policy_that_changes_between_two_batches_is_the_one_that_the_second_is_judged_by() {
    let none = "SELECT 1".to_owned();
    let changed =
        r#"UPDATE namespaceimmutabilitypolicy SET policy = replace(policy, 'w299', 'v299')"#;
    let activated = "UPDATE namespaceimmutabilitypolicy SET active = true";
    let deleted = "DELETE FROM namespaceimmutabilitypolicy WHERE uuid = 'of-acme'";
    for (before, between, expected) in [
        (&none, &*policy("v299", true), (299, 1)),
        (&policy("v299", false), activated, (299, 1)),
        (&policy("w299", true), changed, (299, 1)),
        (&policy("v299", true), "SELECT 1", (299, 1)),
        (&policy("v299", true), deleted, (300, 0)),
    ] {
        let stage = Stage::migrated(BOTH_FAILURES);
        let found = released(&stage, before, between);
        assert_eq!(found, expected, "{before}; {between}");
    }
}

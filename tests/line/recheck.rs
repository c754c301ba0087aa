//! What has changed since the plan, or since the run, is looked at again and never forced.

use quay_doctor::{
    ApplyOptions, Catalogue, CheckRequest, Choices, Features, FixRequest, FixStrategy, Identity,
    NoProgress, Progress, RunError, Stated, apply_fix, check, plan_fix,
};

use super::stage::{BOTH_FAILURES, RELEASE, Stage};

fn request() -> CheckRequest {
    let mut request = CheckRequest::of(Catalogue::built_in().expect("valid rules"));
    request.features = Features {
        immutable_tags: Stated::On,
        can_expire: Stated::Off,
    };
    request
}

fn release() -> FixRequest {
    let check = request();
    let choices = Choices::parse::<RunError>(&[RELEASE.to_owned()], &check.rules).expect("valid");
    FixRequest {
        check,
        choices,
        settling: Default::default(),
        fail_on: quay_doctor::Severity::Warning,
    }
}

fn options() -> ApplyOptions {
    let mut options = ApplyOptions::new(Identity {
        actor: "test".to_owned(),
        reason: None,
        worker: "test".to_owned(),
    });
    options.features.can_expire = Stated::Off;
    options
}

/// Plans, lets something happen, carries the plan out: how many were applied, how many skipped.
fn meanwhile(stage: &Stage, happens: &str) -> (u64, u64) {
    let settings = stage.db.settings().expect("settings");
    let plan = plan_fix(&settings, &release(), &mut NoProgress).expect("a plan");
    stage.sql(happens);
    let report = apply_fix(&settings, &plan, &options(), &mut NoProgress).expect("a run");
    (report.applied, report.skipped)
}

#[test]
fn a_policy_that_was_created_since_the_plan_changes_the_verdict() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let done = meanwhile(
        &stage,
        r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
           SELECT 'later', id, '{"tag_pattern": "v.*"}' FROM "user" WHERE username = 'acme'"#,
    );
    assert_eq!(done, (220, 300));
    let orphans = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
                   WHERE r.name = 'shop' AND t.immutable";
    assert_eq!(
        stage.count(orphans),
        300,
        "nobody's protection was taken away"
    );
}

#[test]
fn an_act_a_label_or_a_deletion_since_the_plan_changes_the_verdict() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let done = meanwhile(
        &stage,
        r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
           SELECT k.id, r.namespace_user_id, r.id, now() AT TIME ZONE 'utc',
               '{"tag": "v1", "immutable": true, "previous_immutable": true}'
           FROM logentrykind k, repository r
           WHERE k.name = 'change_tag_immutability' AND r.name = 'shop';
           UPDATE tag SET immutable = false WHERE name = 'v2';
           UPDATE tag SET lifetime_end_ms = 1000 WHERE name = 'v3'"#,
    );
    assert_eq!(done, (220 + 297, 3));
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name = 'v1' AND immutable"),
        1
    );
}

#[test]
fn rows_that_somebody_else_holds_are_left_to_the_next_run() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let settings = stage.db.settings().expect("settings");
    let plan = plan_fix(&settings, &release(), &mut NoProgress).expect("a plan");
    let mut other = stage.session();
    other
        .run("BEGIN; UPDATE tag SET reversion = reversion WHERE name = 'v7'")
        .expect("a lock");
    let report = apply_fix(&settings, &plan, &options(), &mut NoProgress).expect("a run");
    assert_eq!((report.applied, report.skipped), (519, 1));
    other.run("ROLLBACK").expect("the end");
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["violations"], 1);
}

#[test]
fn an_expiry_within_the_clocks_margin_is_not_cleared() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(
        "UPDATE tag SET lifetime_end_ms = (extract(epoch FROM now()) * 1000)::bigint + 40000
         WHERE name = 'v3.1'",
    );
    let done = meanwhile(&stage, "SELECT 1");
    assert_eq!(done, (519, 1));
    assert_eq!(stage.count("SELECT count(*) FROM tag WHERE name = 'v3.1' AND NOT immutable AND lifetime_end_ms IS NOT NULL"), 1);
}

#[test]
fn a_row_that_a_push_has_just_ended_is_not_brought_back() {
    let stage = Stage::migrated(BOTH_FAILURES);
    // The pusher's clock is ahead: the ended row looks alive, and so does its successor.
    stage.sql(
        "INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
         SELECT name, repository_id, lifetime_end_ms, tag_kind_id, true FROM tag WHERE name = 'v3.2'",
    );
    let done = meanwhile(&stage, "SELECT 1");
    assert_eq!(done, (519, 1));
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name = 'v3.2' AND lifetime_end_ms IS NULL"),
        1
    );
}

#[test]
fn an_undo_refuses_what_has_changed_since_and_takes_back_the_rest() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
        "--format",
        "json",
    ];
    let run = stage.run(&args).expect_status(0).json()["run"].to_string();
    stage.sql(
        "UPDATE tag SET immutable = true WHERE name = 'v5';
         DELETE FROM tag WHERE name = 'v6';
         UPDATE tag SET lifetime_end_ms = 4102444800000 WHERE name = 'v7'",
    );
    let undone = stage
        .run(&["fix", "undo", &run, "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(
        (&undone["undone"], &undone["refused"]),
        (&517.into(), &3.into())
    );
    assert_eq!(undone["refusals"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name = 'v5' AND immutable"),
        1
    );
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE name = 'v7' AND NOT immutable"),
        1
    );
}

/// Lets something happen between the first snapshot and the second look.
struct Between<'a>(&'a Stage, &'a str);

impl Progress for Between<'_> {
    fn begin(&mut self, _what: &str, _total: u64) {
        self.0.sql(self.1);
    }
    fn reached(&mut self, _done: u64) {}
    fn end(&mut self) {}
}

#[test]
fn work_in_progress_is_not_called_a_fault() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let settings = stage.db.settings().expect("settings");
    let finished = "UPDATE tag SET immutable = true WHERE name LIKE 'v2.%'";
    let report = check(&settings, &request(), &mut Between(&stage, finished)).expect("a report");
    // 300 orphans and the 20 expiring ones are still there at the second look, the 200 are not.
    assert_eq!(report.total_violations(), 320);
    let of_both = ["orphaned-immutable-tag", "unprotected-tag"];
    let rules = report.rules.iter();
    let sums: u64 = rules
        .filter(|rule| of_both.contains(&rule.id.0.as_str()))
        .map(|rule| rule.subjects)
        .sum();
    assert_eq!(
        sums,
        300 + 200 + 220,
        "every subject is counted all the same"
    );
}

#[test]
fn what_can_no_longer_be_told_at_the_second_look_is_undecided_and_not_sound() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let settings = stage.db.settings().expect("settings");
    let obscured = r#"UPDATE namespaceimmutabilitypolicy
        SET policy = '{"tag_pattern": "(?:v1){e<=1}.*"}'"#;
    let mut between = Between(&stage, obscured);
    let report = check(&settings, &request(), &mut between).expect("a report");
    let rule = report
        .rules
        .iter()
        .find(|rule| rule.id.0 == "unprotected-tag")
        .expect("the rule");
    assert_eq!((rule.undecided.subjects, rule.violations), (220, 0));
}

/// Somebody who wants the work to end, from the beginning on.
struct Impatient;

impl Progress for Impatient {
    fn begin(&mut self, _what: &str, _total: u64) {}
    fn reached(&mut self, _done: u64) {}
    fn end(&mut self) {}
    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn who_asks_for_an_end_between_plan_and_run_sees_nothing_written_and_no_half_plan() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    let settings = stage.db.settings().expect("settings");
    let plan = plan_fix(&settings, &release(), &mut NoProgress).expect("a plan");
    for strategy in [FixStrategy::Phased, FixStrategy::Atomic] {
        let mut options = options();
        options.strategy = strategy;
        let ended = apply_fix(&settings, &plan, &options, &mut Impatient);
        let error = ended.expect_err("no run");
        assert!(!error.is_usage());
        assert_eq!(error.to_string(), "interrupted before the run began");
    }
    let half = plan_fix(&settings, &release(), &mut Impatient).expect_err("no plan");
    assert!(!half.is_usage());
    assert!(half.to_string().starts_with("there is no plan: "), "{half}");
    assert_eq!(stage.dump(), before);
    assert_eq!(stage.count("SELECT count(*) FROM quay_doctor.operation"), 0);
}

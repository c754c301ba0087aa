//! The remedies that are operations on policies, conducted by a run and taken back with it.

use testkit::moments::{AFTER_BEGIN, BEFORE_ACTIVATION, BETWEEN_SWEEPS, Moment};

use super::dying;
use super::journey::Journey;

const STALE: &str = r#"
    seed = 15
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "latest"
"#;
const INACTIVE: &str = "UPDATE namespaceimmutabilitypolicy SET active = false";

#[test]
fn a_stale_policy_is_activated_through_its_phases_and_set_inactive_again() {
    let journey = Journey::through(STALE, INACTIVE, "stale-inactive-policy").with(&[
        "--rule",
        "stale-inactive-policy",
        "--remedy",
        "stale-inactive-policy=activate",
    ]);
    let (plan, run) = journey.there_and_back();
    assert_eq!(run["operations"][0]["tags_changed"], 2);
    assert_eq!(run["expirations_cleared"], 2);
    insta::assert_snapshot!(plan);
}

/// Everything that a mirror's policy leaves behind.
const MIRROR: &str = r#"
    seed = 16
    [[namespace]]
    name = "copies"
    source = "mirror"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 1
    evidence = "taken-off"
    [[namespace.repository.tags]]
    name = "latest"
"#;

#[test]
fn a_mirrors_policy_is_deleted_with_its_tags_kept_and_comes_back_in_force() {
    let journey = Journey::through(MIRROR, "", "policy-on-mirror")
        .with(&["--remedy", "policy-on-mirror=delete"]);
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_mirrors_policy_is_set_inactive_and_active_again() {
    let journey = Journey::through(MIRROR, "", "policy-on-mirror")
        .with(&["--remedy", "policy-on-mirror=deactivate"]);
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_policy_that_comes_back_protects_what_was_pushed_meanwhile_and_nothing_older() {
    for remedy in ["policy-on-mirror=delete", "policy-on-mirror=deactivate"] {
        let journey = Journey::through(MIRROR, "", "policy-on-mirror").with(&["--remedy", remedy]);
        let run = journey.apply();
        journey.stage.sql(
            "INSERT INTO tag (name, repository_id, manifest_id, lifetime_start_ms, tag_kind_id,
                 immutable, hidden, reversion)
             SELECT 'v9', repository_id, manifest_id, lifetime_start_ms, tag_kind_id, false, false,
                 false
             FROM tag ORDER BY id LIMIT 1",
        );
        journey.undo(&run);
        let immutable = |name: &str| {
            let sql = format!("SELECT count(*) FROM tag WHERE immutable AND name LIKE '{name}'");
            journey.stage.count(&sql)
        };
        assert_eq!(immutable("v9"), 1, "{remedy}");
        assert_eq!(
            immutable("v2%"),
            0,
            "an administrator took it off ({remedy})"
        );
        journey
            .check(&["--rule", "unprotected-tag"])
            .expect_status(0);
    }
}

#[test]
fn a_policy_on_which_quay_fails_is_deleted_and_comes_back() {
    let world = r#"
        seed = 17
        [[namespace]]
        name = "acme"
        [[namespace.policy]]
        text = "{}"
        uuid = "aaaaaaaa-0000-4000-8000-000000000001"
        [[namespace.repository]]
        name = "shop"
    "#;
    let journey = Journey::through(world, "", "invalid-policy");
    insta::assert_snapshot!("a_policy_on_which_quay_fails_is_a_question", journey.plan());
    let journey = journey.with(&["--remedy", "invalid-policy=delete"]);
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_duplicate_that_decides_otherwise_is_deleted_when_that_is_asked_for() {
    let world = r#"
        seed = 18
        [[namespace]]
        name = "acme"
        [[namespace.policy]]
        pattern = "v.*"
        uuid = "aaaaaaaa-0000-4000-8000-000000000001"
        [[namespace.policy]]
        pattern = "v.*"
        matches = false
        uuid = "bbbbbbbb-0000-4000-8000-000000000002"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "v1.{n}"
        count = 2
        immutable = true
        [[namespace.repository.tags]]
        name = "latest"
        immutable = true
    "#;
    let journey = Journey::through(world, "", "duplicate-policy")
        .with(&["--remedy", "duplicate-policy=delete"]);
    insta::assert_snapshot!(journey.there_and_back().0);
}

#[test]
fn a_policy_that_wants_another_pattern_is_a_question_that_names_the_way() {
    for (rule, pattern) in [
        ("undecidable-policy", "(?:stable){e<=1}"),
        ("slow-pattern", "(a|aa)*b"),
    ] {
        let world = format!(
            r#"
            seed = 19
            [[namespace]]
            name = "acme"
            [[namespace.policy]]
            pattern = "{pattern}"
            uuid = "aaaaaaaa-0000-4000-8000-000000000001"
            [[namespace.repository]]
            name = "shop"
            "#
        );
        let journey = Journey::through(&world, "", rule);
        let before = journey.dump();
        insta::assert_snapshot!(rule, journey.plan());
        let run = journey.fix(&["--rule", rule, "--apply", "--format", "json"]);
        let run = run.expect_status(1).json();
        assert_eq!((&run["applied"], &run["undecided"]), (&0.into(), &1.into()));
        assert_eq!(journey.dump(), before);
        let remedy = format!("{rule}=update");
        let args = ["fix", "--remedy", &remedy];
        let refused = journey.stage.run(&args).expect_status(2);
        assert!(
            refused.stderr.contains("policy update"),
            "{}",
            refused.stderr
        );
    }
}

/// An operation whose worker dies at a moment, and is known to be dead.
fn cut_off(journey: &Journey, args: &[&str], at: Moment) {
    let rest = ["--strategy", "phased", "--no-audit"];
    dying::kill(&journey.stage, &[args, &rest].concat(), at.when());
}

/// A creation whose worker died at a moment.
fn interrupted(at: Moment) -> (Journey, String) {
    let world = r#"
        seed = 20
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "v1.{n}"
        count = 4
        [[namespace.repository.tags]]
        name = "v2.{n}"
        count = 2
        life = "expiring"
        expires_in = "30d"
        [[namespace.repository.tags]]
        name = "latest"
    "#;
    let journey = Journey::through(world, "", "interrupted-operation");
    let before = journey.dump();
    let args = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--immutable-tags-can-expire",
        "false",
    ];
    cut_off(&journey, &args, at);
    (journey, before)
}

#[test]
fn an_interrupted_creation_is_left_to_recover_unless_a_remedy_is_chosen() {
    let (journey, _) = interrupted(BEFORE_ACTIVATION);
    let half = journey.dump();
    assert_eq!(journey.violations(), 1);
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(
        (&run["applied"], &run["left_to_recover"]),
        (&0.into(), &1.into())
    );
    assert_eq!(journey.dump(), half);
}

#[test]
fn an_interrupted_creation_is_finished_and_undo_takes_it_back_from_before_it_began() {
    for at in [AFTER_BEGIN, BEFORE_ACTIVATION, BETWEEN_SWEEPS] {
        let (journey, before) = interrupted(at);
        let journey = journey.with(&[
            "--rule",
            "interrupted-operation",
            "--remedy",
            "interrupted-operation=resume",
        ]);
        insta::assert_snapshot!("an_interrupted_creation_is_finished", journey.plan());
        let run = journey.apply();
        assert_eq!(journey.violations(), 0);
        journey.check(&[]).expect_status(0);
        let protected = "SELECT count(*) FROM tag WHERE immutable AND lifetime_end_ms IS NULL";
        assert_eq!(journey.stage.count(protected), 6, "{at:?}");
        journey.undo(&run);
        assert_eq!(journey.dump(), before, "{at:?}");
    }
}

#[test]
fn an_interrupted_creation_is_taken_back_whole() {
    let (journey, before) = interrupted(BEFORE_ACTIVATION);
    let journey = journey.with(&[
        "--rule",
        "interrupted-operation",
        "--remedy",
        "interrupted-operation=roll-back",
    ]);
    insta::assert_snapshot!(journey.plan());
    journey.apply();
    assert_eq!(journey.dump(), before);
    journey.check(&[]).expect_status(0);
}

#[test]
fn an_interrupted_fix_run_is_left_as_it_is_or_taken_back() {
    for (remedy, comes_back) in [
        ("interrupted-operation=resume", false),
        ("interrupted-operation=roll-back", true),
    ] {
        let world = r#"
            seed = 21
            [[namespace]]
            name = "acme"
            [[namespace.policy]]
            pattern = "v.*"
            [[namespace.repository]]
            name = "shop"
            [[namespace.repository.tags]]
            name = "v1.{n}"
            count = 4
        "#;
        let journey = Journey::through(world, "", "interrupted-operation");
        let before = journey.dump();
        journey.apply();
        let done = journey.dump();
        journey.stage.sql(
            "UPDATE quay_doctor.operation SET phase = 'applying', finished_at = NULL,
                 heartbeat_at = heartbeat_at - interval '1 hour'",
        );
        let journey = journey.with(&["--rule", "interrupted-operation", "--remedy", remedy]);
        journey.apply();
        assert_eq!(journey.violations(), 0);
        assert_eq!(
            journey.dump(),
            if comes_back { before } else { done },
            "{remedy}"
        );
    }
}

#[test]
fn a_tag_that_was_taken_off_under_another_policy_is_mutable_again_after_undo() {
    let world = STALE.replace(
        "[[namespace.repository.tags]]\n    name = \"latest\"",
        "[[namespace.repository.policy]]\n    pattern = \"v[0-9.]+\"\n    \
         [[namespace.repository.tags]]\n    name = \"v9.{n}\"\n    evidence = \"taken-off\"",
    );
    assert_ne!(world, STALE);
    let journey = Journey::through(&world, INACTIVE, "stale-inactive-policy").with(&[
        "--rule",
        "stale-inactive-policy",
        "--remedy",
        "stale-inactive-policy=activate",
    ]);
    let before = journey.dump();
    let run = journey.apply();
    let protected = "SELECT count(*) FROM tag WHERE name LIKE 'v9%' AND immutable";
    assert_eq!(journey.stage.count(protected), 1, "activation is asked for");
    journey.undo(&run);
    assert_eq!(journey.dump(), before);
}

/// A resumed operation that released tags or changed a policy has no way back: what was pushed since
/// was decided by the new state. Undo says so, and changes nothing.
#[test]
fn a_resumed_deletion_or_update_is_not_taken_back_with_the_run() {
    const UUID: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    let delete = ["policy", "delete", UUID, "--tags", "release"];
    let update = [
        "policy",
        "update",
        UUID,
        "--pattern",
        "w.*",
        "--unmatched-tags",
        "release",
    ];
    for args in [&delete[..], &update] {
        let journey = Journey::through(MIRROR, "", "interrupted-operation");
        cut_off(&journey, args, AFTER_BEGIN);
        let journey = journey.with(&[
            "--rule",
            "interrupted-operation",
            "--remedy",
            "interrupted-operation=resume",
        ]);
        let run = journey.apply();
        let after = journey.dump();
        let id = run["run"].to_string();
        let undo = journey.stage.run(&["fix", "undo", &id, "--audit", "none"]);
        let undo = undo.expect_status(1);
        assert!(undo.stdout.contains("cannot be taken back"), "{undo:#?}");
        assert!(
            undo.stdout.contains("the opposite by `quay-doctor policy`"),
            "{undo:#?}"
        );
        assert_eq!(journey.dump(), after, "{args:?}");
        journey.stage.run(&["recover", "--list"]).expect_status(0);
    }
}

//! The remedies of rules about tags.

use super::journey::Journey;

const ORPHANS: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 1
    immutable = true
    evidence = "set-by-user"
    [[namespace.repository.tags]]
    name = "v3.{n}"
    count = 1
    immutable = true
    evidence = "label"
    [[namespace.repository.tags]]
    name = "latest"
"#;

#[test]
fn an_orphan_is_released_and_comes_back() {
    let journey = Journey::through(ORPHANS, "", "orphaned-immutable-tag")
        .with(&["--remedy", "orphaned-immutable-tag=release"]);
    let (plan, run) = journey.there_and_back();
    assert_eq!(
        run["applied"], 3,
        "a user's tag and a labelled one are left alone"
    );
    insta::assert_snapshot!(plan);
}

#[test]
fn an_orphan_is_declared_to_be_meant_until_that_is_withdrawn() {
    let journey = Journey::through(ORPHANS, "", "orphaned-immutable-tag")
        .with(&["--remedy", "orphaned-immutable-tag=keep"]);
    let (plan, _) = journey.there_and_back();
    assert_eq!(journey.violations(), 3);
    insta::assert_snapshot!(plan);
}

#[test]
fn an_orphan_without_a_remedy_is_a_question_and_nothing_is_done() {
    let journey = Journey::through(ORPHANS, "", "orphaned-immutable-tag");
    let before = journey.dump();
    insta::assert_snapshot!(journey.plan());
    let run = journey.fix(&["--apply", "--format", "json"]);
    assert_eq!(run.expect_status(1).json()["undecided"], 3);
    assert_eq!(journey.dump(), before);
}

#[test]
fn an_unprotected_tag_is_protected_and_its_expiry_comes_back_with_undo() {
    let world = r#"
        seed = 6
        [[namespace]]
        name = "globex"
        [[namespace.policy]]
        pattern = "v.*"
        [[namespace.repository]]
        name = "portal"
        [[namespace.repository.tags]]
        name = "v1.{n}"
        count = 2
        [[namespace.repository.tags]]
        name = "v2.{n}"
        count = 2
        life = "expiring"
        expires_in = "30d"
        [[namespace.repository.tags]]
        name = "v3.{n}"
        count = 1
        evidence = "taken-off"
    "#;
    let (plan, run) = Journey::through(world, "", "unprotected-tag").there_and_back();
    assert_eq!(
        (&run["applied"], &run["expirations_cleared"]),
        (&4.into(), &2.into())
    );
    insta::assert_snapshot!(plan);
}

/// Tags that are immutable and expire: under a policy, by a user, and without anything.
const EXPIRING: &str = r#"
    seed = 8
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    life = "expiring"
    expires_in = "30d"
"#;

#[test]
fn the_expiry_of_an_immutable_tag_is_cleared_and_comes_back() {
    let rule = "immutable-tag-with-expiry";
    let (plan, run) = Journey::through(EXPIRING, "", rule).there_and_back();
    assert_eq!(
        (&run["applied"], &run["expirations_cleared"]),
        (&2.into(), &2.into())
    );
    insta::assert_snapshot!(plan);
}

#[test]
fn an_expiry_within_the_clocks_margin_or_beside_a_twin_is_left() {
    let journey = Journey::through(EXPIRING, "", "immutable-tag-with-expiry");
    let before = journey.dump();
    let margin = ["--apply", "--clock-margin", "31d", "--format", "json"];
    let run = journey.fix(&margin).expect_status(1).json();
    assert_eq!((&run["applied"], &run["skipped"]), (&0.into(), &2.into()));
    assert_eq!(journey.dump(), before);

    // A push that has just ended the row, by a clock that is ahead of ours.
    journey.stage.sql(
        "INSERT INTO tag (name, repository_id, manifest_id, lifetime_start_ms, tag_kind_id, immutable, hidden, reversion)
         SELECT name, repository_id, manifest_id, lifetime_start_ms + 1, tag_kind_id, true, false, false
         FROM tag ORDER BY id LIMIT 1",
    );
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!((&run["applied"], &run["skipped"]), (&1.into(), &1.into()));
}

#[test]
fn an_expiry_is_not_cleared_unasked_where_somebody_may_have_meant_the_tag() {
    let world = r#"
        seed = 9
        [[namespace]]
        name = "globex"
        [[namespace.repository]]
        name = "portal"
        [[namespace.repository.tags]]
        name = "w1.{n}"
        count = 1
        immutable = true
        life = "expiring"
        expires_in = "30d"
        evidence = "set-by-user"
        [[namespace.repository.tags]]
        name = "w2.{n}"
        count = 1
        immutable = true
        life = "expiring"
        expires_in = "30d"
    "#;
    let journey = Journey::through(world, "", "immutable-tag-with-expiry");
    let before = journey.dump();
    insta::assert_snapshot!(journey.plan());
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!((&run["applied"], &run["undecided"]), (&0.into(), &3.into()));
    assert_eq!(journey.dump(), before);

    // Released, it keeps the expiry that it has.
    let journey = journey.with(&["--remedy", "orphaned-immutable-tag=release"]);
    let run = journey
        .fix(&["--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!((&run["applied"], &run["undecided"]), (&1.into(), &1.into()));
    assert_eq!(
        journey.stage.count(
            "SELECT count(*) FROM tag WHERE name LIKE 'w2%' AND NOT immutable AND lifetime_end_ms IS NOT NULL"
        ),
        1
    );
    journey.undo(&run);
    assert_eq!(journey.dump(), before);

    // Asked for, it is done.
    let journey = journey.with(&[
        "--remedy",
        "immutable-tag-with-expiry=clear-expiry",
        "--remedy",
        "orphaned-immutable-tag=keep",
    ]);
    journey.there_and_back();
}

#[test]
fn a_dead_immutable_tag_is_released_only_when_that_is_asked_for() {
    let world = r#"
        seed = 10
        [[namespace]]
        name = "globex"
        [[namespace.repository]]
        name = "portal"
        [[namespace.repository.tags]]
        name = "v1.{n}"
        count = 2
        immutable = true
        life = "dead"
        [[namespace.repository.tags]]
        name = "latest"
    "#;
    let journey = Journey::through(world, "", "uncollectable-tag");
    let plan = journey.fix(&[]).expect_status(0).stdout;
    assert!(plan.contains("Nothing to do"), "{plan}");
    let journey = journey.with(&["--remedy", "uncollectable-tag=release"]);
    insta::assert_snapshot!(journey.there_and_back().0);
}

/// Of the first batch's 200 corrections the last is a declaration, and the same tag's expiry is the
/// next batch's first: one tag with one correction stands before 150 with two.
#[test]
fn a_batch_may_end_between_two_corrections_of_one_tag() {
    let world = r#"
        seed = 6
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "a"
        immutable = true
        [[namespace.repository.tags]]
        name = "v{n}"
        count = 150
        immutable = true
        life = "expiring"
        expires_in = "30d"
    "#;
    let journey = Journey::through(world, "", "orphaned-immutable-tag").with(&[
        "--remedy",
        "orphaned-immutable-tag=keep",
        "--remedy",
        "immutable-tag-with-expiry=clear-expiry",
    ]);
    let run = journey.apply();
    assert_eq!(run["applied"], 301);
    journey.check(&[]).expect_status(0);
}

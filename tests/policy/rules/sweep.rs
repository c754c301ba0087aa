//! Rules 10 and 12: what came late, what was taken off, and how a scope is walked.

use testkit::moments::{AFTER_ACTIVATION, AFTER_COMMIT, BEFORE_ACTIVATION};

use super::{CREATE, held, immutable, immutable_in, insert, log_push, take_off};
use crate::mutant::rule;
use crate::policy::scene::{Scene, policy};

#[test]
fn rule_10_what_an_administrator_took_off_meanwhile_stays_off() {
    rule("taken-off", |on| {
        let scene = Scene::small();
        let (hold, run) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        scene.sql("UPDATE tag SET immutable = false WHERE name = 'v1.2' AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(
            scene.count("SELECT count(*) FROM tag WHERE name = 'v1.2' AND NOT immutable") == 1,
            on
        );
    });
}

/// More tags than the first batch takes: a cursor follows when all of them are done.
const TWO_BATCHES: &str = r#"
    seed = 4
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 300
"#;

#[test]
fn rule_10_what_was_taken_off_under_a_worker_that_died_stays_off_under_the_next() {
    rule("taken-off", |on| {
        let scene = Scene::of(TWO_BATCHES);
        scene.killed(AFTER_COMMIT, &policy(&CREATE));
        let marked = scene.count("SELECT count(*) FROM tag WHERE immutable");
        assert!((1..300).contains(&marked), "{marked} of 300");
        // Quay's log is kept elsewhere: the journal alone tells.
        scene.sql("UPDATE tag SET immutable = false WHERE id = (SELECT min(tag_id) FROM quay_doctor.tag_change)");
        scene.run(&policy(&CREATE)).expect_status(0);
        let mutable = scene.count("SELECT count(*) FROM tag WHERE NOT immutable");
        assert_eq!(mutable == 1, on, "{mutable} are mutable");
    });
}

#[test]
fn rule_10_what_an_administrator_took_off_a_tag_that_was_pushed_immutable_stays_off() {
    rule("taken-off-by-log", |on| {
        let scene = Scene::small();
        let (hold, run) = held(&scene, AFTER_ACTIVATION, &CREATE);
        // By the active policy; the journal knows nothing of it.
        let mut quay = scene.session();
        insert(&mut quay, "shop", "v99", true);
        log_push(&mut quay, "v99");
        take_off(&scene, "shop", "v99");
        // Set by a user before we came.
        take_off(&scene, "tool", "v7.1");
        // Its predecessor was taken off; this one was pushed by the policies as they were.
        take_off(&scene, "shop", "v98");
        insert(&mut quay, "shop", "v98", false);
        hold.release();
        run.end().expect_status(0);
        assert_eq!(immutable(&scene, "v99"), !on);
        assert_eq!(immutable(&scene, "v7.1"), !on);
        assert!(immutable(&scene, "v98"));
    });
}

#[test]
fn rule_10_the_sweep_finds_a_row_with_an_old_id_that_came_late() {
    rule("whole-sweep", |on| {
        let scene = Scene::small();
        // A push that had its id before the operation began, and commits after its first pass.
        let mut pusher = scene.session();
        pusher.run("BEGIN").expect("a transaction");
        insert(&mut pusher, "shop", "v99", false);
        let (hold, run) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        pusher.run("COMMIT").expect("a push");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(immutable(&scene, "v99"), on);
    });
}

#[test]
fn rule_12_a_small_scope_is_never_seen_half_done() {
    rule("small-at-once", |on| {
        let scene = Scene::small();
        // What everybody sees from the first COMMIT on that changes a tag.
        let (hold, run) = held(&scene, AFTER_COMMIT, &CREATE[..5]);
        assert!(immutable_in(&scene, "shop", "v1.1"));
        assert_eq!(immutable_in(&scene, "web", "v3.1"), on);
        assert_eq!(
            scene.count("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE NOT active"),
            i64::from(!on)
        );
        hold.release();
        run.end().expect_status(0);
    });
}

#[test]
fn rule_12_small_scopes_are_done_at_once_and_the_choice_is_told() {
    let scene = Scene::of(
        r#"
        seed = 3
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "v{n}"
        count = 501
        [[namespace.repository.tags]]
        name = "w{n}"
        count = 500
    "#,
    );
    assert_eq!(
        scene.create("w.*", &[]).expect_status(0).json()["strategy"],
        "atomic"
    );
    assert_eq!(
        scene.create("v.*", &[]).expect_status(0).json()["strategy"],
        "phased"
    );
}

//! Rules 10 and 12: what came late, what was taken off, and how a scope is walked.

use super::{CREATE, held_at, immutable, insert, on_and_off};
use crate::policy::scene::Scene;

#[test]
fn rule_10_what_an_administrator_took_off_meanwhile_stays_off() {
    on_and_off("taken-off", |switches, on| {
        let scene = Scene::small();
        let (hold, run) = held_at(&scene, "before-activation", switches, &CREATE);
        scene.sql("UPDATE tag SET immutable = false WHERE name = 'v1.2' AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(
            scene.count("SELECT count(*) FROM tag WHERE name = 'v1.2' AND NOT immutable") == 1,
            on
        );
    });
}

#[test]
fn rule_10_the_sweep_finds_a_row_with_an_old_id_that_came_late() {
    on_and_off("whole-sweep", |switches, on| {
        let scene = Scene::small();
        // A push that had its id before the operation began, and commits after its first pass.
        let mut pusher = scene.session();
        pusher.run("BEGIN").expect("a transaction");
        insert(&mut pusher, "shop", "v99", false);
        let (hold, run) = held_at(&scene, "before-activation", switches, &CREATE);
        pusher.run("COMMIT").expect("a push");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(immutable(&scene, "v99"), on);
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

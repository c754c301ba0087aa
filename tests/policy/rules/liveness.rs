//! Rule 7: who works, and who no longer may.

use testkit::moments::{AFTER_COMMIT, BEFORE_ACTIVATION};

use super::{CREATE, held};
use crate::mutant::rule;
use crate::policy::scene::Scene;

#[test]
fn rule_7_a_worker_whose_operation_was_taken_over_writes_nothing_more() {
    rule("fence", |on| {
        let scene = Scene::small();
        let (hold, run) = held(&scene, AFTER_COMMIT, &CREATE);
        let changed = scene.count("SELECT count(*) FROM quay_doctor.tag_change");
        scene.sql("UPDATE quay_doctor.operation SET fence = gen_random_uuid()");
        hold.release();
        let ended = run.end();
        assert_eq!(ended.status, if on { 3 } else { 0 }, "{ended:?}");
        assert_eq!(
            scene.count("SELECT count(*) FROM quay_doctor.tag_change") == changed,
            on
        );
    });
}

#[test]
fn rule_7_an_operation_whose_worker_lives_is_left_to_it() {
    rule("liveness", |on| {
        let scene = Scene::small();
        let (hold, run) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        let recovered = scene.run(&["recover", "--wait", "0s"]);
        assert_eq!(recovered.status, if on { 3 } else { 0 }, "{recovered:?}");
        hold.release();
        let ended = run.end();
        assert_eq!(ended.status, if on { 0 } else { 3 }, "{ended:?}");
        let active = scene.count(
            "SELECT count(*) FROM namespaceimmutabilitypolicy WHERE policy LIKE '%v.*%' AND active",
        );
        assert_eq!(active, if on { 2 } else { 1 }, "globex's, and ours");
    });
}

#[test]
fn rule_7_a_worker_that_is_frozen_is_ended_and_cannot_go_on_when_it_wakes() {
    let scene = Scene::small();
    let before = scene.state();
    let (hold, run) = held(&scene, AFTER_COMMIT.nth(2), &CREATE);
    run.signal("STOP");
    // It still holds its lock, and has not been heard of for a minute.
    scene
        .sql("UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '5 minutes'");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
    hold.release();
    run.signal("CONT");
    run.end().expect_status(3);
    assert_eq!(scene.state(), before);
}

#[test]
fn rule_7_a_worker_that_lost_its_connection_and_its_turn_stops() {
    let scene = Scene::small();
    let before = scene.state();
    let (hold, run) = held(&scene, AFTER_COMMIT.nth(2), &CREATE);
    scene.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    hold.release();
    run.end().expect_status(3);
    assert_eq!(scene.state(), before);
}

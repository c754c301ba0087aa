//! Whose clock says that a worker lives: the server's own, and only in recovery that of what it replays.

use quay_doctor::sandbox::StopMode;

use super::cut::{Bystander, CREATE, age_heartbeat, killed_before};
use super::failover::pair;
use super::scene::{MATCHING, SMALL, Scene, policy};
use crate::program::run_on;

/// Issue 17, case 1. The time of the last replayed transaction stands still from the promotion on: a heartbeat that is
/// newer than it never aged.
#[test]
fn a_worker_that_dies_on_a_promoted_standby_is_not_taken_for_alive() {
    let Some((mut primary, standby)) = pair(SMALL) else {
        return;
    };
    // Something to replay: a time is known from the first commit on.
    let mut on_primary = Bystander::at(&primary.url("quay"));
    on_primary
        .0
        .run("UPDATE tag SET hidden = hidden")
        .expect("an update");
    standby.wait_until_caught_up().expect("the same rows");
    primary.stop(StopMode::Fast).expect("a stop");
    standby.promote().expect("a promotion");
    let url = standby.url("quay");
    let past = "pg_last_xact_replay_timestamp() < clock_timestamp() - interval '2 s'";
    Bystander::at(&url).wait_until(past);
    killed_before(&url, "web", &CREATE);
    // Just older than a worker may be that reconnects.
    age_heartbeat(&url, "16 s");
    run_on(&url, &["check"]).expect_status(1);
    run_on(&url, &["recover"]).expect_status(0);
    run_on(&url, &["check"]).expect_status(0);
    let created = run_on(&url, &policy(&CREATE)).expect_status(0).json();
    assert_eq!(created["tags_changed"], MATCHING, "{created}");
}

/// A server that takes over, and whose clock is behind that of the one before.
#[test]
fn a_heartbeat_from_the_future_is_no_sign_of_life() {
    let scene = Scene::small();
    let url = scene.db.url();
    killed_before(&url, "web", &CREATE);
    age_heartbeat(&url, "-1 h");
    scene.run(&["check"]).expect_status(1);
    scene.run(&["recover"]).expect_status(0);
    scene.check();
}

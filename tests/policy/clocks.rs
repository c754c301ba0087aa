//! Whose clock counts: the server's own says whether a worker lives, and only in recovery that of what it replays; and
//! where this host's clock and the server's are far apart, nothing is begun, and what depends on them is left alone.

use std::path::Path;

use quay_doctor::sandbox::StopMode;

use super::cut::{Bystander, CREATE, age_heartbeat, killed_before};
use super::failover::pair;
use super::scene::{GLOBEX, MATCHING, SMALL, Scene, policy};
use crate::program::{Ended, ended, run_on};
use testkit::skipped;

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

/// Where libfaketime is, which makes a program believe in another time.
pub fn libfaketime() -> Option<String> {
    let stated = std::env::var("QUAY_DOCTOR_FAKETIME").ok();
    let places = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib64/faketime/libfaketime.so.1",
    ];
    let mut places = stated.into_iter().chain(places.map(str::to_owned));
    let found = places.find(|place| Path::new(place).exists());
    if found.is_none() {
        skipped("there is no libfaketime on this machine");
    }
    found
}

/// Runs the program on a host whose clock is off by so much.
fn run_off_by(scene: &Scene, library: &str, offset: &str, args: &[&str]) -> Ended {
    let mut command = scene.command(args);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    ended(&mut command)
}

/// Issue 17, case 6: a creation ended with 0, and matching tags that expire within 40 days stayed mutable.
#[test]
fn nothing_is_begun_on_a_host_whose_clock_is_far_from_the_servers() {
    let Some(library) = libfaketime() else { return };
    let scene = Scene::small();
    // Something to fix, too.
    scene.sql("UPDATE tag SET immutable = false WHERE name = 'v5.1'");
    let before = scene.state();
    let update = [
        "update",
        GLOBEX,
        "--pattern",
        "w.*",
        "--unmatched-tags",
        "keep",
    ];
    let delete = ["delete", GLOBEX, "--tags", "release"];
    let fix = vec!["fix", "--apply", "--immutable-tags-can-expire", "false"];
    for offset in ["+40d", "-40d"] {
        for args in [
            policy(&CREATE),
            policy(&update),
            policy(&delete),
            fix.clone(),
        ] {
            let refused = run_off_by(&scene, &library, offset, &args).expect_status(2);
            for said in ["this host's clock says", "the server's", "apart"] {
                assert!(refused.stderr.contains(said), "{args:?}: {refused:?}");
            }
        }
    }
    assert_eq!(scene.state(), before);
    assert_eq!(scene.count("SELECT count(*) FROM quay_doctor.operation"), 0);
    let near = run_off_by(&scene, &library, "+20", &policy(&CREATE));
    near.expect_status(0);
}

/// v2.1 and v2.2 expire in 30 days: on a host that is 40 days ahead that seems to be past, and was not written back.
#[test]
fn a_recovery_leaves_what_depends_on_the_clock_and_names_it() {
    let Some(library) = libfaketime() else { return };
    let scene = Scene::small();
    let before = scene.state();
    killed_before(&scene.db.url(), "web", &CREATE);
    age_heartbeat(&scene.db.url(), "40 s");
    let left = run_off_by(&scene, &library, "+40d", &["recover"]).expect_status(3);
    for said in ["acme/shop:v2.1", "acme/shop:v2.2", "this host's clock says"] {
        assert!(left.stdout.contains(said), "{left:?}");
    }
    age_heartbeat(&scene.db.url(), "40 s");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

/// v4.1 in web expires in 10 days.
#[test]
fn a_creation_that_is_finished_by_a_host_whose_clock_is_off_leaves_what_depends_on_it() {
    let Some(library) = libfaketime() else { return };
    let scene = Scene::small();
    killed_before(&scene.db.url(), "web", &CREATE);
    age_heartbeat(&scene.db.url(), "40 s");
    let resume = ["recover", "--resume"];
    let left = run_off_by(&scene, &library, "+40d", &resume).expect_status(3);
    assert!(left.stdout.contains("acme/web:v4.1"), "{left:?}");
    let phase = scene.text("SELECT phase FROM quay_doctor.operation");
    assert_eq!(phase, "sweeping");
    age_heartbeat(&scene.db.url(), "40 s");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(
        scene.count("SELECT tags_changed FROM quay_doctor.operation"),
        MATCHING
    );
    scene.check();
}

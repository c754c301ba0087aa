//! A worker that dies at any point: what is left is finished or taken back, whole.
//!
//! Each test kills the worker at its first point, at its second, and so on, until a run gets
//! through; that is every point that there is.

use super::scene::{GLOBEX, Scene, policy};

/// How an operation that was killed goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Recover,
    Resume,
    RollBack,
    SameCommand,
}

const EVERY_WAY: [Then; 4] = [
    Then::Recover,
    Then::Resume,
    Then::RollBack,
    Then::SameCommand,
];

/// The fewest points that an operation has.
const FEWEST: u32 = 4;
const MOST: u32 = 200;

/// Kills a command everywhere, and goes on in every way.
fn killed_everywhere(scene: &Scene, args: &[&str], ways: &[Then]) {
    killed_in(&[], scene, args, ways);
}

/// The same with more in its environment.
fn killed_in(variables: &[(&str, &str)], scene: &Scene, args: &[&str], ways: &[Then]) {
    scene.save();
    let before = scene.state();
    scene.run(&policy(args)).expect_status(0);
    let undisturbed = scene.state();
    assert_ne!(before, undisturbed, "it does something");
    for way in ways {
        let mut died = 0;
        for nth in 1..MOST {
            scene.reset();
            let at = format!("any:{nth}");
            let mut all = variables.to_vec();
            all.push(("QUAY_DOCTOR_KILL_AT", &at));
            let ended = scene.run_with(&all, &policy(args));
            if ended.status == 0 {
                break;
            }
            assert_eq!(ended.status, -1, "{ended:#?}");
            died = nth;
            scene.bury();
            goes_on(scene, args, *way, nth, [&before, &undisturbed]);
        }
        assert!((FEWEST..MOST - 1).contains(&died), "{way:?}: {died} points");
    }
}

fn goes_on(scene: &Scene, args: &[&str], way: Then, nth: u32, ends: [&String; 2]) {
    let [before, undisturbed] = ends;
    let what = format!("{way:?} after a kill at point {nth} of {args:?}");
    let left = scene
        .text("SELECT string_agg(phase, ',') FROM quay_doctor.operation WHERE finished_at IS NULL");
    let half = scene.state();
    let status = if left.is_empty() { 0 } else { 3 };
    scene.run(&["recover", "--list"]).expect_status(status);
    assert_eq!(scene.state(), half, "--list only looks: {what}");
    let ended = match way {
        Then::Recover => scene.run(&["recover"]).expect_status(0),
        Then::Resume => scene.run(&["recover", "--resume"]).expect_status(0),
        Then::RollBack => scene.run(&["recover", "--roll-back"]).expect_status(0),
        Then::SameCommand => scene.run(&policy(args)),
    };
    let state = scene.state();
    let never_ran = match way {
        // Nothing was left: it had not begun, or had ended.
        _ if left.is_empty() && way != Then::SameCommand => half == *before,
        Then::Recover | Then::RollBack => left == "applying" || left == "undoing",
        Then::Resume | Then::SameCommand => false,
    };
    if way == Then::SameCommand {
        // What had ended is refused as there already, or gone; everything else is done now.
        let ended_before = left.is_empty() && half == *undisturbed;
        assert_eq!(
            ended.status,
            if ended_before { 2 } else { 0 },
            "{what} {ended:#?}"
        );
    }
    let wanted = if never_ran { before } else { undisturbed };
    assert_eq!(state, *wanted, "{what}, left {left:?}");
    assert_eq!(scene.unfinished(), 0, "{what}");
    scene.run(&["recover"]).expect_status(0);
    scene.run(&["recover", "--list"]).expect_status(0);
    assert_eq!(
        scene.state(),
        state,
        "a second recovery changes nothing: {what}"
    );
}

const PHASED: [&str; 9] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
    // One row a batch, after the first.
    "--batch-time",
    "1us",
];

#[test]
fn a_phased_creation_that_is_killed_anywhere_is_recovered_whole() {
    killed_everywhere(&Scene::small(), &PHASED, &[Then::Recover, Then::RollBack]);
}

#[test]
fn a_creation_by_several_sessions_that_is_killed_anywhere_is_recovered_whole() {
    let mut args = PHASED.to_vec();
    args.extend(["--jobs", "3"]);
    let at_once = [("QUAY_DOCTOR_HANDS_AFTER", "0")];
    let ways = [Then::Recover, Then::Resume];
    killed_in(&at_once, &Scene::small(), &args, &ways);
}

#[test]
fn a_phased_creation_that_is_killed_anywhere_is_resumed_to_its_end() {
    killed_everywhere(&Scene::small(), &PHASED, &[Then::Resume, Then::SameCommand]);
}

#[test]
fn an_atomic_creation_that_is_killed_anywhere_is_recovered_whole() {
    let args = [
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "atomic",
    ];
    killed_everywhere(&Scene::small(), &args, &EVERY_WAY);
}

#[test]
fn a_repositorys_creation_that_is_killed_anywhere_is_recovered_whole() {
    let args = [
        "create",
        "--namespace",
        "acme",
        "--repository",
        "tool",
        "--not-matching",
        "--pattern",
        "night.*",
        "--strategy",
        "phased",
    ];
    killed_everywhere(&Scene::small(), &args, &EVERY_WAY);
}

/// An inactive policy in acme, and its uuid.
fn staged(scene: &Scene) -> String {
    scene.create("v.*", &["--inactive"]).expect_status(0).json()["policy"]
        .as_str()
        .expect("a uuid")
        .to_owned()
}

#[test]
fn an_activation_that_is_killed_anywhere_is_recovered_whole() {
    let scene = Scene::small();
    let uuid = staged(&scene);
    scene.sql("DELETE FROM quay_doctor.operation");
    let args = [
        "activate",
        &uuid,
        "--strategy",
        "phased",
        "--batch-time",
        "1us",
    ];
    killed_everywhere(&scene, &args, &EVERY_WAY);
}

#[test]
fn an_update_that_releases_and_is_killed_anywhere_is_recovered_whole() {
    let scene = Scene::small();
    let args = [
        "update",
        GLOBEX,
        "--pattern",
        "(latest|v1.*)",
        "--unmatched-tags",
        "release",
    ];
    killed_everywhere(&scene, &args, &[Then::Recover, Then::Resume]);
}

#[test]
fn an_update_that_releases_and_is_killed_anywhere_is_finished_by_the_same_command() {
    let scene = Scene::small();
    let args = [
        "update",
        GLOBEX,
        "--pattern",
        "(latest|v1.*)",
        "--unmatched-tags",
        "release",
    ];
    killed_everywhere(&scene, &args, &[Then::SameCommand, Then::RollBack]);
}

#[test]
fn an_update_that_keeps_and_is_killed_anywhere_is_recovered_whole() {
    let scene = Scene::small();
    let args = [
        "update",
        GLOBEX,
        "--pattern",
        "(latest|v1.*)",
        "--unmatched-tags",
        "keep",
    ];
    killed_everywhere(&scene, &args, &[Then::Recover, Then::Resume]);
}

#[test]
fn a_deletion_that_is_killed_anywhere_is_finished() {
    let scene = Scene::small();
    let args = ["delete", GLOBEX, "--tags", "release", "--batch-time", "1us"];
    killed_everywhere(&scene, &args, &EVERY_WAY);
}

#[test]
fn a_deactivation_that_is_killed_anywhere_is_finished() {
    let scene = Scene::small();
    let args = ["deactivate", GLOBEX, "--yes", "--tags", "release"];
    killed_everywhere(&scene, &args, &EVERY_WAY);
}

#[test]
fn a_roll_back_that_is_killed_anywhere_is_finished() {
    // The deletion of the policy row is on disk, the tags are not yet as before.
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    let killed = [("QUAY_DOCTOR_KILL_AT", "before-activation")];
    let mut died = 0;
    for nth in 1..MOST {
        scene.reset();
        scene.run_with(&killed, &policy(&PHASED)).expect_status(-1);
        scene.bury();
        let at = format!("any:{nth}");
        let ended = scene.run_with(&[("QUAY_DOCTOR_KILL_AT", &at)], &["recover"]);
        if ended.status == 0 {
            break;
        }
        ended.expect_status(-1);
        died = nth;
        scene.bury();
        if nth % 2 == 0 {
            scene.run(&["recover"]).expect_status(0);
            assert_eq!(scene.state(), before, "point {nth}");
        } else {
            // The same command finishes the undoing, and then creates.
            scene.run(&policy(&PHASED)).expect_status(0);
            assert_eq!(
                scene.count("SELECT count(*) FROM tag WHERE immutable AND name LIKE 'v%'"),
                20
            );
        }
        assert_eq!(scene.unfinished(), 0, "point {nth}");
    }
    assert!(died > 3, "{died} points");
}

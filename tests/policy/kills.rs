//! A worker that dies at any point: what is left is finished or taken back, whole.
//!
//! Each test kills the worker before each COMMIT goes out, and before its answer comes back: these are the
//! states that the server can tell apart. What it finds after the answer to one COMMIT it finds before
//! the next one as well, so that those two go on in different ways.

use testkit::moments::{BEFORE_ACTIVATION, Boundary, telling_commits};

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

/// The fewest COMMITs that an operation has.
const FEWEST: usize = 3;
/// A short operation has no more boundaries.
const SHORT: usize = 8;

/// Before and after each telling COMMIT of a command.
fn boundaries(commits: &[Vec<String>]) -> Vec<Boundary> {
    telling_commits(commits)
        .into_iter()
        .flat_map(|nth| [Boundary::before(nth), Boundary::after(nth)])
        .collect()
}

/// Kills a command everywhere, and goes on in these ways in turn; from the few states of a short
/// operation in all of them.
fn killed_everywhere(scene: &Scene, args: &[&str], ways: &[Then]) {
    scene.save();
    let before = scene.state();
    let commits = scene.commits(&policy(args));
    let undisturbed = scene.state();
    assert_ne!(before, undisturbed, "it does something");
    assert!(commits.len() >= FEWEST, "{} COMMITs", commits.len());
    let boundaries = boundaries(&commits);
    let rounds = if boundaries.len() <= SHORT {
        ways.len() / 2
    } else {
        1
    };
    for round in 0..rounds {
        for (nth, boundary) in boundaries.iter().copied().enumerate() {
            scene.reset();
            if killed_at(scene, boundary, args) {
                let way = ways[(nth + 2 * round) % ways.len()];
                goes_on(scene, args, way, boundary, [&before, &undisturbed]);
            } else {
                // Several sessions do not always commit as often.
                assert!(args.contains(&"--jobs"), "never reached {boundary:?}");
            }
        }
    }
}

/// Kills a command at a boundary, where it comes to it.
fn killed_at(scene: &Scene, boundary: Boundary, args: &[&str]) -> bool {
    let proxy = scene.proxy();
    let hold = boundary.hold(&proxy);
    let mut run = scene.start_behind(proxy, &policy(args));
    if !run.reaches(&hold) {
        run.end().expect_status(0);
        return false;
    }
    run.kill();
    scene.bury();
    true
}

fn goes_on(scene: &Scene, args: &[&str], way: Then, at: Boundary, ends: [&String; 2]) {
    let [before, undisturbed] = ends;
    let what = format!("{way:?} after a kill at {at:?} of {args:?}");
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
    killed_everywhere(&Scene::small(), &args, &[Then::Recover, Then::Resume]);
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
        "--batch-time",
        "1us",
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
        "--batch-time",
        "1us",
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
        "--batch-time",
        "1us",
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
        "--batch-time",
        "1us",
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
    let release = ["--tags", "release", "--batch-time", "1us"];
    let args = [&["deactivate", GLOBEX, "--yes"], &release[..]].concat();
    killed_everywhere(&scene, &args, &EVERY_WAY);
}

/// As many batches on a slow machine as on a fast one.
const RECOVER: [&str; 3] = ["recover", "--batch-time", "10s"];

#[test]
fn a_roll_back_that_is_killed_anywhere_is_finished() {
    // The deletion of the policy row is on disk, the tags are not yet as before.
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    let commits = {
        scene.killed(BEFORE_ACTIVATION, &policy(&PHASED));
        scene.commits(&RECOVER)
    };
    assert!(commits.len() >= FEWEST, "{} COMMITs", commits.len());
    for (nth, boundary) in boundaries(&commits).into_iter().enumerate() {
        scene.reset();
        scene.killed(BEFORE_ACTIVATION, &policy(&PHASED));
        let proxy = scene.proxy();
        let hold = boundary.hold(&proxy);
        let mut run = scene.start_behind(proxy, &RECOVER);
        run.reach(&hold, "a COMMIT of the recovery");
        run.kill();
        scene.bury();
        if nth % 2 == 0 {
            scene.run(&["recover"]).expect_status(0);
            assert_eq!(scene.state(), before, "{boundary:?}");
        } else {
            // The same command finishes the undoing, and then creates.
            scene.run(&policy(&PHASED)).expect_status(0);
            assert_eq!(
                scene.count("SELECT count(*) FROM tag WHERE immutable AND name LIKE 'v%'"),
                20
            );
        }
        assert_eq!(scene.unfinished(), 0, "{boundary:?}");
    }
}

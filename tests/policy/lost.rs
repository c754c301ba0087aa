//! A connection that is lost at any point: the command waits for the server, finds out what of its
//! work is there, and ends as if nothing had happened.

use testkit::moments::{Boundary, telling_commits};
use testkit::proxy::{Effect, Rule};

use super::scene::{GLOBEX, Scene, policy};

/// Loses the connection before each COMMIT goes out, and before its answer comes back.
fn lost_everywhere(args: &[&str]) {
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    let commits = scene.commits(&policy(args));
    let undisturbed = scene.state();
    assert_ne!(before, undisturbed, "it does something");
    for nth in telling_commits(&commits) {
        for boundary in [Boundary::before(nth), Boundary::after(nth)] {
            scene.reset();
            let proxy = scene.proxy();
            proxy.arm(Rule {
                when: boundary.when(),
                effect: Effect::Cut,
            });
            let mut run = scene.start_behind(proxy, &policy(args));
            let ended = run.wait();
            assert_eq!(run.proxy().struck(), 1, "{boundary:?}");
            assert_eq!(ended.status, 0, "{boundary:?} of {args:?}: {ended:#?}");
            assert_eq!(scene.state(), undisturbed, "{boundary:?} of {args:?}");
            assert_eq!(scene.unfinished(), 0);
        }
    }
}

#[test]
fn a_connection_lost_at_any_point_of_a_phased_creation_is_made_up_for() {
    lost_everywhere(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
        "--batch-time",
        "1us",
    ]);
}

#[test]
fn a_connection_lost_at_any_point_of_an_atomic_creation_is_made_up_for() {
    lost_everywhere(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "atomic",
    ]);
}

#[test]
fn a_connection_lost_at_any_point_of_an_update_is_made_up_for() {
    lost_everywhere(&[
        "update",
        GLOBEX,
        "--pattern",
        "(latest|v1.*)",
        "--unmatched-tags",
        "release",
        "--batch-time",
        "1us",
    ]);
}

#[test]
fn a_connection_lost_at_any_point_of_a_deletion_is_made_up_for() {
    lost_everywhere(&["delete", GLOBEX, "--tags", "keep"]);
    lost_everywhere(&["delete", GLOBEX, "--tags", "release", "--batch-time", "1us"]);
}

#[test]
fn a_connection_lost_at_any_point_of_a_deactivation_is_made_up_for() {
    let release = ["--tags", "release", "--batch-time", "1us"];
    lost_everywhere(&[&["deactivate", GLOBEX, "--yes"], &release[..]].concat());
}

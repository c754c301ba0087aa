//! A connection that is lost at any point: the command waits for the server, finds out what of its
//! work is there, and ends as if nothing had happened.

use super::scene::{GLOBEX, Hold, Scene, policy};

/// Ends every connection of the program's to this database.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND application_name = 'quay-doctor'";

/// Loses the connection at a command's first point, at its second, and so on, until a run gets
/// through unharmed.
fn lost_everywhere(args: &[&str]) {
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    scene.policy(args).expect_status(0);
    let undisturbed = scene.state();
    assert_ne!(before, undisturbed, "it does something");
    let mut lost = 0;
    for nth in 1..200 {
        scene.reset();
        let hold = Hold::at(&format!("any:{nth}"));
        let variable = hold.variable();
        let mut run = scene.start(&[("QUAY_DOCTOR_HOLD_AT", &variable)], &policy(args));
        if !hold.reached(&mut run) {
            run.end().expect_status(0);
            break;
        }
        assert!(scene.count(CUT) > 0, "point {nth}");
        hold.release();
        let ended = run.end();
        assert_eq!(ended.status, 0, "point {nth} of {args:?}: {ended:#?}");
        assert_eq!(scene.state(), undisturbed, "point {nth} of {args:?}");
        assert_eq!(scene.unfinished(), 0);
        lost = nth;
    }
    assert!(lost >= 2, "{lost} points");
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
    ]);
}

#[test]
fn a_connection_lost_at_any_point_of_a_deletion_is_made_up_for() {
    lost_everywhere(&["delete", GLOBEX, "--tags", "keep"]);
    lost_everywhere(&["delete", GLOBEX, "--tags", "release"]);
}

#[test]
fn a_connection_lost_at_any_point_of_a_deactivation_is_made_up_for() {
    lost_everywhere(&["deactivate", GLOBEX, "--yes", "--tags", "release"]);
}

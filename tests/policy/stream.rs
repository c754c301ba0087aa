//! Operations whose network loses the answer to a COMMIT, or ends after any byte.
//!
//! The answer to each COMMIT of an operation is lost once, in a run of its own: at begin, at each
//! batch, at activation, in the sweep, at the end, and in a roll-back.

use testkit::proxy::{FaultProxy, Rule, Traffic, Way};

use super::scene::{GLOBEX, Scene, policy};
use crate::program::{Ended, run_on};
use crate::scale::cases;

/// A scene behind a proxy.
struct Behind {
    scene: Scene,
    proxy: FaultProxy,
    before: String,
}

impl Behind {
    fn of(scene: Scene) -> Self {
        let proxy = FaultProxy::before(&scene.db.tcp_url()).expect("a proxy");
        scene.save();
        let before = scene.state();
        Self {
            scene,
            proxy,
            before,
        }
    }

    fn run(&self, args: &[&str]) -> Ended {
        run_on(&self.proxy.url(), &policy(args))
    }

    /// What an undisturbed run sends and leaves.
    fn undisturbed(&self, args: &[&str], status: i32) -> (Traffic, String) {
        self.scene.reset();
        self.proxy.forget_traffic();
        self.run(args).expect_status(status);
        (self.proxy.traffic(), self.scene.state())
    }

    /// Loses the answer to each COMMIT in turn; the end is the same as undisturbed.
    fn loses_each_answer(&self, args: &[&str], status: i32, fewest: u64) {
        let (traffic, undisturbed) = self.undisturbed(args, status);
        let commits = traffic.statements_with("COMMIT");
        assert!(commits >= fewest, "{commits} COMMITs: {args:?}");
        for nth in 1..=commits {
            self.scene.reset();
            self.proxy.disarm();
            let struck = self.proxy.struck();
            self.proxy.arm(Rule::lost_commit(nth));
            let ended = self.run(args);
            // A heartbeat while it waited may have been one COMMIT more.
            let lost = self.proxy.struck() == struck + 1;
            assert!(lost || nth > fewest, "{ended:#?}");
            let what = format!("answer {nth} of {commits} of {args:?}: {ended:#?}");
            assert_eq!(ended.status, status, "{what}");
            assert_eq!(self.scene.state(), undisturbed, "{what}");
            assert_eq!(self.scene.unfinished(), 0, "{what}");
        }
    }
}

const CREATE: [&str; 5] = ["create", "--namespace", "acme", "--pattern", "v.*"];

fn phased<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut all = args.to_vec();
    all.extend(["--strategy", "phased", "--batch-time", "1us"]);
    all
}

#[test]
fn a_phased_creation_survives_the_loss_of_any_answer_to_a_commit() {
    let behind = Behind::of(Scene::small());
    behind.loses_each_answer(&phased(&CREATE), 0, 6);
}

#[test]
fn an_atomic_creation_survives_the_loss_of_any_answer_to_a_commit() {
    let behind = Behind::of(Scene::small());
    let mut args = CREATE.to_vec();
    args.extend(["--strategy", "atomic"]);
    behind.loses_each_answer(&args, 0, 3);
}

#[test]
fn an_update_survives_the_loss_of_any_answer_to_a_commit() {
    let behind = Behind::of(Scene::small());
    for tags in ["release", "keep"] {
        let args = [
            "update",
            GLOBEX,
            "--pattern",
            "(latest|v1.*)",
            "--unmatched-tags",
            tags,
        ];
        behind.loses_each_answer(&args, 0, 5);
    }
}

#[test]
fn a_deletion_survives_the_loss_of_any_answer_to_a_commit() {
    let behind = Behind::of(Scene::small());
    behind.loses_each_answer(&["delete", GLOBEX, "--tags", "release"], 0, 4);
    behind.loses_each_answer(&["delete", GLOBEX, "--tags", "keep"], 0, 1);
}

#[test]
fn a_deactivation_survives_the_loss_of_any_answer_to_a_commit() {
    let behind = Behind::of(Scene::small());
    let args = ["deactivate", GLOBEX, "--yes", "--tags", "release"];
    behind.loses_each_answer(&args, 0, 4);
}

#[test]
fn a_roll_back_survives_the_loss_of_any_answer_to_a_commit() {
    let behind = Behind::of(Scene::small());
    behind.scene.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON tag FOR EACH ROW
             WHEN (NEW.immutable AND NEW.name = 'v3.1') EXECUTE FUNCTION refuse()",
    );
    behind.loses_each_answer(&phased(&CREATE), 3, 5);
    assert_eq!(behind.scene.state(), behind.before);
}

/// Cuts the stream at random places of an operation; it ends as undisturbed, or was never begun.
fn cut_anywhere(behind: &Behind, args: &[&str]) {
    let (traffic, undisturbed) = behind.undisturbed(args, 0);
    assert_ne!(undisturbed, behind.before);
    let mut random = fastrand::Rng::with_seed(7);
    let mut struck = 0;
    for (way, bytes) in [
        (Way::ToServer, traffic.to_server),
        (Way::ToProgram, traffic.to_program),
    ] {
        for _ in 0..cases(12) {
            let after = random.u64(0..bytes);
            behind.scene.reset();
            behind.proxy.disarm();
            let before = behind.proxy.struck();
            behind.proxy.arm(Rule::cut_after(way, after));
            let ended = behind.run(args);
            struck += behind.proxy.struck() - before;
            let what = format!("{way:?} after byte {after} of {args:?}: {ended:#?}");
            let state = behind.scene.state();
            assert_eq!(behind.scene.unfinished(), 0, "{what}");
            if ended.status == 0 {
                assert_eq!(state, undisturbed, "{what}");
            } else {
                assert_eq!(state, behind.before, "{what}");
                assert_eq!(
                    behind
                        .scene
                        .count("SELECT count(*) FROM quay_doctor.operation"),
                    0,
                    "once begun it goes on: {what}"
                );
            }
        }
    }
    assert!(struck >= u64::from(cases(12)), "{struck} cuts");
}

#[test]
fn a_creation_whose_stream_is_cut_after_any_byte_goes_on_or_was_never_begun() {
    cut_anywhere(&Behind::of(Scene::small()), &phased(&CREATE));
}

#[test]
fn an_update_whose_stream_is_cut_after_any_byte_goes_on_or_was_never_begun() {
    let args = [
        "update",
        GLOBEX,
        "--pattern",
        "(latest|v1.*)",
        "--unmatched-tags",
        "release",
    ];
    cut_anywhere(&Behind::of(Scene::small()), &args);
}

#[test]
fn a_deletion_whose_stream_is_cut_after_any_byte_goes_on_or_was_never_begun() {
    let args = ["delete", GLOBEX, "--tags", "release"];
    cut_anywhere(&Behind::of(Scene::small()), &args);
}

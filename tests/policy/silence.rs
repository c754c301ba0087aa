//! A server that falls silent under an operation: its connection is open, and nothing comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quay_doctor::config::AnswerLimit;
use quay_doctor::journal::Identity;
use quay_doctor::policy::{
    Create, Ended, NewPattern, Pick, PolicyOptions, Strategy, Watcher, create,
};
use quay_doctor::quay::Polarity;
use quay_doctor::{ConnectionSettings, Phase, Stated};
use testkit::proxy::{Effect, FaultProxy, Heal, Rule};

use super::scene::{MATCHING, Scene};

/// How long the proxy keeps its silence where nobody gives up waiting.
const FOR_EVER: Duration = Duration::from_secs(60);

struct Nobody;

impl Watcher for Nobody {
    fn expected(&mut self, _: u64) {}
    fn reached(&mut self, _: Phase, _: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}

fn request() -> Create {
    Create {
        pick: Pick {
            namespace: "acme".to_owned(),
            repository: None,
        },
        new: NewPattern {
            pattern: "v.*".to_owned(),
            polarity: Polarity::Matching,
            allow_slow: false,
        },
        inactive: false,
        if_absent: false,
    }
}

fn options() -> PolicyOptions {
    let mut options = PolicyOptions::new(Identity {
        actor: "tester".to_owned(),
        reason: None,
        worker: "a test".to_owned(),
    });
    options.features.can_expire = Stated::Off;
    options.strategy = Strategy::Phased;
    options
}

/// Waits until somebody has given the silent connection up and comes anew, and then ends it, as a
/// server does that notices at last; whether somebody came.
fn end_once_given_up(proxy: &FaultProxy, ended: &AtomicBool) -> bool {
    let begun = Instant::now();
    let mut silent_at = None;
    while begun.elapsed() < FOR_EVER && !ended.load(Ordering::Relaxed) {
        if proxy.struck() == 1 {
            let connections = proxy.traffic().connections;
            if connections > *silent_at.get_or_insert(connections) {
                proxy.heal(Heal::End);
                return true;
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    proxy.heal(Heal::End);
    false
}

#[test]
fn an_operation_leaves_a_silent_server_and_goes_on_with_one_that_answers() {
    // Before a batch has done anything, after it has, and where its commit may have come through.
    for rule in [
        Rule::lost_statement("WITH locked", 2),
        Rule::lost_answer("WITH locked", 2),
        Rule::lost_answer("COMMIT", 3),
    ] {
        let scene = Scene::small();
        let proxy = FaultProxy::before(&scene.db.tcp_url()).expect("a proxy");
        let settings = ConnectionSettings::resolve(Some(&proxy.url())).expect("settings");
        let settings = settings.with_answer_limit(AnswerLimit::Each(Duration::from_secs(1)));
        proxy.arm(rule.clone().with(Effect::BlackHole));
        let ended = AtomicBool::new(false);
        let (outcome, given_up) = thread::scope(|scope| {
            let other = scope.spawn(|| end_once_given_up(&proxy, &ended));
            let outcome = create(&settings, &request(), &options(), &mut Nobody);
            ended.store(true, Ordering::Relaxed);
            (outcome, other.join().expect("no panic"))
        });
        let outcome = outcome.unwrap_or_else(|error| panic!("{rule:?}: {error:?}"));
        assert!(given_up, "{rule:?}: nobody gave the connection up");
        assert_eq!(outcome.ended, Ended::Done, "{rule:?}");
        let marked = "SELECT count(*) FROM quay_doctor.tag_change WHERE immutable_after";
        assert_eq!(scene.count(marked), MATCHING, "{rule:?}");
        let check = ["check", "--namespace", "acme", "--rule", "unprotected-tag"];
        scene.run(&check).expect_status(0);
    }
}

//! A pool without a connection left, which ends whoever waits too long (`query_wait_timeout`): an
//! operation in the middle waits and goes on, or is left whole for `recover`.

use std::time::{Duration, Instant};

use quay_doctor::pg::WriteSession;
use testkit::moments::{AFTER_ACTIVATION, AFTER_COMMIT, BEFORE_COMMIT, BETWEEN_SWEEPS, Moment};
use testkit::proxy::FaultProxy;

use super::bouncer::Bouncer;
use crate::policy::running::Running;
use crate::policy::scene::{MATCHING, Scene, policy};
use crate::program::{self, run_on};

/// Two connections to the server: one for the worker, one that somebody else holds.
const TWO: &str = "pool_mode = session\ndefault_pool_size = 2\nquery_wait_timeout = 1";

/// What PgBouncer logs of a client that has waited too long.
const TIMED_OUT: &str = "pooler error: query_wait_timeout";

/// Ends the worker's backend.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND application_name = 'quay-doctor' AND pid IN (
            SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2)";

/// A creation in the middle, whose pool has nothing left.
struct Starved {
    scene: Scene,
    bouncer: Bouncer,
    run: Running,
    holder: WriteSession,
}

impl Starved {
    /// Goes as far as a moment of a creation, and takes the worker's connection there; none where
    /// there is no PgBouncer.
    fn at(moment: Moment, more: &[&str]) -> Option<Self> {
        let scene = Scene::small();
        let bouncer = Bouncer::before(&scene.db.tcp_url(), TWO)?;
        let proxy = FaultProxy::before(&bouncer.url(scene.db.name())).expect("a proxy");
        let hold = moment.hold(&proxy);
        let (url, create) = (proxy.url(), create(more));
        let command = program::command(&[&["--database-url", &url][..], &create].concat());
        let mut run = Running::behind(proxy, command);
        run.reach(&hold, moment.name());
        let holder = bouncer
            .session(scene.db.name())
            .expect("the other connection");
        // The one that the worker loses is not given out again.
        bouncer.reload("default_pool_size = 2", "default_pool_size = 1");
        assert_eq!(scene.count(CUT), 1);
        let told = bouncer.times_logged(TIMED_OUT);
        hold.release();
        bouncer.wait_for_log(TIMED_OUT, told + 2);
        Some(Self {
            scene,
            bouncer,
            run,
            holder,
        })
    }
}

fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["create", "--namespace", "acme", "--pattern", "v.*"];
    args.extend(["--strategy", "phased", "--batch-time", "1us"]);
    args.extend(more);
    policy(&args)
}

#[test]
fn an_operation_waits_for_a_pool_that_has_nothing_left_and_goes_on() {
    for moment in [
        BEFORE_COMMIT.nth(3),
        AFTER_COMMIT.nth(3),
        AFTER_ACTIVATION,
        BETWEEN_SWEEPS,
    ] {
        let Some(starved) = Starved::at(moment, &[]) else {
            return;
        };
        let Starved {
            scene,
            run,
            bouncer,
            holder,
        } = starved;
        drop(holder);
        let created = run.end().expect_status(0).json();
        assert_eq!(
            created["tags_changed"],
            MATCHING,
            "{}: {created}",
            moment.name()
        );
        assert_eq!(scene.unfinished(), 0);
        let url = bouncer.url(scene.db.name());
        run_on(&url, &["recover", "--list"]).expect_status(0);
        scene.check();
    }
}

#[test]
fn an_operation_that_gives_the_pool_up_is_left_whole_for_recover() {
    for (moment, activated) in [(AFTER_COMMIT.nth(3), false), (AFTER_ACTIVATION, true)] {
        let Some(starved) = Starved::at(moment, &["--reconnect-for", "3s"]) else {
            return;
        };
        let Starved {
            scene,
            run,
            bouncer,
            holder,
        } = starved;
        let left = run.end().expect_status(3);
        assert!(left.stderr.contains("recover"), "{left:#?}");
        assert_eq!(scene.unfinished(), 1);
        drop(holder);
        let url = bouncer.url(scene.db.name());
        run_on(&url, &["recover", "--list"]).expect_status(3);
        scene.bury();
        run_on(&url, &["recover"]).expect_status(0);
        assert_eq!(scene.unfinished(), 0);
        let ours = "SELECT count(*) FROM namespaceimmutabilitypolicy WHERE uuid NOT LIKE '1111%'";
        assert_eq!(scene.count(ours), i64::from(activated), "{}", moment.name());
        scene.check();
    }
}

#[test]
fn before_anything_has_begun_a_pool_without_a_connection_is_told_at_once() {
    let scene = Scene::small();
    let one = TWO.replace("= 2", "= 1");
    let Some(bouncer) = Bouncer::before(&scene.db.tcp_url(), &one) else {
        return;
    };
    let _holder = bouncer
        .session(scene.db.name())
        .expect("the only connection");
    let before = scene.state();
    let url = bouncer.url(scene.db.name());
    for command in [create(&[]), vec!["check"], vec!["recover"]] {
        let refused = run_on(&url, &command).expect_status(3);
        assert!(refused.stderr.contains("pool_size"), "{refused:#?}");
    }
    assert_eq!(scene.state(), before);
    assert_eq!(scene.count("SELECT count(*) FROM quay_doctor.operation"), 0);
}

#[test]
fn a_hand_that_the_pool_makes_wait_holds_nobody_up() {
    let scene = Scene::small();
    let one = "pool_mode = session\ndefault_pool_size = 1\nquery_wait_timeout = 600";
    let Some(bouncer) = Bouncer::before(&scene.db.tcp_url(), one) else {
        return;
    };
    let url = bouncer.url(scene.db.name());
    let create = create(&["--jobs", "3"]);
    let mut command = program::command(&[&["--database-url", &url][..], &create].concat());
    let begun = Instant::now();
    let created = program::ended(&mut command).expect_status(0).json();
    // An answer is given up after 90 seconds, and the pool's after ten minutes.
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(created["tags_changed"], MATCHING, "{created}");
    assert_eq!(bouncer.times_logged(TIMED_OUT), 0);
    scene.check();
}

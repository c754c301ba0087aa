//! The server behind a pooler goes down in the middle of an operation and comes back, while the
//! pooler stays.

use quay_doctor::sandbox::{Cluster, StopMode};
use testkit::moments::{AFTER_ACTIVATION, AFTER_COMMIT, BEFORE_COMMIT};
use testkit::proxy::FaultProxy;

use super::bouncer::Bouncer;
use crate::policy::running::Running;
use crate::policy::scene::{MATCHING, SMALL, policy, registry_in};
use crate::program::{self, run_on};

#[test]
fn a_server_that_is_restarted_behind_a_pooler_finds_the_worker_going_on() {
    let mut cluster = Cluster::start().expect("a cluster");
    let Some(bouncer) = Bouncer::before(&cluster.tcp_url("postgres"), "pool_mode = session") else {
        return;
    };
    for (nth, mode, moment) in [
        (0, StopMode::Immediate, BEFORE_COMMIT.nth(3)),
        (1, StopMode::Fast, AFTER_COMMIT.nth(3)),
        (2, StopMode::Immediate, AFTER_ACTIVATION),
    ] {
        let database = format!("quay{nth}");
        registry_in(&cluster, &database, SMALL);
        let url = bouncer.url(&database);
        let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
        let phased = ["--strategy", "phased", "--batch-time", "1us"];
        let args = policy(&[&create[..], &phased].concat());
        let proxy = FaultProxy::before(&url).expect("a proxy");
        let hold = moment.hold(&proxy);
        let through = proxy.url();
        let command = program::command(&[&["--database-url", &through][..], &args].concat());
        let mut run = Running::behind(proxy, command);
        run.reach(&hold, moment.name());
        cluster.restart(mode).expect("a restart");
        hold.release();
        let created = run.end().expect_status(0).json();
        assert_eq!(
            created["tags_changed"],
            MATCHING,
            "{}: {created}",
            moment.name()
        );
        run_on(&url, &["recover", "--list"]).expect_status(0);
        run_on(&url, &["check"]).expect_status(0);
    }
}

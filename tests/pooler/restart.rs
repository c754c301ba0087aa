//! The server behind a pooler goes down in the middle of an operation and comes back, while the
//! pooler stays.

use quay_doctor::sandbox::{Cluster, StopMode};

use super::bouncer::Bouncer;
use crate::policy::scene::{Hold, MATCHING, Running, SMALL, policy, registry_in};
use crate::program::{self, run_on};

#[test]
fn a_server_that_is_restarted_behind_a_pooler_finds_the_worker_going_on() {
    let mut cluster = Cluster::start().expect("a cluster");
    let Some(bouncer) = Bouncer::before(&cluster.tcp_url("postgres"), "pool_mode = session") else {
        return;
    };
    for (nth, mode, point) in [
        (0, StopMode::Immediate, "before-commit:3"),
        (1, StopMode::Fast, "after-commit:3"),
        (2, StopMode::Immediate, "after-activation"),
    ] {
        let database = format!("quay{nth}");
        registry_in(&cluster, &database, SMALL);
        let url = bouncer.url(&database);
        let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
        let phased = ["--strategy", "phased", "--batch-time", "1us"];
        let args = policy(&[&create[..], &phased].concat());
        let hold = Hold::at(point);
        let mut command = program::command(&[&["--database-url", &url][..], &args].concat());
        command.env("QUAY_DOCTOR_HOLD_AT", hold.variable());
        let run = Running::start(command);
        hold.wait();
        cluster.restart(mode).expect("a restart");
        hold.release();
        let created = run.end().expect_status(0).json();
        assert_eq!(created["tags_changed"], MATCHING, "{point}: {created}");
        run_on(&url, &["recover", "--list"]).expect_status(0);
        run_on(&url, &["check"]).expect_status(0);
    }
}

//! Hosts that change their roles in the middle of an operation: a URL that names both is followed to
//! whichever accepts writes.

use quay_doctor::sandbox::{Cluster, Program, Programs, Standby, StopMode};
use testkit::moments::{AFTER_ACTIVATION, AFTER_COMMIT, BEFORE_COMMIT, Moment};
use testkit::proxy::FaultProxy;
use testkit::skipped;

use super::running::Running;
use super::scene::{MATCHING, SMALL, policy, registry_in};
use crate::program::{self, run_on};

/// A primary with a migrated world, and its standby; none where this package of PostgreSQL makes none.
pub fn pair(world: &str) -> Option<(Cluster, Standby)> {
    if !Programs::find()
        .expect("programs")
        .has(Program::PgBasebackup)
    {
        skipped("this package of PostgreSQL has no pg_basebackup");
        return None;
    }
    let mut primary = Cluster::start().expect("a cluster");
    registry_in(&primary, "quay", world);
    let standby = primary.standby().expect("a standby");
    standby.wait_until_caught_up().expect("the same rows");
    Some((primary, standby))
}

/// Both hosts in one URL, in this order.
pub fn both(first: &str, second: &str) -> String {
    let host = |url: &str| {
        let url = url::Url::parse(url).expect("a URL");
        format!("127.0.0.1:{}", url.port().expect("a port"))
    };
    let hosts = [host(first), host(second)].join(",");
    format!("postgresql://postgres@{hosts}/quay?target_session_attrs=read-write")
}

/// When the standby takes over: before the worker notices that the primary is gone, or after.
#[derive(Clone, Copy, PartialEq)]
enum Promoted {
    Before,
    After,
}

fn followed(moment: Moment, promoted: Promoted) {
    let Some((mut primary, standby)) = pair(SMALL) else {
        return;
    };
    let proxy = FaultProxy::before(&primary.tcp_url("quay")).expect("a proxy");
    let url = both(&proxy.url(), &standby.tcp_url("quay"));
    let hold = moment.hold(&proxy);
    let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
    let phased = ["--strategy", "phased", "--batch-time", "1us"];
    let args = policy(&[&create[..], &phased].concat());
    let command = program::command(&[&["--database-url", &url][..], &args].concat());
    let mut run = Running::behind(proxy, command);
    run.reach(&hold, moment.name());
    standby.wait_until_caught_up().expect("the same rows");
    primary.stop(StopMode::Immediate).expect("a stop");
    // Nothing listens there any more.
    run.proxy().close();
    match promoted {
        Promoted::Before => {
            standby.promote().expect("a promotion");
            hold.release();
        }
        Promoted::After => {
            hold.release();
            standby.promote().expect("a promotion");
        }
    }
    let created = run.end().expect_status(0).json();
    assert_eq!(
        created["tags_changed"],
        MATCHING,
        "{}: {created}",
        moment.name()
    );
    // The other way round leads to the same server.
    let url = both(&standby.tcp_url("quay"), &primary.tcp_url("quay"));
    run_on(&url, &["recover", "--list"]).expect_status(0);
    run_on(&url, &["check"]).expect_status(0);
}

#[test]
fn an_operation_in_the_middle_follows_its_hosts_through_a_failover() {
    followed(BEFORE_COMMIT.nth(3), Promoted::Before);
    followed(AFTER_COMMIT.nth(3), Promoted::Before);
}

#[test]
fn an_operation_waits_for_a_standby_that_is_promoted_later() {
    followed(AFTER_COMMIT.nth(4), Promoted::After);
    followed(AFTER_ACTIVATION, Promoted::After);
}

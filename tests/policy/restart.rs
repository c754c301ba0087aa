//! A server that goes down in the middle, as if the power had failed.

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::sandbox::{Cluster, StopMode};
use testkit::moments::{AFTER_ACTIVATION, AFTER_COMMIT, BEFORE_COMMIT, BETWEEN_SWEEPS};
use testkit::proxy::FaultProxy;

use super::running::Running;
use super::scene::{SMALL, policy, registry_in};
use crate::program;

const CREATE: [&str; 9] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
    "--batch-time",
    "1us",
];

fn count(url: &str, sql: &str) -> i64 {
    let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .query_one(sql, &[])
        .expect("a row")
        .read(0)
        .expect("a bigint")
}

#[test]
fn a_server_that_is_stopped_at_once_and_comes_back_finds_the_worker_going_on() {
    let mut cluster = Cluster::start().expect("a cluster");
    for (nth, moment) in [
        BEFORE_COMMIT.nth(3),
        AFTER_COMMIT.nth(3),
        AFTER_ACTIVATION,
        BETWEEN_SWEEPS,
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("quay{nth}");
        registry_in(&cluster, &database, SMALL);
        let url = cluster.url(&database);
        let proxy = FaultProxy::before(&cluster.tcp_url(&database)).expect("a proxy");
        let hold = moment.hold(&proxy);
        let through = proxy.url();
        let mut args = vec!["--database-url", &through];
        args.extend(policy(&CREATE));
        let mut run = Running::behind(proxy, program::command(&args));
        run.reach(&hold, moment.name());
        cluster.restart(StopMode::Immediate).expect("a restart");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(
            count(
                &url,
                "SELECT count(*) FROM quay_doctor.operation WHERE phase <> 'done'"
            ),
            0
        );
        assert_eq!(
            count(
                &url,
                "SELECT count(*) FROM quay_doctor.tag_change WHERE immutable_after"
            ),
            11
        );
        program::run_on(&url, &["check"]).expect_status(0);
    }
}

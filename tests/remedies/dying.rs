//! The program killed at a moment, and known to be dead.

use std::time::{Duration, Instant};

use testkit::proxy::{FaultProxy, When};

use crate::line::stage::Stage;
use crate::policy::running::Running;

/// The program on a stage, behind a proxy.
fn behind(stage: &Stage, args: &[&str], arm: impl FnOnce(&FaultProxy)) -> Running {
    let proxy = FaultProxy::before(&stage.db.tcp_url()).expect("a proxy");
    arm(&proxy);
    let mut command = crate::program::command(&["--database-url", &proxy.url()]);
    command.args(args);
    Running::behind(proxy, command)
}

/// What each transaction of a command has run, in the order of their COMMITs; the command is carried out.
pub fn commits(stage: &Stage, args: &[&str]) -> Vec<Vec<String>> {
    let mut run = behind(stage, args, |_| {});
    run.wait().expect_status(0);
    run.proxy().traffic().commits
}

/// Kills a command at a moment.
#[track_caller]
pub fn kill(stage: &Stage, args: &[&str], when: When) {
    let name = format!("{when:?}");
    let mut hold = None;
    let mut run = behind(stage, args, |proxy| hold = Some(proxy.hold(when)));
    run.reach(&hold.expect("armed"), &name);
    run.kill();
    bury(stage);
}

/// The server notices that the connections are gone; then a heartbeat is no life sign any more.
fn bury(stage: &Stage) {
    let alive = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let begun = Instant::now();
    while stage.count(alive) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "a lock stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    stage.sql("UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '40 s'");
}

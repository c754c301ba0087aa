//! A worker says that it lives, wherever the work is: between repositories in which nothing is to be done, and in the
//! sweep's look at what is left.

use std::fmt::Write as _;
use std::time::Duration;

use testkit::proxy::{Effect, FaultProxy, Rule};

use super::cut::CREATE;
use super::running::Running;
use super::scene::{Scene, policy};
use crate::program;

/// Repositories without a tag.
const REPOSITORIES: u64 = 12;
/// So long the server takes for a look into one of them.
const SLOW: Duration = Duration::from_millis(1_500);
/// A worker says every five seconds that it lives; a look may be under way then.
const OLDEST_MS: i64 = 8_000;

/// Issue 17, case 10.
#[test]
fn a_creation_over_repositories_with_nothing_to_do_says_that_it_lives() {
    let mut world = String::from("seed = 3\n[[namespace]]\nname = \"acme\"\n");
    for number in 0..REPOSITORIES {
        let _ = writeln!(world, "[[namespace.repository]]\nname = \"r{number}\"");
    }
    let scene = Scene::of(&world);
    let proxy = FaultProxy::before(&scene.db.tcp_url()).expect("a proxy");
    for nth in 1..=9 {
        // The first look into each repository is before the operation begins.
        let page = Rule::lost_statement(
            "hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $3)",
            REPOSITORIES + nth,
        );
        proxy.arm(page.with(Effect::Delay(SLOW)));
        proxy.arm(Rule::lost_statement("AS \"few\"", nth).with(Effect::Delay(SLOW)));
    }
    let url = proxy.url();
    let args = [&["--database-url", &url][..], &policy(&CREATE)].concat();
    let mut run = Running::start(program::command(&args));
    scene.wait_for("SELECT count(*) FROM quay_doctor.operation");
    let mut oldest = 0;
    while !run.has_ended() {
        let age = "SELECT max(extract(epoch FROM clock_timestamp() - heartbeat_at) * 1000)::bigint FROM quay_doctor.operation";
        oldest = oldest.max(scene.count(age));
        std::thread::sleep(Duration::from_millis(100));
    }
    run.end().expect_status(0);
    assert_eq!(proxy.struck(), 18, "every look that was to be slow was");
    assert!(oldest < OLDEST_MS, "{oldest} ms without a sign");
}

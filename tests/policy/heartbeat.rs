//! A worker that reads for long and changes nothing says that it lives.

use std::thread;
use std::time::Duration;

use testkit::moments::{AFTER_BEGIN, PAGE_READ};

use super::scene::{Scene, policy};

/// Two pages of a walk, in which nothing matches.
const WORLD: &str = r#"
    seed = 6
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "build-{n}"
    count = 6000
"#;

/// Longer than a worker may go on without a sign.
const BEAT: Duration = Duration::from_millis(5_500);

#[test]
fn a_walk_through_tags_that_do_not_match_writes_heartbeats() {
    let scene = Scene::of(WORLD);
    let args = [
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ];
    // Pages are read before it begins, too.
    let (begun, mut run) = scene.held(AFTER_BEGIN, &policy(&args));
    let [first, second] = [1, 2].map(|nth| PAGE_READ.nth(nth).hold(run.proxy()));
    begun.release();
    let heartbeat = || {
        scene.count(
            "SELECT (extract(epoch FROM heartbeat_at) * 1000)::bigint FROM quay_doctor.operation",
        )
    };
    run.reach(&first, "the first page");
    let before = heartbeat();
    thread::sleep(BEAT);
    assert_eq!(heartbeat(), before, "it is held");
    first.release();
    run.reach(&second, "the second page");
    let since = heartbeat() - before;
    assert!(since >= 5_000, "{since} ms");
    second.release();
    run.end().expect_status(0);
}

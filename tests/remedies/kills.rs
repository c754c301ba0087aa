//! A run that dies while it conducts an operation, or takes one back: the same undo ends it whole.

use std::time::{Duration, Instant};

use super::journey::Journey;

/// The fewest points that an operation has, and more than it can have.
const FEWEST: u32 = 4;
const MOST: u32 = 60;

const CUT_OFF: &str = r#"
    seed = 40
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "latest"
"#;

/// A policy that a run deletes, and its undo brings back.
const MIRROR: &str = r#"
    seed = 41
    [[namespace]]
    name = "copies"
    source = "mirror"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
"#;

const RECREATE: [&str; 4] = [
    "--remedy",
    "orphaned-immutable-tag=recreate",
    "--pattern",
    "v.*",
];

fn journey() -> Journey {
    Journey::through(CUT_OFF, "", "orphaned-immutable-tag").with(&RECREATE)
}

/// Runs the program to the nth point of an operation; whether it died there.
fn killed(journey: &Journey, nth: u32, args: &[&str]) -> bool {
    let url = journey.stage.db.url();
    let mut all = vec!["--database-url", &url, "fix"];
    all.extend(args);
    all.extend(["--audit", "none", "--immutable-tags-can-expire", "false"]);
    let ended = crate::program::command(&all)
        .env("QUAY_DOCTOR_KILL_AT", format!("any:{nth}"))
        .output()
        .expect("the program");
    match ended.status.code() {
        Some(0) => false,
        None => true,
        Some(_) => panic!("{ended:?}"),
    }
}

/// The server notices that the connections are gone; then a heartbeat is no life sign any more.
fn bury(journey: &Journey) {
    let alive = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let begun = Instant::now();
    while journey.stage.count(alive) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "a lock stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    journey
        .stage
        .sql("UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '40 s'");
}

#[test]
fn a_run_that_dies_anywhere_in_an_operation_is_taken_back_whole() {
    let mut died = 0;
    for nth in 1..MOST {
        let journey = journey();
        let before = journey.dump();
        let mut args = vec!["--apply"];
        args.extend(RECREATE);
        if !killed(&journey, nth, &args) {
            break;
        }
        died = nth;
        bury(&journey);
        journey.undo(&serde_json::json!({ "run": 1 }));
        assert_eq!(journey.dump(), before, "killed at point {nth}");
        let unfinished = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";
        assert_eq!(journey.stage.count(unfinished), 0, "killed at point {nth}");
    }
    assert!((FEWEST..MOST - 1).contains(&died), "{died} points");
}

/// Kills the undo of a run everywhere, and runs it again.
fn undo_killed_everywhere(journey: impl Fn() -> Journey) {
    let mut died = 0;
    for nth in 1..MOST {
        let journey = journey();
        let before = journey.dump();
        let run = journey.apply();
        if !killed(&journey, nth, &["undo", &run["run"].to_string()]) {
            break;
        }
        died = nth;
        bury(&journey);
        // What it began comes first: an activation of its own is finished, or taken back.
        let recovered = journey.stage.run(&["recover", "--no-audit"]);
        recovered.expect_status(0);
        journey.undo(&run);
        assert_eq!(journey.dump(), before, "killed at point {nth}");
    }
    assert!((FEWEST..MOST - 1).contains(&died), "{died} points");
}

#[test]
fn an_undo_that_dies_while_it_takes_a_creation_back_is_ended_by_the_same_command() {
    undo_killed_everywhere(journey);
}

#[test]
fn an_undo_that_dies_while_it_brings_a_policy_back_is_ended_by_the_same_command() {
    undo_killed_everywhere(|| {
        Journey::through(MIRROR, "", "policy-on-mirror")
            .with(&["--remedy", "policy-on-mirror=delete"])
    });
}

//! A run that is cut short by a signal: before it has begun, or in its middle.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::pg::{Columns, Statements};
use quay_doctor::quay::{RepositoryId, retarget_lock_key};

use super::journey::Journey;
use crate::line::stage::RELEASE;

/// Orphans in two repositories: the first one's batch goes through, the second's waits.
const TWO: &str = r#"
    seed = 60
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 5
    immutable = true
    [[namespace.repository]]
    name = "site"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 7
    immutable = true
"#;

/// What a loaded machine may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a number is as wanted.
#[track_caller]
fn until(journey: &Journey, what: &str, sql: &str, wanted: impl Fn(i64) -> bool) -> i64 {
    let begun = Instant::now();
    loop {
        let number = journey.stage.count(sql);
        if wanted(number) {
            return number;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run that has released the first repository's tags, killed while it waits for the second's lock.
fn killed_between_two_repositories() -> (Journey, String) {
    let journey = Journey::through(TWO, "", "orphaned-immutable-tag");
    let before = journey.dump();
    let mut pusher = journey.stage.session();
    let second = pusher
        .query_one("SELECT id FROM repository WHERE name = 'site'", &[])
        .expect("a repository")
        .read::<i32>(0)
        .expect("an id");
    let key = retarget_lock_key(RepositoryId(second));
    pusher
        .query("SELECT pg_advisory_lock($1)", &[&key])
        .expect("Quay's lock");
    let url = journey.stage.db.url();
    let args = [
        "--database-url",
        &url,
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
    ];
    let mut command: Command = crate::program::command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = Running(command.spawn().expect("the program"));
    let waiting = "SELECT coalesce(max(pid), 0)::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let worker = until(&journey, "the second batch waits", waiting, |pid| pid > 0);
    run.0.kill().expect("SIGKILL");
    run.0.wait().expect("its end");
    pusher
        .query("SELECT pg_advisory_unlock($1)", &[&key])
        .expect("Quay's lock");
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {worker}");
    until(&journey, "the server notices", &there, |count| count == 0);
    (journey, before)
}

#[test]
fn a_run_that_was_killed_is_interrupted_as_soon_as_the_server_knows_and_recover_ends_it() {
    for (how, comes_back) in [(None, true), (Some("--resume"), false)] {
        let (journey, before) = killed_between_two_repositories();
        let half = journey.dump();
        assert_ne!(half, before, "the first batch stands");
        let list = journey.stage.run(&["recover", "--list"]).expect_status(3);
        assert!(
            list.stdout.starts_with("operation 1 (fix): interrupted, "),
            "{}",
            list.stdout
        );
        let list = ["recover", "--list", "--format", "json"];
        let list = journey.stage.run(&list).expect_status(3).json();
        let found = &list["unfinished"][0];
        assert_eq!(
            (&found["alive"], found["life_sign"].as_str()),
            (&false.into(), None)
        );
        let check = ["--rule", "interrupted-operation", "--format", "json"];
        let check = journey.check(&check).expect_status(1).json();
        assert_eq!(check["violations"][0]["rule"], "interrupted-operation");
        let mut recover = vec!["recover", "--no-audit"];
        recover.extend(how);
        let ended = journey.stage.run(&recover).expect_status(0);
        assert!(ended.stdout.contains("operation 1: "), "{}", ended.stdout);
        let immutable = journey
            .stage
            .count("SELECT count(*) FROM tag WHERE immutable");
        assert_eq!(immutable, if comes_back { 12 } else { 7 });
        let list = journey.stage.run(&["recover", "--list"]).expect_status(0);
        assert_eq!(list.stdout, "Nothing is unfinished.\n");
    }
}

#[test]
fn ctrl_c_while_the_plan_is_made_ends_before_the_first_write() {
    for strategy in ["phased", "atomic"] {
        let journey = Journey::through(TWO, "", "orphaned-immutable-tag");
        let before = journey.dump();
        let mut other = journey.stage.session();
        other
            .run("BEGIN; LOCK TABLE tag IN ACCESS EXCLUSIVE MODE")
            .expect("a lock");
        let url = journey.stage.db.url();
        let mut args = vec!["--database-url", &url, "fix", "--apply"];
        args.extend(["--remedy", RELEASE, "--strategy", strategy]);
        let mut command: Command = crate::program::command(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = Running(command.spawn().expect("the program"));
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until(&journey, "the plan waits for the tags", waiting, |count| {
            count > 0
        });
        let told = Command::new("kill")
            .args(["-INT", &run.0.id().to_string()])
            .status();
        assert!(told.expect("kill").success());
        other.run("ROLLBACK").expect("the end");
        let ended = run.0.wait().expect("its end");
        let mut complaint = String::new();
        let stderr = run.0.stderr.as_mut().expect("piped");
        std::io::Read::read_to_string(stderr, &mut complaint).expect("UTF-8");
        assert_eq!(ended.code(), Some(3), "{strategy}: {complaint}");
        assert!(
            complaint.contains("nothing has been changed"),
            "{complaint}"
        );
        assert_eq!(journey.dump(), before);
        let runs = "SELECT count(*) FROM quay_doctor.operation";
        assert_eq!(journey.stage.count(runs), 0, "{strategy}");
    }
}

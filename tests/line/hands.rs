//! A run's hands: other sessions that correct other repositories at the same time.

use std::time::{Duration, Instant};

use quay_doctor::quay::{RepositoryId, retarget_lock_key};

use super::stage::{RELEASE, Stage};
use crate::policy::running::Running;
use crate::program;

const WORLD: &str = r#"
    seed = 7
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "app-{n}"
    count = 4
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 5
    immutable = true
"#;

/// Runs the program while somebody holds Quay's lock on the first repository, until it has brought the
/// others to so many immutable tags; what it says at its end.
fn beside_a_locked_repository(stage: &Stage, args: &[&str], others: i64) -> serde_json::Value {
    let first = stage.count("SELECT min(id)::bigint FROM repository");
    let key = retarget_lock_key(RepositoryId(i32::try_from(first).expect("an id")));
    let of = |which: &str| {
        stage.count(&format!(
            "SELECT count(*) FROM tag WHERE immutable AND repository_id {which} {first}"
        ))
    };
    let before = of("=");
    let mut holder = stage.session();
    holder
        .run(&format!("SELECT pg_advisory_lock({key})"))
        .expect("a lock");
    let url = stage.db.url();
    let mut command = program::command(&["--database-url", &url, "--format", "json", "--quiet"]);
    command.args(args).args(["--audit", "none", "--jobs", "2"]);
    let run = Running::start(command);
    let begun = Instant::now();
    while of("<>") != others {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nobody does the rest"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(of("="), before, "the lock is heeded");
    drop(holder);
    run.end().expect_status(0).json()
}

#[test]
fn while_one_session_waits_for_a_repository_the_other_corrects_the_rest_and_takes_it_back() {
    let stage = Stage::migrated(WORLD);
    let before = stage.dump();
    let fix = ["fix", "--apply", "--remedy", RELEASE];
    let fixed = beside_a_locked_repository(&stage, &fix, 0);
    assert_eq!(fixed["applied"], 20, "{fixed}");
    let counted = stage.count("SELECT sum(tags_changed)::bigint FROM quay_doctor.operation");
    assert_eq!(counted, 20, "the run's row counts what hands do");
    assert_eq!(stage.count("SELECT count(*) FROM tag WHERE immutable"), 0);
    // An undo is parted before it begins: the session that waits keeps its other repository.
    let undo = ["fix", "undo", &fixed["run"].to_string()];
    let undone = beside_a_locked_repository(&stage, &undo, 10);
    assert_eq!(undone["undone"], 20, "{undone}");
    assert_eq!(stage.dump(), before);
}

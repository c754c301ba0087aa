//! A migrator that dies at any moment: nothing is half done, and the same command ends well.

use std::time::{Duration, Instant};

use quay_doctor::pg::Statements;

use super::stage::{Ended, Stage};

/// How long a whole run takes here, so that kills fall all over it.
fn time_of(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Kills a run after a part of its time. The server may go on for a moment with what was sent.
fn kill_after(stage: &Stage, args: &[&str], delay: Duration) {
    let mut migrator = stage.start(args);
    std::thread::sleep(delay);
    // It may have ended by itself.
    let _ = migrator.kill();
    migrator.wait().expect("dead");
}

/// The lines of a catalog that a column which was there and is gone does not change.
fn undropped(catalog: String) -> Vec<String> {
    let lines = catalog.lines().filter(|line| !line.contains("pg.dropped"));
    lines.map(str::to_owned).collect()
}

#[test]
fn up_and_down_killed_at_any_moment_are_finished_by_the_same_command() {
    const ROUNDS: u32 = 12;
    let mut stage = Stage::with_policies();
    let before = undropped(stage.catalog());
    let up = time_of(|| drop(stage.migrate(&["up"]).exits(0)));
    let down = time_of(|| drop(stage.migrate(&["down", "--to", "0"]).exits(0)));
    for round in 0..ROUNDS {
        kill_after(&stage, &["up"], up * round / ROUNDS);
        stage.migrate(&["up"]).exits(0);
        stage.migrate(&["verify"]).exits(0);
        kill_after(&stage, &["down", "--to", "0"], down * round / ROUNDS);
        stage.migrate(&["down", "--to", "0"]).exits(0);
        assert_eq!(undropped(stage.catalog()), before, "round {round}");
    }
}

#[test]
fn a_session_that_is_terminated_ends_the_run_with_a_hint_and_the_next_run_ends_well() {
    let stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "1"]).exits(0);
    let mut holder = stage.another_session();
    holder
        .run("BEGIN; SELECT 1 FROM namespaceimmutabilitypolicy")
        .expect("a long transaction");
    let mut migrator = stage.start(&["up"]);
    let began = Instant::now();
    // The session that is met first may be one that was about to close by itself.
    while migrator.try_wait().expect("a state").is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not end");
        stage
            .another_session()
            .query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'quay-doctor migrate'",
                &[],
            )
            .expect("an answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ended::from(migrator.wait_with_output().expect("an end"))
        .exits(3)
        .complains_of(&["run the same command again"]);
    holder.run("COMMIT").expect("the end");
    stage.migrate(&["up"]).exits(0);
    stage.migrate(&["verify"]).exits(0);
}

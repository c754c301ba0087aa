//! Migrating under load: Quay's queries never queue behind us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quay_doctor::pg::{Statements, WriteSession};

use super::stage::{Ended, Stage};

/// Reads both policy tables without a pause, as pushes do, and keeps the longest time that took.
fn reader(mut session: WriteSession, stop: Arc<AtomicBool>) -> JoinHandle<Duration> {
    std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            session
                .query(
                    "SELECT (SELECT count(*) FROM repositoryimmutabilitypolicy),
                            (SELECT count(*) FROM namespaceimmutabilitypolicy)",
                    &[],
                )
                .expect("a read");
            longest = longest.max(began.elapsed());
        }
        longest
    })
}

/// How long the table is held in the tests below.
const HELD: Duration = Duration::from_secs(3);

/// A reader that queued behind a waiting lock would wait for the better part of [`HELD`]; this is
/// what a busy machine may add to a read.
const LONGEST_READ: Duration = Duration::from_millis(1_000);

/// Runs two readers while `work` is done and the namespace table is held by an open transaction.
fn longest_read_while(stage: &Stage, work: impl FnOnce(&mut WriteSession)) -> Duration {
    let mut holder = stage.another_session();
    holder
        .run("BEGIN; SELECT count(*) FROM namespaceimmutabilitypolicy")
        .expect("a long transaction");
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| reader(stage.another_session(), Arc::clone(&stop)))
        .collect();
    work(&mut holder);
    stop.store(true, Ordering::Relaxed);
    let mut longest = Duration::ZERO;
    for reader in readers {
        let its_longest = reader.join().expect("a reader");
        longest = longest.max(its_longest);
    }
    longest
}

#[test]
fn no_reader_waits_behind_a_migration_that_waits_for_a_table() {
    let stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "1"]).exits(0);
    let mut ended = None;
    let longest = longest_read_while(&stage, |holder| {
        let migrator = stage.start(&["up", "--to", "2"]);
        std::thread::sleep(HELD);
        holder
            .run("COMMIT")
            .expect("the end of the long transaction");
        ended = Some(Ended::from(migrator.wait_with_output().expect("an end")));
    });
    let ended = ended.expect("a run").exits(0);
    assert!(
        ended.stderr.contains("the tables are locked, trying again"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("on namespaceimmutabilitypolicy"),
        "{}",
        ended.stderr
    );
    assert!(longest < LONGEST_READ, "a reader waited for {longest:?}");
}

#[test]
fn the_measure_above_shows_a_lock_that_is_waited_for() {
    let stage = Stage::with_policies();
    let longest = longest_read_while(&stage, |holder| {
        let mut naive = stage.another_session();
        let waiting = std::thread::spawn(move || {
            naive.run("ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN naive boolean")
        });
        std::thread::sleep(HELD);
        holder
            .run("COMMIT")
            .expect("the end of the long transaction");
        waiting.join().expect("a thread").expect("the column");
    });
    assert!(
        longest > LONGEST_READ,
        "a reader waited for {longest:?} only"
    );
}

#[test]
fn going_down_does_not_queue_readers_either() {
    let stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "2"]).exits(0);
    let mut ended = None;
    let longest = longest_read_while(&stage, |holder| {
        let migrator = stage.start(&["hand-over"]);
        std::thread::sleep(HELD);
        holder
            .run("COMMIT")
            .expect("the end of the long transaction");
        ended = Some(Ended::from(migrator.wait_with_output().expect("an end")));
    });
    ended.expect("a run").exits(0);
    assert!(longest < LONGEST_READ, "a reader waited for {longest:?}");
}

#[test]
fn tables_that_stay_locked_end_the_run_with_the_holder_named_and_nothing_changed() {
    for table in [
        "repositoryimmutabilitypolicy",
        "namespaceimmutabilitypolicy",
    ] {
        let mut stage = Stage::with_policies();
        stage.migrate(&["up", "--to", "1"]).exits(0);
        let before = stage.catalog();
        let mut holder = stage.another_session();
        holder
            .run(&format!(
                "SET application_name = 'backup'; BEGIN; SELECT 1 FROM {table}"
            ))
            .expect("a long transaction");
        let began = Instant::now();
        stage
            .migrate(&["up", "--lock-wait", "600ms"])
            .exits(3)
            .complains_of(&["stayed locked for 600ms", "(backup) since 2", table]);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(600) && took < Duration::from_secs(20),
            "{took:?}"
        );
        assert_eq!(stage.catalog(), before);
        holder.run("COMMIT").expect("the end");
        stage.migrate(&["up", "--lock-wait", "5s"]).exits(0);
    }
}

#[test]
fn the_repository_table_is_locked_first() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "1"]).exits(0);
    // Both are held. Whoever fails at the first lock never asks for the second.
    let mut holder = stage.another_session();
    holder
        .run("BEGIN; LOCK TABLE namespaceimmutabilitypolicy, repositoryimmutabilitypolicy IN ACCESS SHARE MODE")
        .expect("both tables");
    stage.sql("SELECT 1");
    let plan = stage.migrate(&["plan", "--to", "2"]).exits(1).stdout;
    let first =
        plan.find("LOCK TABLE repositoryimmutabilitypolicy IN ACCESS EXCLUSIVE MODE NOWAIT");
    let second =
        plan.find("LOCK TABLE namespaceimmutabilitypolicy IN ACCESS EXCLUSIVE MODE NOWAIT");
    let change = plan.find("ALTER TABLE");
    assert!(
        first.is_some() && first < second && second < change,
        "{plan}"
    );
    stage.migrate(&["up", "--lock-wait", "100ms"]).exits(3);
}

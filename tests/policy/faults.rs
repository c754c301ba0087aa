//! Faults that the worker survives, or from which it turns back: whole either way.

use std::thread;
use std::time::Instant;

use testkit::moments::{AFTER_ACTIVATION, AFTER_COMMIT, REPOSITORY_LOCKED};

use super::scene::{GLOBEX, MATCHING, Scene, policy};
use crate::mutant::rule;
use crate::scale::cases;

/// Enough tags for many batches.
pub(super) const MANY: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop-{n}"
    count = 3
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 60
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 10
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "n{n}"
    count = 10
"#;

/// One row a batch, after the first.
pub(super) const CREATE: [&str; 9] = [
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

/// The backends of workers on this database.
pub(super) const WORKERS: &str =
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[test]
fn a_connection_lost_at_any_moment_is_waited_for_and_the_work_resumed() {
    let scene = Scene::of(MANY);
    scene.save();
    let before = scene.state();
    let begun = Instant::now();
    scene.policy(&CREATE).expect_status(0);
    let whole = begun.elapsed();
    let undisturbed = scene.state();
    let mut resumed = 0;
    let rounds = cases(12);
    // A round in which the work was faster than the losses does not count.
    for round in 0..4 * rounds {
        if round >= rounds && resumed >= i64::from(rounds) {
            break;
        }
        scene.reset();
        let run = scene.start(&policy(&CREATE));
        for _ in 0..3 {
            thread::sleep(whole.mul_f64(fastrand::f64() * 0.5));
            resumed += scene.count(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM ({WORKERS}) w"
            ));
        }
        run.end().expect_status(0);
        assert_eq!(scene.state(), undisturbed, "round {round}");
        assert_ne!(undisturbed, before);
        assert_eq!(scene.unfinished(), 0);
    }
    assert!(
        resumed >= i64::from(rounds),
        "{resumed} connections were lost"
    );
}

#[test]
fn an_error_of_the_work_itself_is_rolled_back_at_once() {
    for strategy in ["phased", "atomic"] {
        let scene = Scene::small();
        let before = scene.state();
        scene.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk of this tag is bad'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON tag FOR EACH ROW WHEN (NEW.immutable AND NEW.name = 'v3.1') EXECUTE FUNCTION refuse()",
        );
        let ended = scene
            .create("v.*", &["--strategy", strategy])
            .expect_status(3);
        assert!(
            ended.stderr.contains("the disk of this tag is bad"),
            "{}",
            ended.stderr
        );
        assert_eq!(
            scene.state(),
            before,
            "policy gone, no tag changed, expiry back"
        );
        assert_eq!(scene.unfinished(), 0);
        // A retry after the failure.
        scene.sql("DROP TRIGGER refuse ON tag");
        scene
            .create("v.*", &["--strategy", strategy])
            .expect_status(0);
        scene.check();
    }
}

#[test]
fn an_error_with_on_fault_stop_leaves_everything_for_recover() {
    let scene = Scene::small();
    let before = scene.state();
    scene.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON tag FOR EACH ROW WHEN (NEW.immutable AND NEW.name = 'v3.1') EXECUTE FUNCTION refuse()",
    );
    let ended = scene
        .create("v.*", &["--strategy", "phased", "--on-fault", "stop"])
        .expect_status(3);
    assert!(
        ended.stderr.contains("quay-doctor recover"),
        "{}",
        ended.stderr
    );
    assert_eq!(scene.unfinished(), 1);
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

/// A trigger by which an update of `tag` takes so long for each of its rows.
fn slow_rows(scene: &Scene, seconds_a_row: f64) {
    scene.sql(&format!(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep({seconds_a_row} * (SELECT count(*) FROM rows)); RETURN NULL; END $$;
         CREATE OR REPLACE TRIGGER slow AFTER UPDATE ON tag REFERENCING NEW TABLE AS rows
             FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    ));
}

fn limit(scene: &Scene, milliseconds: u32) {
    scene.sql(&format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = {milliseconds}', current_database()); END $$"
    ));
}

#[test]
fn rule_11_a_batch_that_times_out_is_split_and_goes_through() {
    rule("split-batch", |on| {
        let scene = Scene::of(MANY);
        limit(&scene, 300);
        slow_rows(&scene, 0.006);
        let args = [
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v.*",
            "--strategy",
            "phased",
        ];
        let ended = scene.policy(&args);
        limit(&scene, 0);
        if !on {
            ended.expect_status(3);
            assert_eq!(scene.count("SELECT count(*) FROM tag WHERE immutable"), 0);
            return;
        }
        let done = ended.expect_status(0).json();
        assert_eq!(done["tags_changed"], 210);
        assert!(done["batches"].as_u64() > Some(5), "{done}");
        scene.check();
    });
}

#[test]
fn one_row_that_times_out_rolls_everything_back() {
    let scene = Scene::of(MANY);
    let before = scene.state();
    limit(&scene, 300);
    scene.sql(
        "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$;
         CREATE TRIGGER stuck BEFORE UPDATE ON tag FOR EACH ROW WHEN (NEW.immutable AND NEW.id = 150) EXECUTE FUNCTION stuck()",
    );
    let ended = scene.policy(&CREATE).expect_status(3);
    assert!(
        ended.stderr.contains("statement timeout"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("rolled back"), "{}", ended.stderr);
    assert_eq!(scene.state(), before);
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn a_row_that_somebody_holds_is_come_back_for_and_waited_for_with_nothing_locked() {
    let scene = Scene::small();
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name = 'v2.1' FOR UPDATE")
        .expect("a lock");
    let run = scene.start(&policy(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ]));
    scene.wait_for("SELECT (count(*) = 10)::int FROM quay_doctor.tag_change");
    // Quay can push into the repository meanwhile.
    let id =
        i32::try_from(scene.count("SELECT id FROM repository WHERE name = 'shop'")).expect("an id");
    let key = quay_doctor::quay::retarget_lock_key(quay_doctor::quay::RepositoryId(id));
    scene.sql(&format!(
        "SET lock_timeout = '1s'; SELECT pg_advisory_lock({key})"
    ));
    other.run("ROLLBACK").expect("the end");
    run.end().expect_status(0);
    scene.check();
}

#[test]
fn a_row_that_is_held_for_good_ends_in_a_clear_message_and_never_in_waiting_for_ever() {
    let scene = Scene::small();
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name = 'v2.1' FOR UPDATE")
        .expect("a lock");
    let ended = scene
        .create("v.*", &["--strategy", "phased"])
        .expect_status(3);
    assert!(
        ended.stderr.contains("held by other transactions"),
        "{}",
        ended.stderr
    );
    // What was done stays: the policy is in force, and everything but that row is immutable.
    assert_eq!(scene.unfinished(), 1);
    let changed = scene.count("SELECT tags_changed FROM quay_doctor.operation");
    assert_eq!(changed, MATCHING - 1);
}

#[test]
fn rows_held_when_a_release_was_cut_off_are_released_by_recover() {
    let scene = Scene::small();
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name = 'v1.1' FOR UPDATE")
        .expect("a lock");
    // The row is skipped, the cursor passes it, and then the worker dies.
    let args = policy(&["delete", GLOBEX, "--tags", "release"]);
    let (_hold, run) = scene.held(AFTER_COMMIT.nth(2), &args);
    run.kill();
    other.run("ROLLBACK").expect("the end");
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND r.name IN ('portal', 'site')"), 0);
}

#[test]
fn a_flag_that_was_not_needed_at_first_can_be_told_to_recover() {
    let scene = Scene::small();
    // No expiry is at stake when it begins.
    let (hold, run) = scene.held(
        AFTER_ACTIVATION,
        &[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v1.*",
            "--strategy",
            "phased",
        ],
    );
    scene.sql(
        "INSERT INTO tag (name, repository_id, lifetime_start_ms, lifetime_end_ms, tag_kind_id)
        SELECT 'v1.99', id, 1000, 4000000000000, 1 FROM repository WHERE name = 'shop'",
    );
    hold.release();
    let ended = run.end().expect_status(3);
    assert!(
        ended.stderr.contains("--immutable-tags-can-expire"),
        "{}",
        ended.stderr
    );
    scene.bury();
    scene
        .run(&["recover", "--immutable-tags-can-expire", "false"])
        .expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag WHERE name = 'v1.99' AND immutable AND lifetime_end_ms IS NULL"), 1);
}

#[test]
fn an_interrupt_ends_after_the_batch_as_it_was_asked_to() {
    for signal in ["INT", "TERM"] {
        for then in ["resume", "roll-back", "stop"] {
            let scene = Scene::small();
            let before = scene.state();
            let mut args = vec![
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
            args.extend(["--on-fault", then]);
            let (hold, run) = scene.held(AFTER_COMMIT.nth(2), &policy(&args));
            run.signal(signal);
            hold.release();
            let ended = run.end().expect_status(3);
            assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
            if then == "roll-back" {
                assert_eq!(scene.state(), before);
                assert_eq!(scene.unfinished(), 0);
                continue;
            }
            assert_eq!(scene.unfinished(), 1);
            scene.wait_for("SELECT (count(*) = 0)::int FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
            // Its supervisor starts the same command again.
            scene.policy(&args).expect_status(0);
            scene.check();
        }
    }
}

#[test]
fn a_signal_during_the_last_batch_is_heeded_before_anything_is_activated() {
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    let args = [
        "create",
        "--namespace",
        "acme",
        "--repository",
        "tool",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ];
    let (hold, run) = scene.held(REPOSITORY_LOCKED, &policy(&args));
    run.signal("INT");
    hold.release();
    run.end().expect_status(3);
    assert_eq!(
        scene.count("SELECT count(*) FROM repositoryimmutabilitypolicy WHERE active"),
        0
    );
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

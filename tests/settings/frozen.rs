//! Issue 17, case 17: a worker that is frozen in the middle of a batch holds Quay's lock on a repository for five
//! seconds, and no longer.

use std::time::{Duration, Instant};

use quay_doctor::quay::{RepositoryId, retarget_lock_key};

use crate::policy::scene::{Running, Scene, policy};

const ORPHANS: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 50
    immutable = true
    [[namespace.repository.tags]]
    name = "w{n}"
    count = 50
"#;

/// Freezes a worker in the middle of a batch that changes tags; how long a push waits for the repository.
fn a_push_waits(scene: &Scene, args: &[&str]) -> (Duration, Running) {
    scene.sql(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;
         CREATE OR REPLACE TRIGGER slow AFTER UPDATE ON tag FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    );
    let run = scene.start(&[], args);
    scene.wait_for(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
    run.signal("STOP");
    let id = scene.count("SELECT id FROM repository WHERE name = 'shop'");
    let key = retarget_lock_key(RepositoryId(i32::try_from(id).expect("an id")));
    let begun = Instant::now();
    scene.sql(&format!(
        "BEGIN; SELECT pg_advisory_xact_lock({key}); COMMIT"
    ));
    let waited = begun.elapsed();
    scene.sql("DROP TRIGGER slow ON tag");
    (waited, run)
}

#[test]
fn a_frozen_worker_keeps_a_push_waiting_for_five_seconds_at_most_and_goes_on_when_it_wakes() {
    for (args, status) in [
        (
            policy(&[
                "create",
                "--namespace",
                "acme",
                "--pattern",
                "w.*",
                "--strategy",
                "phased",
            ]),
            0,
        ),
        (
            vec![
                "fix",
                "--apply",
                "--remedy",
                "orphaned-immutable-tag=release",
                "--immutable-tags-can-expire",
                "false",
            ],
            3,
        ),
    ] {
        let scene = Scene::of(ORPHANS);
        let (waited, run) = a_push_waits(&scene, &args);
        // The rest of the trigger's sleep, and the limit.
        assert!(waited < Duration::from_secs(9), "{args:?}: {waited:?}");
        run.signal("CONT");
        run.end().expect_status(status);
        // The batch that was ended left nothing.
        let half = scene.count("SELECT count(*) FROM tag WHERE name LIKE 'v%' AND NOT immutable");
        assert!(half == 0, "{args:?}: {half}");
    }
}

/// Names as long as they may be, of characters of four bytes: what is returned of them under a lock comes in
/// several answers, and is the same.
#[test]
fn rows_with_the_longest_names_are_changed_like_others() {
    let scene = Scene::of(ORPHANS);
    scene.sql("UPDATE tag SET name = name || repeat('\u{1F41F}', 240)");
    scene
        .run(&[
            "fix",
            "--apply",
            "--remedy",
            "orphaned-immutable-tag=release",
            "--immutable-tags-can-expire",
            "false",
        ])
        .expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag WHERE immutable"), 0);
    let created = scene.create(".*", &["--strategy", "phased"]);
    assert_eq!(created.expect_status(0).json()["tags_changed"], 100);
    scene.run(&["check"]).expect_status(0);
}

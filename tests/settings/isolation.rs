//! Issue 17, case 2: a role whose transactions are REPEATABLE READ. What is read under a lock has to be
//! what is there when the lock is had, and not when the transaction began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use quay_doctor::quay::{RepositoryId, retarget_lock_key};

use super::{Level, set};
use crate::policy::scene::{MATCHING, Running, SMALL, Scene, policy};

/// Two repositories' orphans, and no policy.
const ORPHANS: &str = r#"
    seed = 3
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 3
    immutable = true
"#;

fn key(scene: &Scene, repository: &str) -> i64 {
    let id = scene.count(&format!(
        "SELECT id FROM repository WHERE name = '{repository}'"
    ));
    retarget_lock_key(RepositoryId(i32::try_from(id).expect("an id")))
}

fn waits_for_the_repository(scene: &Scene) {
    scene.wait_for(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted",
    );
}

/// A user confirms a tag while a fix waits for the repository, and no later.
fn confirmed_meanwhile(isolation: &str) -> (Scene, Running) {
    let scene = Scene::of(ORPHANS);
    set(
        &scene,
        Level::Role,
        "default_transaction_isolation",
        isolation,
    );
    let mut pusher = scene.session();
    let key = key(&scene, "shop");
    pusher
        .run(&format!("BEGIN; SELECT pg_advisory_xact_lock({key})"))
        .expect("a lock");
    let run = scene.start(
        &[],
        &[
            "fix",
            "--apply",
            "--remedy",
            "orphaned-immutable-tag=release",
            "--immutable-tags-can-expire",
            "false",
        ],
    );
    waits_for_the_repository(&scene);
    scene.sql(
        r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
        SELECT k.id, r.namespace_user_id, r.id, now() AT TIME ZONE 'utc',
            '{"username": "ann", "tag": "v1", "immutable": true, "previous_immutable": true}'
        FROM logentrykind k, repository r
        WHERE k.name = 'change_tag_immutability' AND r.name = 'shop'"#,
    );
    pusher.run("COMMIT").expect("the end");
    (scene, run)
}

#[test]
fn a_tag_that_a_user_confirms_while_a_fix_waits_for_its_repository_stays_immutable() {
    for isolation in ["'read committed'", "'repeatable read'", "'serializable'"] {
        let (scene, run) = confirmed_meanwhile(isolation);
        run.end().expect_status(1);
        let left = scene.text("SELECT string_agg(name, ',') FROM tag WHERE immutable");
        assert_eq!(left, "v1", "{isolation}");
    }
}

/// The sessions of one operation add to one row of the journal, each while the others are in their batches.
#[test]
fn a_phased_creation_goes_through_whatever_the_roles_isolation_while_others_write_its_row() {
    for (level, isolation) in [
        (Level::Role, "'repeatable read'"),
        (Level::Database, "'serializable'"),
    ] {
        let scene = Scene::of(SMALL);
        set(&scene, level, "default_transaction_isolation", isolation);
        let create = ["create", "--namespace", "acme", "--pattern", "v.*"];
        let phased = ["--strategy", "phased", "--batch-time", "1us"];
        let over = AtomicBool::new(false);
        let ended = thread::scope(|scope| {
            let mut other = scene.session();
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    other
                        .run("UPDATE quay_doctor.operation SET heartbeat_at = clock_timestamp()")
                        .expect("a heartbeat");
                }
            });
            let ended = scene.run(&policy(&[&create[..], &phased].concat()));
            over.store(true, Ordering::Relaxed);
            ended
        });
        let created = ended.expect_status(0).json();
        assert_eq!(created["tags_changed"], MATCHING, "{isolation} {level:?}");
    }
}

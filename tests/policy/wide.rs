//! Small repositories share batches: what others hold of one keeps no other from its batch, and nobody waits for anybody
//! in a circle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use quay_doctor::quay::{RepositoryId, retarget_lock_key};
use testkit::moments::{AFTER_COMMIT, BEFORE_COMMIT};

use super::scene::{Scene, policy};

/// 160 small repositories, and a large one among them.
const WIDE: &str = r#"
    seed = 7
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "a-{n}"
    count = 80
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 2
    [[namespace.repository.tags]]
    name = "latest"
    [[namespace.repository]]
    name = "large"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 300
    [[namespace.repository]]
    name = "z-{n}"
    count = 80
    [[namespace.repository.tags]]
    name = "v{n}"
    life = "expiring"
    expires_in = "30d"
"#;

const MATCHING: i64 = 80 * 2 + 300 + 80;

const LEFT: &str = "SELECT count(*) FROM tag WHERE name LIKE 'v%' AND NOT immutable";

const CREATE: [&str; 9] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
    "--jobs",
    "1",
];

/// The id of a repository.
fn id(scene: &Scene, name: &str) -> RepositoryId {
    let id = scene.count(&format!("SELECT id FROM repository WHERE name = '{name}'"));
    RepositoryId(i32::try_from(id).expect("an id"))
}

#[track_caller]
fn is_whole(scene: &Scene) {
    assert_eq!(scene.count(LEFT), 0);
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change WHERE undone_at IS NULL"),
        MATCHING
    );
    assert_eq!(scene.unfinished(), 0);
    scene.check();
}

#[test]
fn small_repositories_share_a_batch_and_a_large_one_has_its_own() {
    let scene = Scene::of(WIDE);
    let done = scene
        .policy(&[&CREATE[..], &["--batch-time", "10s"]].concat())
        .expect_status(0)
        .json();
    assert_eq!(done["tags_changed"], MATCHING, "{done}");
    let batches = done["batches"].as_i64().expect("a number");
    // 161 repositories, of which each had its own, and a few transactions beside.
    assert!(batches < 60, "{done}");
    is_whole(&scene);
}

#[test]
fn a_worker_that_is_killed_between_shared_batches_is_gone_on_with_where_it_was() {
    for nth in [1, 4, 7, 10, 13] {
        let scene = Scene::of(WIDE);
        let create = policy(&[&CREATE[..], &["--batch-time", "10s"]].concat());
        scene.killed(AFTER_COMMIT.nth(nth), &create);
        let left = scene.count(LEFT);
        assert!(left > 0 && left < MATCHING, "{nth}: {left}");
        scene.run(&["recover", "--resume"]).expect_status(0);
        is_whole(&scene);
    }
}

#[test]
fn a_release_shares_batches_too_and_gives_every_repository_its_own_expirations() {
    let scene = Scene::of(WIDE);
    let before = scene.state();
    let created = scene.policy(&CREATE).expect_status(0).json();
    let uuid = created["policy"].as_str().expect("a uuid");
    let delete = policy(&[
        "delete",
        uuid,
        "--tags",
        "release",
        "--jobs",
        "1",
        "--batch-time",
        "10s",
        "--no-audit",
    ]);
    scene.killed(AFTER_COMMIT.nth(3), &delete);
    let left = scene.count(LEFT);
    assert!(left > 0 && left < MATCHING, "{left}");
    let done = scene.run(&delete).expect_status(0).json();
    assert_eq!(done["tags_changed"], MATCHING, "{done}");
    assert!(done["batches"].as_i64().expect("a number") < 60, "{done}");
    scene.sql("DELETE FROM logentry3");
    assert_eq!(scene.state(), before);
}

/// Everything that matches is an orphan.
fn orphans() -> Scene {
    let scene = Scene::of(WIDE);
    scene.policy(&CREATE).expect_status(0);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy; DELETE FROM logentry3");
    scene
}

const FIX: [&str; 8] = [
    "fix",
    "--apply",
    "--remedy",
    "orphaned-immutable-tag=release",
    "--format",
    "json",
    "--batch-time",
    "10s",
];

#[test]
fn a_fix_shares_batches_too_and_tells_the_log_each_tag_by_its_own_repository() {
    let scene = orphans();
    let done = scene
        .run(&[&FIX[..], &["--jobs", "1"]].concat())
        .expect_status(0)
        .json();
    assert_eq!(done["applied"], MATCHING, "{done}");
    assert!(done["batches"].as_i64().expect("a number") < 60, "{done}");
    assert_eq!(scene.count(LEFT), MATCHING);
    assert_eq!(
        scene.count("SELECT count(*) FROM tag WHERE lifetime_end_ms IS NOT NULL AND NOT hidden"),
        80
    );
    let told = "SELECT count(*) FROM tag t
        JOIN logentry3 e ON e.repository_id = t.repository_id AND e.metadata_json::jsonb ->> 'tag' = t.name
        WHERE t.name LIKE 'v%'";
    assert_eq!(scene.count(told), MATCHING);
    scene
        .run(&["fix", "undo", "2", "--format", "json"])
        .expect_status(0);
    assert_eq!(scene.count(LEFT), 0);
}

#[test]
fn a_fix_does_the_other_repositories_of_a_batch_and_comes_back_for_one_that_somebody_has() {
    let scene = orphans();
    let mut holder = scene.session();
    let key = retarget_lock_key(id(&scene, "a-7"));
    holder
        .run(&format!("BEGIN; SELECT pg_advisory_xact_lock({key})"))
        .expect("a lock");
    let run = scene.start(&FIX);
    scene.wait_for(&format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
             AND (classid::bigint << 32 | objid::bigint) = {key}"
    ));
    let of_others = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
        WHERE r.name IN ('a-1', 'a-2', 'a-3', 'a-4', 'a-5', 'a-6', 'a-8') AND t.name LIKE 'v%' AND t.immutable";
    assert_eq!(scene.count(of_others), 0);
    holder.run("COMMIT").expect("the end");
    let done = run.end().expect_status(0).json();
    assert_eq!(
        (&done["applied"], &done["skipped"]),
        (&MATCHING.into(), &0.into())
    );
}

#[test]
fn a_repository_that_somebody_has_is_waited_for_alone() {
    let scene = Scene::of(WIDE);
    let mut holder = scene.session();
    let key = retarget_lock_key(id(&scene, "a-7"));
    holder
        .run(&format!("BEGIN; SELECT pg_advisory_xact_lock({key})"))
        .expect("a lock");
    let run = scene.start(&policy(&CREATE));
    let first = id(&scene, "a-1").0;
    let keys: Vec<String> = (first..first + 161)
        .map(|id| retarget_lock_key(RepositoryId(id)).to_string())
        .collect();
    let keys = keys.join(",");
    scene.wait_for(&format!(
        "SELECT count(*) FROM pg_locks w
         WHERE w.locktype = 'advisory' AND w.objsubid = 1 AND NOT w.granted
             AND (w.classid::bigint << 32 | w.objid::bigint) = {key}
             AND NOT EXISTS (
                 SELECT FROM pg_locks h
                 WHERE h.pid = w.pid AND h.locktype = 'advisory' AND h.objsubid = 1 AND h.granted
                     AND (h.classid::bigint << 32 | h.objid::bigint) = ANY ('{{{keys}}}'::bigint[]))"
    ));
    // The others of its batch are done.
    let of_others = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
        WHERE r.name IN ('a-1', 'a-2', 'a-3', 'a-4', 'a-5', 'a-6', 'a-8') AND t.name LIKE 'v%' AND NOT t.immutable";
    assert_eq!(scene.count(of_others), 0);
    holder.run("COMMIT").expect("the end");
    run.end().expect_status(0);
    is_whole(&scene);
}

#[test]
fn a_push_that_waits_for_any_repository_of_a_batch_ends_the_batch_early() {
    let scene = Scene::of(WIDE);
    let create = policy(&[&CREATE[..], &["--batch-time", "10s"]].concat());
    let (hold, mut run) = scene.held(BEFORE_COMMIT, &create);
    let key = retarget_lock_key(id(&scene, "a-3"));
    let url = scene.db.url();
    let push = thread::spawn(move || {
        let settings = quay_doctor::ConnectionSettings::resolve(Some(&url)).expect("settings");
        let mut session = quay_doctor::pg::WriteSession::open(&settings).expect("a session");
        session
            .run(&format!(
                "BEGIN; SELECT pg_advisory_xact_lock({key}); SELECT pg_sleep(0.2); COMMIT"
            ))
            .expect("a push");
    });
    scene.wait_for("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    hold.release();
    push.join().expect("no panic");
    run.wait().expect_status(0);
    is_whole(&scene);
}

/// Quay locks a tag's row first and the repository then where it deletes a tag, and the repository first where it
/// pushes: neither ever waits in a circle with batches of several repositories.
#[test]
fn quays_orders_of_locks_meet_no_deadlock() {
    let scene = Scene::of(WIDE);
    let stop = AtomicBool::new(false);
    let repositories: Vec<i32> = (0..160).map(|nth| id(&scene, "a-1").0 + nth).collect();
    thread::scope(|scope| {
        for worker in 0..3_usize {
            let (scene, stop, repositories) = (&scene, &stop, &repositories);
            scope.spawn(move || {
                let mut session = scene.session();
                for nth in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = repositories[(nth * 31 + worker * 53) % repositories.len()];
                    let key = retarget_lock_key(RepositoryId(id));
                    let row = format!(
                        "SELECT FROM tag WHERE id = (SELECT min(id) FROM tag WHERE repository_id = {id}) FOR UPDATE"
                    );
                    let lock = format!("SELECT pg_advisory_xact_lock({key})");
                    let sql = if worker == 0 {
                        // Two of Quay's own would wait in a circle otherwise.
                        format!("BEGIN; {lock}; {row} SKIP LOCKED; COMMIT")
                    } else {
                        format!("BEGIN; {row}; SELECT pg_sleep(0.002); {lock}; COMMIT")
                    };
                    session.run(&sql).expect("no deadlock");
                }
            });
        }
        let more = ["--jobs", "2", "--batch-time", "20ms"];
        scene
            .policy(&[&CREATE[..7], &more].concat())
            .expect_status(0);
        stop.store(true, Ordering::Relaxed);
    });
    is_whole(&scene);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(scene.count(deadlocks), 0);
}

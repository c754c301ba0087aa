//! Rule 1 under REPEATABLE READ: a push decides by the policies as they were when its first statement began, and may
//! read their tables only after everybody who held a lock on them has ended.

use std::time::Duration;

use quay_doctor::pg::{Columns, Statements, WriteSession};

use super::cut::{Bystander, CREATE, insert, log_push};
use super::running::Running;
use super::scene::{GLOBEX, Scene, policy};

/// Begins a transaction that has a snapshot, and has read none of Quay's tables yet.
const OLD_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1";

/// Long enough for an operation that waits for nobody.
const UNDISTURBED: Duration = Duration::from_millis(1_500);

#[track_caller]
fn waits(run: &mut Running) {
    std::thread::sleep(UNDISTURBED);
    assert!(!run.has_ended(), "it waits for the older snapshot");
}

fn active_policies(pusher: &mut WriteSession, pattern: &str) -> i64 {
    let sql = "SELECT count(*) FROM namespaceimmutabilitypolicy WHERE policy LIKE '%' || $1 || '%' AND active";
    let row = pusher.query_one(sql, &[&pattern]).expect("a row");
    row.read(0).expect("a count")
}

fn is_immutable(scene: &Scene, name: &str) -> bool {
    scene.count(&format!(
        "SELECT count(*) FROM tag WHERE name = '{name}' AND immutable"
    )) == 1
}

/// Issue 17, case 8.
#[test]
fn a_push_whose_snapshot_is_older_than_the_activation_is_waited_for() {
    let scene = Scene::small();
    let mut pusher = scene.session();
    pusher.run(OLD_SNAPSHOT).expect("a snapshot");
    let mut run = scene.start(&policy(&CREATE));
    scene
        .wait_for("SELECT count(*) FROM quay_doctor.operation WHERE phase IN ('sweeping', 'done')");
    waits(&mut run);
    assert_eq!(active_policies(&mut pusher, "v."), 1, "globex's alone");
    insert(&mut pusher, "shop", "v99", false);
    pusher.run("COMMIT").expect("the end");
    run.end().expect_status(0);
    assert!(is_immutable(&scene, "v99"));
    scene.check();
}

#[test]
fn a_push_whose_snapshot_is_older_than_a_deletion_is_waited_for_before_the_release() {
    let scene = Scene::small();
    let mut pusher = scene.session();
    pusher.run(OLD_SNAPSHOT).expect("a snapshot");
    let delete = policy(&["delete", GLOBEX, "--tags", "release"]);
    let mut run = scene.start(&delete);
    scene.wait_for(
        "SELECT count(*) FROM quay_doctor.operation WHERE phase IN ('releasing', 'done')",
    );
    waits(&mut run);
    assert_eq!(active_policies(&mut pusher, "v."), 1, "still there");
    insert(&mut pusher, "portal", "v99", true);
    log_push(&mut pusher, "v99");
    pusher.run("COMMIT").expect("the end");
    run.end().expect_status(0);
    assert!(!is_immutable(&scene, "v99"), "no orphan");
    scene.check();
}

/// A statement that takes long, too: its snapshot is as old as it is.
#[test]
fn a_single_statement_that_began_before_is_waited_for() {
    let scene = Scene::small();
    std::thread::scope(|scope| {
        let push = scope.spawn(|| {
            scene.sql(
                "INSERT INTO tag (name, repository_id, lifetime_start_ms, hidden, reversion, tag_kind_id, immutable)
                 SELECT 'v99', (SELECT id FROM repository WHERE name = 'shop'), 1, false, false, 1,
                     EXISTS (SELECT FROM namespaceimmutabilitypolicy p JOIN \"user\" u ON u.id = p.namespace_id
                         WHERE u.username = 'acme' AND active)
                 FROM (SELECT pg_sleep(3)) AS slept",
            );
        });
        scene.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()");
        scene.policy(&CREATE).expect_status(0);
        push.join().expect("a push");
    });
    assert!(is_immutable(&scene, "v99"));
}

#[test]
fn a_snapshot_of_a_role_that_cannot_write_tags_is_not_waited_for() {
    let scene = Scene::small();
    let role = scene.text("SELECT 'ro' || oid FROM pg_database WHERE datname = current_database()");
    scene.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON tag TO {role}"
    ));
    let url = scene.db.tcp_url().replace("postgres@", &format!("{role}@"));
    let mut reader = Bystander::at(&url).0;
    reader
        .run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tag")
        .expect("a snapshot");
    let mut args = CREATE.to_vec();
    args.extend(["--settle-timeout", "5s"]);
    let ended = scene.policy(&args);
    drop(reader);
    scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    ended.expect_status(0);
}

/// What matters is what a session may become.
#[test]
fn a_snapshot_of_a_role_that_can_take_on_one_that_writes_is_waited_for() {
    let scene = Scene::small();
    let number = scene.text("SELECT oid FROM pg_database WHERE datname = current_database()");
    scene.sql(&format!(
        "CREATE ROLE w{number}; GRANT INSERT ON tag TO w{number};
         CREATE ROLE m{number} LOGIN NOINHERIT IN ROLE w{number}"
    ));
    let url = scene
        .db
        .tcp_url()
        .replace("postgres@", &format!("m{number}@"));
    let mut member = Bystander::at(&url).0;
    member.run(OLD_SNAPSHOT).expect("a snapshot");
    let mut args = CREATE.to_vec();
    args.extend(["--settle-timeout", "1s"]);
    let ended = scene.policy(&args);
    drop(member);
    scene.sql(&format!(
        "DROP OWNED BY w{number}; DROP ROLE m{number}; DROP ROLE w{number}"
    ));
    let ended = ended.expect_status(3);
    assert!(ended.stderr.contains("cannot go on"), "{ended:?}");
}

/// It holds its locks under another name from then on.
#[test]
fn a_push_that_is_prepared_while_it_is_waited_for_is_waited_for_on() {
    let scene = Scene::small();
    let name = scene.text("SELECT 'q' || oid FROM pg_database WHERE datname = current_database()");
    let mut pusher = scene.session();
    pusher
        .run("BEGIN; SELECT * FROM namespaceimmutabilitypolicy")
        .expect("a push that has evaluated");
    let mut run = scene.start(&policy(&CREATE));
    scene
        .wait_for("SELECT count(*) FROM quay_doctor.operation WHERE phase IN ('sweeping', 'done')");
    waits(&mut run);
    insert(&mut pusher, "shop", "v99", false);
    pusher
        .run(&format!("PREPARE TRANSACTION '{name}'"))
        .expect("prepared");
    std::thread::sleep(UNDISTURBED);
    let ended = run.has_ended();
    scene.sql(&format!("COMMIT PREPARED '{name}'"));
    assert!(!ended, "it waits for the prepared transaction");
    run.end().expect_status(0);
    assert!(is_immutable(&scene, "v99"));
}

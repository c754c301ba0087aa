//! Rule 1: whoever may still decide by the policies as they were is waited for.

use std::thread;
use std::time::Duration;

use testkit::moments::{AFTER_COMMIT, AFTER_UNDO, BEFORE_ACTIVATION};

use super::{CREATE, READS_POLICIES, immutable, insert, log_push};
use crate::mutant::rule;
use crate::policy::scene::{Scene, policy};

#[test]
fn rule_1_a_push_that_read_the_policies_before_activation_is_waited_for() {
    rule("settle-at-activation", |on| {
        let scene = Scene::small();
        let mut pusher = scene.session();
        pusher
            .run(READS_POLICIES)
            .expect("a push that has evaluated");
        let run = scene.start(&policy(&CREATE));
        scene.wait_for(
            "SELECT count(*) FROM quay_doctor.operation WHERE phase IN ('sweeping', 'done')",
        );
        thread::sleep(Duration::from_millis(400));
        insert(&mut pusher, "shop", "v99", false);
        pusher.run("COMMIT").expect("the end");
        run.end().expect_status(0);
        assert_eq!(immutable(&scene, "v99"), on);
    });
}

#[test]
fn rule_1_at_the_bound_nothing_further_happens_and_the_sessions_are_named() {
    let scene = Scene::small();
    let mut reader = scene.session();
    reader
        .run("SET application_name = 'the slow pusher'")
        .expect("a name");
    reader.run(READS_POLICIES).expect("a long transaction");
    let mut args = CREATE.to_vec();
    args.extend(["--settle-timeout", "300ms"]);
    let ended = scene.policy(&args).expect_status(3);
    assert!(ended.stderr.contains("the slow pusher"), "{}", ended.stderr);
    assert_eq!(
        scene.text("SELECT phase FROM quay_doctor.operation"),
        "sweeping"
    );
    scene.bury();
    let ended = scene
        .run(&["recover", "--settle-timeout", "300ms"])
        .expect_status(3);
    assert!(ended.stdout.contains("left"), "{}", ended.stdout);
    reader.run("COMMIT").expect("the end");
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(
        scene.text("SELECT phase FROM quay_doctor.operation"),
        "done"
    );
}

#[test]
fn rule_1_a_prepared_transaction_counts() {
    let scene = Scene::small();
    let mut reader = scene.session();
    let name = scene.text("SELECT 'p' || oid FROM pg_database WHERE datname = current_database()");
    reader.run(READS_POLICIES).expect("a long transaction");
    reader
        .run(&format!("PREPARE TRANSACTION '{name}'"))
        .expect("prepared");
    let mut args = CREATE.to_vec();
    args.extend(["--settle-timeout", "300ms"]);
    let ended = scene.policy(&args);
    scene.sql(&format!("COMMIT PREPARED '{name}'"));
    let ended = ended.expect_status(3);
    assert!(ended.stderr.contains("prepared"), "{}", ended.stderr);
}

#[test]
fn rule_1_a_role_that_sees_nothing_of_others_waits_all_the_same() {
    rule("settle-by-locks", |on| {
        let scene = Scene::small();
        let role =
            scene.text("SELECT 'r' || oid FROM pg_database WHERE datname = current_database()");
        scene.sql(&format!(
            "CREATE ROLE {role} LOGIN;
             GRANT USAGE ON SCHEMA quay_doctor TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA quay_doctor, public TO {role};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA quay_doctor, public TO {role}"
        ));
        let mut pusher = scene.session();
        pusher.run(READS_POLICIES).expect("a long transaction");
        let url = scene.db.tcp_url().replace("postgres@", &format!("{role}@"));
        let mut args = vec!["--database-url", &url];
        args.extend(policy(&CREATE));
        args.extend(["--settle-timeout", "300ms"]);
        let ended = crate::program::command(&args)
            .output()
            .expect("the program starts");
        insert(&mut pusher, "shop", "v99", false);
        pusher.run("COMMIT").expect("the end");
        scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        // It says that it is not finished; or, by pg_stat_activity, that it is, and is wrong.
        let status = ended.status.code();
        assert_eq!(status, Some(if on { 3 } else { 0 }), "{ended:?}");
        let phase = scene.text("SELECT phase FROM quay_doctor.operation");
        assert_eq!(phase, if on { "sweeping" } else { "done" });
        assert!(!immutable(&scene, "v99"));
    });
}

#[test]
fn rule_1_a_push_that_read_a_policy_is_waited_for_before_its_tags_are_released() {
    rule("settle-before-release", |on| {
        let scene = Scene::small();
        let mut pusher = scene.session();
        pusher
            .run(READS_POLICIES)
            .expect("a push that has evaluated");
        let delete = policy(&["delete", crate::policy::scene::GLOBEX, "--tags", "release"]);
        let run = scene.start(&delete);
        scene.wait_for(
            "SELECT count(*) FROM quay_doctor.operation WHERE phase IN ('releasing', 'done')",
        );
        if !on {
            // It waits for nobody: it is over before the push is.
            scene.wait_for("SELECT count(*) FROM quay_doctor.operation WHERE phase = 'done'");
        }
        insert(&mut pusher, "portal", "v99", true);
        log_push(&mut pusher, "v99");
        pusher.run("COMMIT").expect("the end");
        run.end().expect_status(0);
        assert_eq!(immutable(&scene, "v99"), !on, "an orphan without it");
    });
}

#[test]
fn rule_1_a_push_that_read_a_pending_policy_is_waited_for_before_a_roll_back_looks() {
    rule("settle-at-roll-back", |on| {
        let scene = Scene::small();
        scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
        // A Quay that does not know the column: it enforces the inactive row.
        let mut pusher = scene.session();
        pusher
            .run(READS_POLICIES)
            .expect("a push that has evaluated");
        let run = scene.start(&["recover", "--quay-knows-active", "false"]);
        scene.wait_for(
            "SELECT count(*) FROM quay_doctor.operation WHERE phase IN ('undoing', 'rolled_back')",
        );
        thread::sleep(Duration::from_millis(400));
        insert(&mut pusher, "shop", "v99", true);
        log_push(&mut pusher, "v99");
        pusher.run("COMMIT").expect("the end");
        run.end().expect_status(0);
        assert_eq!(
            immutable(&scene, "v99"),
            !on,
            "released, or an orphan for ever"
        );
    });
}

#[test]
fn a_roll_back_deletes_the_policy_before_it_undoes() {
    rule("delete-before-undo", |on| {
        let scene = Scene::small();
        scene.killed(AFTER_COMMIT.nth(2), &policy(&CREATE));
        // `recover` deletes the row itself; the same command turns back, since a row cannot be marked.
        let mut args = CREATE.to_vec();
        args.extend(["--on-fault", "roll-back", "--quay-knows-active", "false"]);
        scene.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON tag FOR EACH ROW WHEN (NEW.immutable AND NEW.name = 'v3.1') EXECUTE FUNCTION refuse()");
        let (hold, run) = scene.held(AFTER_UNDO, &policy(&args));
        let mut pusher = scene.session();
        let enforced = scene.count("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE policy LIKE '%v.*%' AND NOT active") > 0;
        insert(&mut pusher, "shop", "v99", enforced);
        hold.release();
        run.end().expect_status(3);
        // What was pushed after the look is nobody's concern any more.
        scene.sql("DROP TRIGGER refuse ON tag");
        assert_eq!(enforced, !on);
    });
}

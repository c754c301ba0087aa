//! Hands: a worker's other sessions, at work in other repositories at the same time.

use quay_doctor::journal::{HAND_CLASS, LIVENESS_CLASS};
use testkit::moments::REPOSITORY_LOCKED;
use testkit::proxy::Hold;

use super::running::Running;
use super::scene::{GLOBEX, Scene, policy};

const CREATE: [&str; 11] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
    "--batch-time",
    "1us",
    "--jobs",
    "2",
];

/// Repositories of acme in which a tag is left that the creation is to mark.
const LEFT: &str = "SELECT count(DISTINCT repository_id) FROM tag
    WHERE name LIKE 'v%' AND NOT immutable AND lifetime_end_ms IS NULL";

/// Sessions that hold a lock of this class.
fn holders(class: i32) -> String {
    format!(
        "SELECT count(*) FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 2 AND classid = {class}::oid AND granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
}

/// Ends the session that holds a lock of this class.
fn terminate(scene: &Scene, class: i32) {
    let holder = holders(class).replace("count(*)", "pg_terminate_backend(pid, 5000)::int");
    assert_eq!(scene.count(&holder), 1, "one session is ended");
}

/// A creation whose lead and hand both stand in a batch, each with its repository's lock.
fn both_in_a_batch(scene: &Scene) -> (Running, [Hold; 2]) {
    let proxy = scene.proxy();
    let holds = [1, 2].map(|nth| REPOSITORY_LOCKED.nth(nth).hold(&proxy));
    let mut run = scene.start_behind(proxy, &policy(&CREATE));
    // The second to come there is the other session: the first stands there.
    for hold in &holds {
        run.reach(hold, REPOSITORY_LOCKED.name());
    }
    assert_eq!(scene.count(&holders(HAND_CLASS)), 1);
    (run, holds)
}

#[test]
fn hands_do_what_one_session_does() {
    let deletes: Vec<&str> = ["delete", GLOBEX, "--tags", "release"]
        .into_iter()
        .chain(CREATE[5..].iter().copied())
        .collect();
    for args in [&CREATE[..], &deletes] {
        let scene = Scene::small();
        scene.save();
        let sums = |ended: &crate::program::Ended| {
            let said = ended.json();
            (said["changed"].clone(), said["expirations_cleared"].clone())
        };
        let mut alone = args.to_vec();
        *alone.last_mut().expect("a number") = "1";
        let alone = scene.run(&policy(&alone)).expect_status(0);
        let wanted = scene.state();
        for jobs in ["2", "3", "32"] {
            scene.reset();
            let mut together = args.to_vec();
            *together.last_mut().expect("a number") = jobs;
            let ended = scene.run(&policy(&together)).expect_status(0);
            assert_eq!(scene.state(), wanted, "{jobs} {args:?}");
            assert_eq!(sums(&ended), sums(&alone), "{jobs} {args:?}");
            let journal = scene.count("SELECT count(*) FROM quay_doctor.tag_change");
            let counted = scene.count("SELECT sum(tags_changed) FROM quay_doctor.operation");
            assert_eq!(journal, counted, "the operation's row counts what hands do");
        }
    }
}

#[test]
fn while_one_session_stands_in_a_repository_the_other_does_the_rest() {
    let scene = Scene::small();
    let (hold, run) = scene.held(REPOSITORY_LOCKED, &policy(&CREATE));
    scene.wait_for(&format!("SELECT (({LEFT}) = 1)::int"));
    assert_eq!(
        scene.count(
            "SELECT count(*) FROM namespaceimmutabilitypolicy WHERE active AND policy LIKE '%v.*%'"
        ),
        1,
        "globex's alone: nothing is activated before the last has ended"
    );
    hold.release();
    run.end().expect_status(0);
    assert_eq!(scene.count(LEFT), 0);
    scene.check();
}

#[test]
fn an_operation_survives_the_loss_of_its_leads_session_or_its_hands() {
    for class in [LIVENESS_CLASS, HAND_CLASS] {
        let scene = Scene::small();
        scene.save();
        scene.policy(&CREATE).expect_status(0);
        let wanted = scene.state();
        scene.reset();
        let (run, holds) = both_in_a_batch(&scene);
        terminate(&scene, class);
        holds.iter().for_each(Hold::release);
        run.end().expect_status(0);
        assert_eq!(scene.state(), wanted);
        assert_eq!(scene.unfinished(), 0);
    }
}

#[test]
fn ctrl_c_ends_every_session_after_its_batch_and_the_operation_is_left_whole() {
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    let (run, holds) = both_in_a_batch(&scene);
    run.signal("INT");
    holds.iter().for_each(Hold::release);
    run.end().expect_status(3);
    assert_eq!(scene.count(&holders(HAND_CLASS)), 0);
    let journal = scene.count("SELECT count(*) FROM quay_doctor.tag_change");
    let counted = scene.count("SELECT sum(tags_changed) FROM quay_doctor.operation");
    assert_eq!(journal, counted, "whole batches, all of them counted");
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

#[test]
fn recovery_ends_the_hands_of_a_frozen_worker_too() {
    let scene = Scene::small();
    scene.save();
    let before = scene.state();
    let (run, holds) = both_in_a_batch(&scene);
    scene.sql("UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '10 min'");
    scene.run(&["recover", "--wait", "5s"]).expect_status(0);
    assert_eq!(
        scene.state(),
        before,
        "taken back, and nobody waited for a time-out"
    );
    assert_eq!(scene.count(&holders(HAND_CLASS)), 0);
    holds.iter().for_each(Hold::release);
    run.end().expect_status(3);
    assert_eq!(
        scene.state(),
        before,
        "who has lost the operation writes nothing"
    );
}

#[test]
fn a_hand_that_gets_no_connection_leaves_the_work_to_its_lead() {
    let scene = Scene::small();
    let role = "hands_with_one_connection";
    scene.sql(&format!(
        "DO $$ BEGIN CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; EXCEPTION WHEN OTHERS THEN NULL; END $$;
         GRANT pg_read_all_data, pg_write_all_data TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA public, quay_doctor TO {role}"
    ));
    let url = scene.db.url().replace("postgres@", &format!("{role}@"));
    let ended = crate::program::command(&["--database-url", &url])
        .args(policy(&CREATE))
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("no second session can be had"), "{said}");
    assert_eq!(scene.count(LEFT), 0);
}

#[test]
fn a_number_of_sessions_that_makes_no_sense_is_refused() {
    for jobs in ["0", "33", "many"] {
        let mut args = CREATE;
        args[10] = jobs;
        Scene::unmigrated("seed = 1").policy(&args).expect_status(2);
    }
}

//! The rules of the protocol, each with its protection, and what goes wrong without it.
//!
//! A test that takes `off` runs twice: as the program is, and with one safeguard switched off.

use std::thread;
use std::time::Duration;

use quay_doctor::pg::WriteSession;

use super::scene::{Hold, Running, Scene, policy};

const CREATE: [&str; 7] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
];

/// As it is, and with this safeguard switched off.
fn on_and_off(off: &'static str, test: impl Fn(&[(&'static str, &'static str)], bool)) {
    test(&[], true);
    test(&[("QUAY_DOCTOR_SWITCH_OFF", off)], false);
}

/// Starts a creation that is held at a point.
fn held_at(
    scene: &Scene,
    point: &str,
    switches: &[(&str, &str)],
    args: &[&str],
) -> (Hold, Running) {
    let hold = Hold::at(point);
    let at = hold.variable();
    let mut variables = switches.to_vec();
    variables.push(("QUAY_DOCTOR_HOLD_AT", &at));
    let run = scene.start(&variables, &policy(args));
    hold.wait();
    (hold, run)
}

/// Inserts a row as a push does, without a lock; the transaction stays open.
fn insert(session: &mut WriteSession, repository: &str, name: &str, immutable: bool) {
    session
        .run(&format!(
            "INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
             SELECT '{name}', id, (extract(epoch FROM now()) * 1000)::bigint, 1, {immutable}
             FROM repository WHERE name = '{repository}'"
        ))
        .expect("a push");
}

/// Quay's entry about a push that a policy made immutable.
fn log_push(session: &mut WriteSession, name: &str) {
    session
        .run(&format!(
            "INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
             SELECT k.id, u.id, timezone('utc', now()), '{{\"tag\": \"{name}\", \"namespace\": \"acme\", \"repo\": null, \"immutable\": true}}'
             FROM logentrykind k, \"user\" u
             WHERE k.name = 'tag_made_immutable_by_policy' AND u.username = 'acme'"
        ))
        .expect("an entry");
}

fn immutable(scene: &Scene, name: &str) -> bool {
    scene.count(&format!(
        "SELECT count(*) FROM tag WHERE name = '{name}' AND immutable"
    )) == 1
}

const READS_POLICIES: &str = "BEGIN; SELECT policy FROM repositoryimmutabilitypolicy WHERE active;
    SELECT policy FROM namespaceimmutabilitypolicy WHERE active";

#[test]
fn rule_1_a_push_that_read_the_policies_before_activation_is_waited_for() {
    on_and_off("settle-at-activation", |switches, on| {
        let scene = Scene::small();
        let mut pusher = scene.session();
        pusher
            .run(READS_POLICIES)
            .expect("a push that has evaluated");
        let run = scene.start(switches, &policy(&CREATE));
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
    let scene = Scene::small();
    let role = scene.text("SELECT 'r' || oid FROM pg_database WHERE datname = current_database()");
    scene.sql(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA quay_doctor TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA quay_doctor, public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA quay_doctor, public TO {role}"
    ));
    let mut reader = scene.session();
    reader.run(READS_POLICIES).expect("a long transaction");
    let url = scene.db.tcp_url().replace("postgres@", &format!("{role}@"));
    let mut args = vec!["--database-url", &url];
    let create = policy(&CREATE);
    args.extend(create);
    args.extend(["--settle-timeout", "300ms"]);
    let ended = crate::program::run(&args);
    reader.run("COMMIT").expect("the end");
    scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    ended.expect_status(3);
    assert_eq!(
        scene.text("SELECT phase FROM quay_doctor.operation"),
        "sweeping"
    );
}

#[test]
fn rule_1_a_push_that_read_a_pending_policy_is_waited_for_before_a_roll_back_looks() {
    on_and_off("settle-at-roll-back", |switches, on| {
        let scene = Scene::small();
        scene
            .run_with(
                &[("QUAY_DOCTOR_KILL_AT", "before-activation")],
                &policy(&CREATE),
            )
            .expect_status(-1);
        scene.bury();
        // A Quay that does not know the column: it enforces the inactive row.
        let mut pusher = scene.session();
        pusher
            .run(READS_POLICIES)
            .expect("a push that has evaluated");
        let run = scene.start(switches, &["recover", "--quay-knows-active", "false"]);
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
    on_and_off("delete-before-undo", |switches, on| {
        let scene = Scene::small();
        scene
            .run_with(
                &[
                    ("QUAY_DOCTOR_KILL_AT", "after-commit:2"),
                    switches.first().copied().unwrap_or(("A", "B")),
                ],
                &policy(&CREATE),
            )
            .expect_status(-1);
        scene.bury();
        // `recover` deletes the row itself; Ctrl-C in the same command turns back by the switch.
        let mut args = CREATE.to_vec();
        args.extend(["--on-fault", "roll-back", "--quay-knows-active", "false"]);
        let hold_turn = Hold::at("before-activation");
        let hold = Hold::at("after-undo");
        let (turn, after) = (hold_turn.variable(), hold.variable());
        let _ = turn;
        let mut variables = switches.to_vec();
        variables.push(("QUAY_DOCTOR_HOLD_AT", &after));
        // A row that cannot be marked turns the operation back.
        scene.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON tag FOR EACH ROW WHEN (NEW.immutable AND NEW.name = 'v3.1') EXECUTE FUNCTION refuse()");
        let run = scene.start(&variables, &policy(&args));
        hold.wait();
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

#[test]
fn rule_2_a_before_image_is_read_under_lock() {
    on_and_off("locked-image", |switches, on| {
        let scene = Scene::small();
        let (hold, run) = held_at(&scene, "rows-read", switches, &CREATE);
        // A user changes an expiry just then.
        let scene_ref = &scene;
        thread::scope(|scope| {
            let user = scope.spawn(move || {
                let mut user = scene_ref.session();
                let changed = user.run("SET lock_timeout = '400ms'; UPDATE tag SET lifetime_end_ms = 4000000000000 WHERE name = 'v2.1'");
                changed.is_ok()
            });
            let changed = user.join().expect("an end");
            assert_eq!(changed, !on, "with the lock the user waits");
            hold.release();
        });
        run.end().expect_status(0);
        let journaled = scene.count("SELECT c.lifetime_end_ms_before FROM quay_doctor.tag_change c JOIN tag t ON t.id = c.tag_id WHERE t.name = 'v2.1'");
        if !on {
            assert_ne!(
                journaled, 4_000_000_000_000,
                "the user's own expiry is lost for good"
            );
        }
    });
}

#[test]
fn rule_3_a_policy_deleted_by_its_owner_takes_its_tags_along_also_after_activation() {
    on_and_off("own-row", |switches, on| {
        let scene = Scene::small();
        let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
        let (hold, run) = held_at(&scene, "between-sweeps", switches, &CREATE);
        scene.sql("DELETE FROM namespaceimmutabilitypolicy WHERE policy LIKE '%v.*%' AND uuid NOT LIKE '1111%'");
        hold.release();
        let ended = run.end();
        assert_eq!(ended.status, if on { 3 } else { 0 }, "{ended:?}");
        assert_eq!(
            scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t") == tags,
            on
        );
        assert_eq!(scene.unfinished(), 0);
    });
}

#[test]
fn rule_3_a_policy_deleted_while_it_is_applied_is_taken_back() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let (hold, run) = held_at(&scene, "after-commit:2", &[], &CREATE);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy WHERE NOT active");
    hold.release();
    let ended = run.end().expect_status(3);
    assert!(
        ended.stderr.contains("deleted by somebody else"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn rule_3_a_policy_changed_while_it_is_applied_stops_the_work_and_the_difference_is_named() {
    let scene = Scene::small();
    let (hold, run) = held_at(&scene, "after-commit:2", &[], &CREATE);
    let changed = scene.count("SELECT count(*) FROM quay_doctor.tag_change");
    scene.sql("UPDATE namespaceimmutabilitypolicy SET policy = replace(policy, 'v.*', 'w.*') WHERE NOT active");
    hold.release();
    let ended = run.end().expect_status(3);
    assert!(ended.stderr.contains("w.*"), "{}", ended.stderr);
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change"),
        changed,
        "nothing further"
    );
    // Put back, and recovered.
    scene.sql("UPDATE namespaceimmutabilitypolicy SET policy = replace(policy, 'w.*', 'v.*') WHERE NOT active");
    scene.bury();
    scene.run(&["recover", "--resume"]).expect_status(0);
    scene.check();
}

#[test]
fn rule_3_an_updated_policy_that_is_deleted_while_it_releases_orphans_nothing() {
    let scene = Scene::small();
    let args = [
        "update",
        super::scene::GLOBEX,
        "--pattern",
        "(latest|v1.*)",
        "--unmatched-tags",
        "release",
    ];
    let (hold, run) = held_at(&scene, "before-release", &[], &args);
    hold.release();
    run.end().expect_status(0);
    scene
        .policy(&[
            "update",
            super::scene::GLOBEX,
            "--pattern",
            "v.*",
            "--unmatched-tags",
            "release",
        ])
        .expect_status(0);
    // Now in the middle of releasing: one batch is done.
    let hold = Hold::at("before-release");
    let variable = hold.variable();
    let run = scene.start(&[("QUAY_DOCTOR_HOLD_AT", &variable)], &policy(&args));
    hold.wait();
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag WHERE name = 'v5.3' FOR UPDATE")
        .expect("a lock");
    hold.release();
    scene.wait_for("SELECT count(*) FROM quay_doctor.tag_change WHERE operation_id = (SELECT max(id) FROM quay_doctor.operation) AND NOT immutable_after");
    scene.sql("DELETE FROM namespaceimmutabilitypolicy");
    other.run("ROLLBACK").expect("the end");
    run.end().expect_status(3);
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    // The release of two of three stands; nothing that was mutable is made immutable again.
    assert_eq!(
        scene.count("SELECT count(*) FROM tag WHERE immutable AND name IN ('v5.1', 'v5.2')"),
        0
    );
    assert!(!immutable(&scene, "latest"));
}

#[test]
fn rule_3_a_deactivated_policy_that_is_deleted_meanwhile_is_released_all_the_same() {
    let scene = Scene::small();
    let args = [
        "deactivate",
        super::scene::GLOBEX,
        "--yes",
        "--tags",
        "release",
    ];
    let (hold, run) = held_at(&scene, "before-release", &[], &args);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy");
    hold.release();
    run.end().expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND r.name IN ('portal', 'site')"), 0);
}

#[test]
fn rule_4_nobody_adds_a_policy_while_protection_is_taken_away() {
    on_and_off("share-mode", |switches, on| {
        let scene = Scene::small();
        scene
            .run_with(
                &[("QUAY_DOCTOR_KILL_AT", "before-activation")],
                &policy(&CREATE),
            )
            .expect_status(-1);
        scene.bury();
        let hold = Hold::at("before-commit:1");
        let variable = hold.variable();
        let mut variables = switches.to_vec();
        variables.push(("QUAY_DOCTOR_HOLD_AT", &variable));
        let run = scene.start(&variables, &["recover"]);
        hold.wait();
        thread::scope(|scope| {
            // Quay's own creation: the row, and then a pass over what is not immutable yet.
            let quay = scope.spawn(|| {
                let mut quay = scene.session();
                quay.run("INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
                    SELECT '22222222-2222-4222-8222-222222222222', id, '{\"tag_pattern\": \"v.*\", \"tag_pattern_matches\": true}' FROM \"user\" WHERE username = 'acme'").expect("a policy");
                quay.run("UPDATE tag t SET immutable = true, lifetime_end_ms = NULL FROM repository r, \"user\" u
                    WHERE r.id = t.repository_id AND u.id = r.namespace_user_id AND u.username = 'acme'
                        AND t.name LIKE 'v%' AND NOT t.immutable AND NOT t.hidden
                        AND (t.lifetime_end_ms IS NULL OR t.lifetime_end_ms > extract(epoch FROM now()) * 1000)").expect("a pass");
            });
            thread::sleep(Duration::from_millis(400));
            hold.release();
            quay.join().expect("Quay is not disturbed");
        });
        run.end().expect_status(0);
        let unprotected = scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
            WHERE r.name IN ('shop', 'tool', 'web') AND t.name LIKE 'v%' AND t.name NOT LIKE 'v0%' AND NOT t.immutable");
        assert_eq!(
            unprotected == 0,
            on,
            "{unprotected} tags under an active policy are mutable"
        );
    });
}

#[test]
fn rule_5_a_row_that_a_fast_clock_has_just_ended_is_not_brought_back() {
    on_and_off("clock-margin", |switches, on| {
        let scene = Scene::small();
        // Deleted by a Quay whose clock is 20 seconds ahead.
        scene.sql("UPDATE tag SET lifetime_end_ms = (extract(epoch FROM now()) * 1000)::bigint + 20000 WHERE name = 'v1.1'");
        scene.run_with(switches, &policy(&CREATE)).expect_status(0);
        let brought_back = scene.count("SELECT count(*) FROM tag WHERE name = 'v1.1' AND immutable AND lifetime_end_ms IS NULL AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        assert_eq!(brought_back == 0, on);
    });
}

#[test]
fn rule_5_a_row_whose_name_lives_on_in_another_is_not_brought_back() {
    on_and_off("twins", |switches, on| {
        let scene = Scene::small();
        // Moved by a Quay whose clock is ten minutes ahead: more than any margin.
        scene.sql("UPDATE tag SET lifetime_end_ms = (extract(epoch FROM now()) * 1000)::bigint + 600000 WHERE name = 'v1.1'");
        let mut pusher = scene.session();
        insert(&mut pusher, "shop", "v1.1", false);
        scene.run_with(switches, &policy(&CREATE)).expect_status(0);
        let alive = scene.count("SELECT count(*) FROM tag WHERE name = 'v1.1' AND lifetime_end_ms IS NULL AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        assert_eq!(alive == 1, on, "{alive} rows of one name");
    });
}

#[test]
fn rule_6_quays_delete_that_locks_row_then_repository_is_nobodys_victim() {
    on_and_off("skip-locked", |switches, on| {
        let scene = Scene::small();
        let id = i32::try_from(scene.count("SELECT id FROM repository WHERE name = 'shop'"))
            .expect("an id");
        let key = quay_doctor::quay::retarget_lock_key(quay_doctor::quay::RepositoryId(id));
        let mut quay = scene.session();
        // Whoever waits longer finds the deadlock; let that be Quay.
        quay.run(
            "SET deadlock_timeout = '100ms'; BEGIN; SELECT FROM tag WHERE name = 'v1.1' FOR UPDATE",
        )
        .expect("a row");
        let run = scene.start(switches, &policy(&CREATE));
        if on {
            scene.wait_for("SELECT count(*) FROM quay_doctor.tag_change");
        } else {
            scene.wait_for(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'",
            );
        }
        let locked = quay.run(&format!("SELECT pg_advisory_xact_lock({key})"));
        assert_eq!(locked.is_ok(), on, "{locked:?}");
        let _ = quay.run("ROLLBACK");
        drop(quay);
        run.end().expect_status(0);
        scene.check();
    });
}

#[test]
fn rule_6_quays_lock_is_waited_for_before_anything_is_read() {
    let scene = Scene::small();
    let id =
        i32::try_from(scene.count("SELECT id FROM repository WHERE name = 'shop'")).expect("an id");
    let key = quay_doctor::quay::retarget_lock_key(quay_doctor::quay::RepositoryId(id));
    let mut quay = scene.session();
    quay.run(&format!("BEGIN; SELECT pg_advisory_xact_lock({key})"))
        .expect("Quay's lock");
    let run = scene.start(&[], &policy(&CREATE));
    scene.wait_for("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'");
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change"),
        0
    );
    // The push takes the tag away: an end, and a row that is new.
    quay.run("UPDATE tag SET lifetime_end_ms = 1000 WHERE name = 'v2.1'")
        .expect("an end");
    insert(&mut quay, "shop", "v2.1", false);
    quay.run("COMMIT").expect("a push");
    run.end().expect_status(0);
    assert_eq!(
        scene.count(
            "SELECT count(*) FROM tag WHERE name = 'v2.1' AND immutable AND lifetime_end_ms IS NULL"
        ),
        1
    );
    assert_eq!(scene.count("SELECT count(*) FROM tag WHERE name = 'v2.1' AND NOT immutable AND lifetime_end_ms = 1000"), 1);
}

#[test]
fn rule_7_a_worker_whose_operation_was_taken_over_writes_nothing_more() {
    on_and_off("fence", |switches, on| {
        let scene = Scene::small();
        let (hold, run) = held_at(&scene, "after-commit:1", switches, &CREATE);
        let changed = scene.count("SELECT count(*) FROM quay_doctor.tag_change");
        scene.sql("UPDATE quay_doctor.operation SET fence = gen_random_uuid()");
        hold.release();
        let ended = run.end();
        assert_eq!(ended.status, if on { 3 } else { 0 }, "{ended:?}");
        assert_eq!(
            scene.count("SELECT count(*) FROM quay_doctor.tag_change") == changed,
            on
        );
    });
}

#[test]
fn rule_7_a_worker_that_is_frozen_is_ended_and_cannot_go_on_when_it_wakes() {
    let scene = Scene::small();
    let before = scene.state();
    let (hold, run) = held_at(&scene, "after-commit:2", &[], &CREATE);
    run.signal("STOP");
    // It still holds its lock, and has not been heard of for a minute.
    scene
        .sql("UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '5 minutes'");
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
    hold.release();
    run.signal("CONT");
    run.end().expect_status(3);
    assert_eq!(scene.state(), before);
}

#[test]
fn rule_7_a_worker_that_lost_its_connection_and_its_turn_stops() {
    let scene = Scene::small();
    let before = scene.state();
    let (hold, run) = held_at(&scene, "after-commit:2", &[], &CREATE);
    scene.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    hold.release();
    run.end().expect_status(3);
    assert_eq!(scene.state(), before);
}

#[test]
fn rule_8_what_an_unaware_quay_pushed_under_the_pending_policy_is_released_only_where_that_is_certain()
 {
    for (stated, logged, released) in [
        (Some("false"), true, true),
        (Some("false"), false, false),
        (None, true, false),
    ] {
        let scene = Scene::small();
        let (hold, run) = held_at(&scene, "before-activation", &[], &CREATE);
        let mut quay = scene.session();
        insert(&mut quay, "shop", "v99", true);
        // Old by its clock, new by its id: times lie.
        quay.run("UPDATE tag SET lifetime_start_ms = 1000 WHERE name = 'v99'")
            .expect("a clock");
        if logged {
            log_push(&mut quay, "v99");
        }
        run.signal("KILL");
        drop(hold);
        run.end();
        scene.bury();
        let mut args = vec!["recover"];
        if let Some(stated) = stated {
            args.extend(["--quay-knows-active", stated]);
        }
        let ended = scene.run(&args).expect_status(if released { 0 } else { 3 });
        assert_eq!(immutable(&scene, "v99"), !released, "{stated:?} {logged}");
        assert_eq!(ended.stdout.contains("v99"), !released, "{}", ended.stdout);
        assert_eq!(scene.unfinished(), 0, "the rest was rolled back");
    }
}

#[test]
fn rule_9_undo_leaves_a_tag_alone_that_somebody_has_changed_since() {
    on_and_off("as-we-left-it", |switches, on| {
        let scene = Scene::small();
        scene
            .run_with(
                &[("QUAY_DOCTOR_KILL_AT", "before-activation")],
                &policy(&CREATE),
            )
            .expect_status(-1);
        scene.bury();
        // An administrator took one off, and meant it to stay for ever.
        scene.sql("UPDATE tag SET immutable = false WHERE name = 'v2.1'");
        scene.run_with(switches, &["recover"]).expect_status(0);
        let expires = scene
            .count("SELECT count(*) FROM tag WHERE name = 'v2.1' AND lifetime_end_ms IS NOT NULL")
            == 1;
        assert_eq!(expires, !on);
        assert_eq!(scene.count("SELECT count(*) FROM tag WHERE name = 'v2.2' AND lifetime_end_ms IS NOT NULL AND NOT immutable"), 1);
    });
}

#[test]
fn rule_9_an_expiry_that_has_passed_is_not_written_back_unless_asked() {
    for asked in [false, true] {
        let scene = Scene::small();
        scene
            .run_with(
                &[("QUAY_DOCTOR_KILL_AT", "before-activation")],
                &policy(&CREATE),
            )
            .expect_status(-1);
        scene.bury();
        scene.sql("UPDATE quay_doctor.tag_change SET lifetime_end_ms_before = 1000 WHERE tag_id = (SELECT id FROM tag WHERE name = 'v2.1')");
        let mut args = vec!["recover"];
        if asked {
            args.push("--restore-past-expiry");
        }
        let ended = scene.run(&args).expect_status(0);
        assert_eq!(
            scene.text("SELECT concat_ws(' ', immutable, coalesce(lifetime_end_ms, 0)) FROM tag WHERE name = 'v2.1'"),
            if asked { "f 1000" } else { "f 0" }
        );
        assert_eq!(
            ended
                .stdout
                .contains("1 tags had an expiry that has passed"),
            !asked,
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn rule_9_a_before_image_belongs_to_the_tag_whichever_operation_wrote_it() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let uuid = |pattern: &str| {
        scene.create(pattern, &[]).expect_status(0).json()["policy"]
            .as_str()
            .expect("a uuid")
            .to_owned()
    };
    // The first clears the expiry, the second finds none; the first goes, the second holds the tag.
    let first = uuid("v.*");
    let second = uuid("v2.*");
    scene
        .policy(&["delete", &first, "--tags", "release"])
        .expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND t.name LIKE 'v2%' AND r.name = 'shop'"), 2);
    scene
        .policy(&["delete", &second, "--tags", "release"])
        .expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
}

#[test]
fn rule_9_two_operations_on_the_same_tags_leave_no_orphan_whichever_is_undone() {
    for order in [["1", "2"], ["2", "1"]] {
        let scene = Scene::small();
        let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
        // Both are at work at once; the second finds immutable what the first has marked.
        let (first, one) = held_at(&scene, "before-activation", &[], &CREATE);
        let args = [
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v[12].*",
            "--strategy",
            "phased",
        ];
        let (second, two) = held_at(&scene, "before-activation", &[], &args);
        let mut runs = [(first, Some(one)), (second, Some(two))];
        for id in order {
            // One is killed and taken back while the other still holds its lock.
            let index: usize = id.parse::<usize>().expect("a number") - 1;
            let run = runs[index].1.take().expect("running");
            run.signal("KILL");
            run.end();
            scene.sql(
                "UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '40 s'",
            );
            scene.run(&["recover", id]).expect_status(0);
        }
        assert_eq!(
            scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
            tags,
            "{order:?}"
        );
    }
}

#[test]
fn rule_9_two_deletions_at_once_do_not_take_each_other_for_a_reason_to_keep() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let uuid = |pattern: &str| {
        scene.create(pattern, &[]).expect_status(0).json()["policy"]
            .as_str()
            .expect("a uuid")
            .to_owned()
    };
    let (first, second) = (uuid("v.*"), uuid("v2.*"));
    let (hold, run) = held_at(
        &scene,
        "before-release",
        &[],
        &["delete", &first, "--tags", "release"],
    );
    scene
        .policy(&["delete", &second, "--tags", "release"])
        .expect_status(0);
    hold.release();
    run.end().expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
}

#[test]
fn rule_9_an_older_declaration_is_no_reason_to_leave_a_roll_back_half_done() {
    let scene = Scene::small();
    scene
        .policy(&["delete", super::scene::GLOBEX, "--tags", "keep"])
        .expect_status(0);
    // Pushed since: the declaration's text covers it, the declaration did not mean it.
    let mut pusher = scene.session();
    insert(&mut pusher, "portal", "v50", false);
    scene.sql("UPDATE tag SET lifetime_end_ms = 4000000000000 WHERE name = 'v50'");
    let before = scene.state();
    let create = [
        "create",
        "--namespace",
        "globex",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ];
    scene
        .run_with(
            &[("QUAY_DOCTOR_KILL_AT", "before-activation")],
            &policy(&create),
        )
        .expect_status(-1);
    assert!(immutable(&scene, "v50"));
    scene.bury();
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

#[test]
fn rule_10_what_an_administrator_took_off_meanwhile_stays_off() {
    on_and_off("taken-off", |switches, on| {
        let scene = Scene::small();
        let (hold, run) = held_at(&scene, "before-activation", switches, &CREATE);
        scene.sql("UPDATE tag SET immutable = false WHERE name = 'v1.2' AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(
            scene.count("SELECT count(*) FROM tag WHERE name = 'v1.2' AND NOT immutable") == 1,
            on
        );
    });
}

#[test]
fn rule_10_the_sweep_finds_a_row_with_an_old_id_that_came_late() {
    on_and_off("whole-sweep", |switches, on| {
        let scene = Scene::small();
        // A push that had its id before the operation began, and commits after its first pass.
        let mut pusher = scene.session();
        pusher.run("BEGIN").expect("a transaction");
        insert(&mut pusher, "shop", "v99", false);
        let (hold, run) = held_at(&scene, "before-activation", switches, &CREATE);
        pusher.run("COMMIT").expect("a push");
        hold.release();
        run.end().expect_status(0);
        assert_eq!(immutable(&scene, "v99"), on);
    });
}

#[test]
fn rule_12_small_scopes_are_done_at_once_and_the_choice_is_told() {
    let scene = Scene::of(
        r#"
        seed = 3
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "v{n}"
        count = 501
        [[namespace.repository.tags]]
        name = "w{n}"
        count = 500
    "#,
    );
    assert_eq!(
        scene.create("w.*", &[]).expect_status(0).json()["strategy"],
        "atomic"
    );
    assert_eq!(
        scene.create("v.*", &[]).expect_status(0).json()["strategy"],
        "phased"
    );
}

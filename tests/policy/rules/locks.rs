//! Rules 2, 4, 5 and 6: what is read and written under which locks.

use std::thread;
use std::time::Duration;

use quay_doctor::quay::{RepositoryId, retarget_lock_key};
use testkit::moments::{
    AFTER_COMMIT, BEFORE_ACTIVATION, BEFORE_COMMIT, REPOSITORY_LOCKED, ROWS_READ,
};

use super::{CREATE, held, insert};
use crate::mutant::rule;
use crate::policy::scene::{Scene, policy};

#[test]
fn rule_2_a_before_image_is_read_under_lock() {
    rule("locked-image", |on| {
        let scene = Scene::small();
        let (hold, run) = held(&scene, ROWS_READ, &CREATE);
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
fn rule_4_nobody_adds_a_policy_while_protection_is_taken_away() {
    rule("share-mode", |on| {
        let scene = Scene::small();
        scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
        let (hold, run) = scene.held(BEFORE_COMMIT, &["recover"]);
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

/// Quay may change a policy meanwhile, whoever has the repository.
#[test]
fn rule_4_while_a_repository_is_waited_for_no_policy_change_waits_for_long() {
    for (verb, then) in [
        (
            "release",
            &["policy", "delete", "", "--tags", "release"][..],
        ),
        ("roll-back", &["recover", "--roll-back"]),
        (
            "fix",
            &[
                "fix",
                "--apply",
                "--remedy",
                "orphaned-immutable-tag=release",
            ],
        ),
    ] {
        let scene = Scene::small();
        let mut args: Vec<&str> = then.to_vec();
        let created;
        if verb == "roll-back" {
            scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
        } else {
            created = scene.create("v.*", &[]).expect_status(0).json();
            if verb == "fix" {
                scene.sql(
                    "DELETE FROM namespaceimmutabilitypolicy WHERE uuid::text NOT LIKE '1111%'",
                );
            } else {
                args[2] = created["policy"].as_str().expect("a uuid");
            }
        }
        let shop = scene.count("SELECT id FROM repository WHERE name = 'shop'");
        let shop = RepositoryId(i32::try_from(shop).expect("an id"));
        let mut holder = scene.session();
        holder
            .run(&format!(
                "BEGIN; SELECT pg_advisory_xact_lock({})",
                retarget_lock_key(shop)
            ))
            .expect("a lock");
        let run = scene.start(&args);
        scene.wait_for("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
        let mut quay = scene.session();
        quay.run("SET lock_timeout = '700ms'").expect("a limit");
        for _ in 0..20 {
            quay.run("UPDATE namespaceimmutabilitypolicy SET policy = policy WHERE uuid::text LIKE '1111%'")
                .unwrap_or_else(|error| panic!("{verb}: {error}"));
            thread::sleep(Duration::from_millis(100));
        }
        holder.run("COMMIT").expect("the end");
        run.end().expect_status(0);
    }
}

#[test]
fn rule_2_a_change_and_its_before_image_commit_together() {
    rule("journal-with-change", |on| {
        let scene = Scene::small();
        let before = scene.state();
        scene.killed(AFTER_COMMIT, &policy(&CREATE));
        scene.run(&["recover"]).expect_status(0);
        // Else nothing tells how the tags were: orphans, and their expiry is lost.
        assert_eq!(scene.state() == before, on);
    });
}

#[test]
fn rule_5_a_row_that_a_fast_clock_has_just_ended_is_not_brought_back() {
    rule("clock-margin", |on| {
        let scene = Scene::small();
        // Deleted by a Quay whose clock is 20 seconds ahead.
        scene.sql("UPDATE tag SET lifetime_end_ms = (extract(epoch FROM now()) * 1000)::bigint + 20000 WHERE name = 'v1.1'");
        scene.run(&policy(&CREATE)).expect_status(0);
        let brought_back = scene.count("SELECT count(*) FROM tag WHERE name = 'v1.1' AND immutable AND lifetime_end_ms IS NULL AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        assert_eq!(brought_back == 0, on);
    });
}

#[test]
fn rule_5_a_row_whose_name_lives_on_in_another_is_not_brought_back() {
    rule("twins", |on| {
        let scene = Scene::small();
        // Moved by a Quay whose clock is ten minutes ahead: more than any margin.
        scene.sql("UPDATE tag SET lifetime_end_ms = (extract(epoch FROM now()) * 1000)::bigint + 600000 WHERE name = 'v1.1'");
        let mut pusher = scene.session();
        insert(&mut pusher, "shop", "v1.1", false);
        scene.run(&policy(&CREATE)).expect_status(0);
        let alive = scene.count("SELECT count(*) FROM tag WHERE name = 'v1.1' AND lifetime_end_ms IS NULL AND repository_id = (SELECT id FROM repository WHERE name = 'shop')");
        assert_eq!(alive == 1, on, "{alive} rows of one name");
    });
}

#[test]
fn rule_6_quays_delete_that_locks_row_then_repository_is_nobodys_victim() {
    rule("skip-locked", |on| {
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
        let run = scene.start(&policy(&CREATE));
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
    let run = scene.start(&policy(&CREATE));
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
fn rule_6_whoever_does_not_let_go_of_a_lock_costs_a_batch_and_nothing_else() {
    let scene = Scene::small();
    let (hold, run) = held(&scene, REPOSITORY_LOCKED, &CREATE);
    let mut other = scene.session();
    other
        .run("BEGIN; LOCK TABLE quay_doctor.tag_change IN SHARE MODE")
        .expect("the journal");
    hold.release();
    // The quick way has given up, and the batch begins again with locks.
    scene.wait_for(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%tag_change%'",
    );
    other.run("ROLLBACK").expect("an end");
    run.end().expect_status(0);
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change"),
        scene.count("SELECT count(*) FROM tag WHERE immutable AND name LIKE 'v%' AND id IN (SELECT tag_id FROM quay_doctor.tag_change)")
    );
    scene.check();
}

#[test]
fn rule_6_rows_that_somebody_held_before_are_marked_like_all_others() {
    let scene = Scene::small();
    // Both leave their mark on the rows: an xmax that is nobody's any more.
    scene.sql("BEGIN; SELECT FROM tag WHERE id % 3 = 0 FOR UPDATE; ROLLBACK");
    scene.sql("BEGIN; SELECT FROM tag WHERE id % 3 = 1 FOR KEY SHARE; COMMIT");
    assert!(scene.count("SELECT count(*) FROM tag WHERE xmax <> 0") > 0);
    scene.run(&policy(&CREATE)).expect_status(0);
    scene.check();
}

//! Every hostile setting, at role and at database level, under every verb: what comes out is what comes out
//! without it.

use super::{Level, set, with_work};
use crate::policy::scene::{GLOBEX, MATCHING, SMALL, Scene};

/// Settings that an ordinary role may have, and that would change what a statement means or end it.
const HOSTILE: [(&str, &str); 25] = [
    ("DateStyle", "'SQL, DMY'"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "'Pacific/Kiritimati'"),
    ("array_nulls", "off"),
    ("backslash_quote", "off"),
    ("bytea_output", "escape"),
    ("client_encoding", "LATIN1"),
    ("client_min_messages", "debug1"),
    ("default_transaction_deferrable", "on"),
    ("default_transaction_isolation", "serializable"),
    ("enable_indexscan", "off"),
    ("extra_float_digits", "-15"),
    ("gin_fuzzy_search_limit", "1"),
    ("idle_in_transaction_session_timeout", "1000"),
    ("idle_session_timeout", "300"),
    ("jit_above_cost", "0"),
    ("lock_timeout", "500"),
    ("quote_all_identifiers", "on"),
    ("row_security", "on"),
    ("search_path", "evil, public, pg_catalog"),
    ("standard_conforming_strings", "off"),
    ("statement_timeout", "1000"),
    ("synchronous_commit", "off"),
    ("transaction_timeout", "20000"),
    ("transform_null_equals", "on"),
];

/// A schema before pg_catalog whose operators and functions lie.
const EVIL: &str = "CREATE SCHEMA evil;
    CREATE FUNCTION evil.lie(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
    CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.lie);
    CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.lie);
    CREATE FUNCTION evil.lie(name, name) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
    CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.lie);
    CREATE OPERATOR evil.<> (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.lie);
    CREATE FUNCTION evil.lie(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
    CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.lie);
    CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
        'SELECT ''2001-01-01''::timestamptz';
    CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT $2';
    CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT ''off''';
    CREATE FUNCTION evil.pg_try_advisory_lock(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'";

fn exists(scene: &Scene, name: &str) -> bool {
    scene.count(&format!(
        "SELECT count(*) FROM pg_settings WHERE name = '{name}'"
    )) > 0
}

fn verbs(scene: &Scene) {
    scene.run(&["migrate", "status"]).expect_status(0);
    scene.run(&["migrate", "verify"]).expect_status(0);
    scene.run(&["check"]).expect_status(0);
    let created = scene.create("v.*", &[]).expect_status(0).json();
    assert_eq!(created["tags_changed"], MATCHING);
    scene.run(&["check"]).expect_status(0);
    scene.run(&["recover", "--list"]).expect_status(0);
    // A tag that lost its protection is given it back, and the fix taken back.
    scene.sql("UPDATE tag SET immutable = false WHERE name = 'v5.1'");
    scene.run(&["check"]).expect_status(1);
    let fix = ["fix", "--apply", "--immutable-tags-can-expire", "false"];
    let fixed = scene.run(&[&fix[..], &["--format", "json"]].concat());
    let fixed = fixed.expect_status(0).json();
    assert_eq!(fixed["applied"], 1, "{fixed}");
    scene
        .run(&["fix", "undo", &fixed["run"].to_string()])
        .expect_status(0);
    assert_eq!(
        scene.count("SELECT count(*) FROM tag WHERE name = 'v5.1' AND NOT immutable"),
        1
    );
    scene.run(&["history"]).expect_status(0);
    let uuid = created["policy"].as_str().expect("a uuid");
    let deleted = scene.policy(&["delete", uuid, "--tags", "release"]);
    assert_eq!(deleted.expect_status(0).json()["tags_changed"], MATCHING);
    scene
        .policy(&[
            "update",
            GLOBEX,
            "--pattern",
            "w.*",
            "--unmatched-tags",
            "keep",
        ])
        .expect_status(0);
}

#[test]
fn every_verb_does_the_same_under_every_hostile_setting_of_a_role_or_a_database() {
    for level in Level::BOTH {
        // All of them at once; which one it was is seen by leaving some out.
        let scene = Scene::unmigrated(SMALL);
        scene.sql(EVIL);
        for (name, value) in HOSTILE {
            if exists(&scene, name) {
                set(&scene, level, name, value);
            }
        }
        scene.run(&["migrate", "up"]).expect_status(0);
        verbs(&scene);
    }
}

#[test]
fn every_hostile_setting_alone_leaves_a_check_and_a_creation_what_they_are() {
    let scene = Scene::of(SMALL);
    scene.sql(EVIL);
    for (nth, (name, value)) in HOSTILE.into_iter().enumerate() {
        if !exists(&scene, name) {
            continue;
        }
        let level = Level::BOTH[nth % 2];
        set(&scene, level, name, value);
        let create = scene.create("v.*", &[]);
        assert_eq!(create.status, 0, "{name}: {create:#?}");
        let created = create.json();
        assert_eq!(created["tags_changed"], MATCHING, "{name}");
        let check = scene.run(&["check"]);
        assert_eq!(check.status, 0, "{name}: {check:#?}");
        let uuid = created["policy"].as_str().expect("a uuid");
        let deleted = scene.policy(&["delete", uuid, "--tags", "release"]);
        assert_eq!(deleted.status, 0, "{name}: {deleted:#?}");
        set(&scene, level, name, "DEFAULT");
    }
}

#[test]
fn a_setting_that_a_role_cannot_change_is_refused_by_name() {
    for (name, value, reads, writes) in [
        ("session_replication_role", "replica", 0, 2),
        ("zero_damaged_pages", "on", 2, 2),
        ("ignore_checksum_failure", "on", 2, 2),
    ] {
        for level in Level::BOTH {
            let scene = with_work();
            set(&scene, level, name, value);
            for (args, status) in [
                (&["history"][..], reads),
                (&["policy", "list"], reads),
                (
                    &["fix", "--apply", "--immutable-tags-can-expire", "false"],
                    writes,
                ),
                (&["recover"], writes),
                (&["migrate", "up"], writes),
                (&["policy", "delete", GLOBEX, "--tags", "release"], writes),
            ] {
                let ended = scene.run(args).expect_status(status);
                let named = ended.stderr.contains(name);
                assert_eq!(named, status == 2, "{args:?}: {}", ended.stderr);
            }
        }
    }
}

#[test]
fn a_commit_is_never_weaker_than_the_server_has_it_and_a_stronger_one_stays() {
    let scene = Scene::of(SMALL);
    scene.sql(
        "CREATE TABLE seen (value text);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
         CREATE TRIGGER look AFTER UPDATE ON tag FOR EACH STATEMENT EXECUTE FUNCTION look()",
    );
    for (asked, used) in [
        ("off", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        set(&scene, Level::Role, "synchronous_commit", asked);
        scene.sql("TRUNCATE seen");
        let created = scene.create("v.*", &[]).expect_status(0).json();
        let uuid = created["policy"].as_str().expect("a uuid");
        scene
            .policy(&["delete", uuid, "--tags", "release"])
            .expect_status(0);
        assert_eq!(
            scene.text("SELECT string_agg(DISTINCT value, ',') FROM seen"),
            used
        );
    }
}

#[test]
fn a_session_that_writes_keeps_the_shorter_limit_and_one_that_reads_has_none() {
    let scene = Scene::of(SMALL);
    for (asked, idle, statement, lock) in [
        ("0", "5000", "30000", "2000"),
        ("1500", "1500", "1500", "1500"),
        ("60000", "5000", "30000", "2000"),
    ] {
        scene.sql(
            "DROP TABLE IF EXISTS seen; CREATE TABLE seen (name text, value text);
             CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO seen SELECT name, setting FROM pg_settings WHERE name IN ('statement_timeout',
                     'lock_timeout', 'idle_in_transaction_session_timeout'); RETURN NULL; END $$;
             CREATE OR REPLACE TRIGGER look AFTER INSERT ON quay_doctor.operation
                 FOR EACH STATEMENT EXECUTE FUNCTION look();
             CREATE OR REPLACE TRIGGER look AFTER INSERT ON namespaceimmutabilitypolicy
                 FOR EACH STATEMENT EXECUTE FUNCTION look()",
        );
        for name in [
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
        ] {
            set(&scene, Level::Role, name, asked);
        }
        let created = scene.create("v.*", &[]).expect_status(0).json();
        let seen = |name: &str| {
            scene.text(&format!(
                "SELECT string_agg(DISTINCT value, ',') FROM seen WHERE name = '{name}'"
            ))
        };
        assert_eq!(seen("statement_timeout"), statement, "{asked}");
        assert_eq!(seen("idle_in_transaction_session_timeout"), idle, "{asked}");
        assert_eq!(seen("lock_timeout"), lock, "{asked}");
        let uuid = created["policy"].as_str().expect("a uuid");
        scene
            .policy(&["delete", uuid, "--tags", "release"])
            .expect_status(0);
    }
}

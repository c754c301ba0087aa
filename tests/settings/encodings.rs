//! Issue 17, "Encodings": a database that is not UTF8. Nothing is begun in it; what was begun before somebody
//! restored it there can be ended.

use crate::policy::scene::{GLOBEX, SMALL, Scene, policy};

/// Makes the database one of another encoding, as if it had been restored there. All that is in it is ASCII.
fn encode(scene: &Scene, encoding: &str) {
    scene.sql(&format!(
        "UPDATE pg_database SET encoding = pg_char_to_encoding('{encoding}')
         WHERE datname = current_database()"
    ));
}

/// A tag that is pushed into acme/shop.
fn push(scene: &Scene, name: &str) {
    scene.sql(&format!(
        "INSERT INTO tag (name, repository_id, manifest_id, lifetime_start_ms, hidden, reversion,
             tag_kind_id, immutable)
         SELECT '{name}', repository_id, manifest_id, lifetime_start_ms, false, false, tag_kind_id, false
         FROM tag WHERE name = 'v1.1' AND repository_id = (SELECT id FROM repository WHERE name = 'shop')"
    ));
}

/// Verbs that begin something.
const BEGINNING: [&[&str]; 6] = [
    &["migrate", "up"],
    &[
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "x.{3}",
    ],
    &[
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "vé→.*",
        "--dry-run",
    ],
    &["policy", "delete", GLOBEX, "--tags", "keep"],
    &["policy", "deactivate", GLOBEX, "--tags", "keep", "--yes"],
    &["fix", "--apply", "--immutable-tags-can-expire", "false"],
];

#[test]
fn nothing_is_begun_in_a_database_that_is_not_utf8_and_it_can_be_checked() {
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let scene = Scene::of(SMALL);
        scene.sql("UPDATE tag SET immutable = false WHERE name = 'v5.1'");
        encode(&scene, encoding);
        let before = scene.state();
        for args in BEGINNING {
            let ended = scene.run(args).expect_status(2);
            assert!(
                ended.stderr.contains(encoding),
                "{args:?}: {}",
                ended.stderr
            );
        }
        assert_eq!(scene.state(), before);
        scene.run(&["check"]).expect_status(1);
        let unknown = scene
            .run(&["check", "--namespace", "日本"])
            .expect_status(2);
        assert!(unknown.stderr.contains("日本"), "{}", unknown.stderr);
        for args in [
            &["migrate", "status"][..],
            &["migrate", "verify"],
            &["recover", "--list"],
            &["recover"],
            &["history"],
            &["policy", "list"],
        ] {
            scene.run(args).expect_status(0);
        }
        scene
            .run(&["migrate", "down", "--to", "1"])
            .expect_status(0);
    }
}

/// A creation whose worker was killed, before its policy is active or after.
fn interrupted(pattern: &str, active: bool) -> Scene {
    let scene = Scene::of(SMALL);
    push(&scene, "x123");
    push(&scene, "vé→1");
    let mut other = scene.session();
    let holds = if active {
        // Whoever has read the policies is waited for.
        "BEGIN; SELECT count(*) FROM namespaceimmutabilitypolicy"
    } else {
        "BEGIN; SELECT FROM tag WHERE name IN ('x123', 'vé→1') FOR UPDATE"
    };
    other.run(holds).expect("a lock");
    let create = ["create", "--namespace", "acme", "--pattern", pattern];
    let run = scene.start(
        &[],
        &policy(&[&create[..], &["--strategy", "phased"]].concat()),
    );
    let phase = if active { "sweeping" } else { "applying" };
    scene.wait_for(&format!(
        "SELECT count(*) FROM quay_doctor.operation WHERE phase = '{phase}'"
    ));
    run.signal("KILL");
    run.end();
    other.run("COMMIT").expect("the end");
    scene.bury();
    scene
}

#[test]
fn an_operation_can_be_ended_in_a_database_that_counts_bytes_and_misses_no_late_push() {
    for active in [false, true] {
        let scene = interrupted("x.{3}", active);
        encode(&scene, "SQL_ASCII");
        push(&scene, "xé12");
        scene.run(&["recover", "--resume"]).expect_status(0);
        let marked =
            scene.count("SELECT count(*) FROM tag WHERE name IN ('x123', 'xé12') AND immutable");
        assert_eq!(marked, 2, "active: {active}");
        scene.run(&["check"]).expect_status(0);
    }
}

#[test]
fn a_check_misses_no_violation_in_a_database_that_counts_bytes() {
    let scene = Scene::of(SMALL);
    scene.sql(
        r#"UPDATE namespaceimmutabilitypolicy
        SET policy = '{"tag_pattern": "v.{3}", "tag_pattern_matches": true}'"#,
    );
    encode(&scene, "SQL_ASCII");
    scene.run(&["check"]).expect_status(0);
    scene.sql("UPDATE tag SET name = 'vé12', immutable = false WHERE name = 'v5.1'");
    let check = scene.run(&["check", "--format", "json"]).expect_status(1);
    let violations = &check.json()["violations"];
    assert_eq!(violations[0]["subject"]["name"], "vé12", "{violations}");
}

#[test]
fn an_operation_can_be_ended_in_a_database_that_cannot_hold_its_pattern() {
    for (active, how, status) in [
        (false, "--roll-back", 0),
        (false, "--resume", 0),
        (true, "--resume", 0),
    ] {
        let scene = interrupted("vé→.*", active);
        scene.sql("DELETE FROM tag WHERE name = 'vé→1'");
        encode(&scene, "LATIN1");
        scene.run(&["recover", how]).expect_status(status);
        assert_eq!(scene.unfinished(), 0, "active: {active}, {how}");
        scene.run(&["check"]).expect_status(0);
        scene.run(&["migrate", "hand-over"]).expect_status(0);
    }
}

#[test]
fn a_check_names_the_rows_whose_names_are_no_text() {
    let scene = Scene::of(SMALL);
    encode(&scene, "SQL_ASCII");
    scene.sql("UPDATE tag SET name = E'v\\xff' WHERE name = 'v5.1'");
    let id = scene.count("SELECT id FROM tag WHERE name LIKE 'v%' AND octet_length(name) = 2");
    let ended = scene.run(&["check"]).expect_status(3);
    assert!(
        ended.stderr.contains(&format!("tag {id} (v\\377)")),
        "{}",
        ended.stderr
    );
}

//! A trigger on `tag` that swallows an UPDATE, or writes something else than was asked for.

use serde_json::Value;

use crate::line::script;
use crate::line::stage::{BOTH_FAILURES, RELEASE, Stage};
use crate::policy::scene::{GLOBEX, MATCHING, Scene};

/// Makes a trigger before each UPDATE of a tag that runs `body`.
fn trigger(body: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN {body} RETURN NEW; END $$;
         CREATE OR REPLACE TRIGGER meddle BEFORE UPDATE ON tag FOR EACH ROW EXECUTE FUNCTION meddle()"
    )
}

/// Swallows every UPDATE of tags of a name.
fn swallows(name: &str) -> String {
    trigger(&format!("IF OLD.name = '{name}' THEN RETURN NULL; END IF;"))
}

/// Entries of the journal that are not undone and do not agree with their tag.
const DISAGREE: &str = "SELECT count(*) FROM quay_doctor.tag_change c JOIN tag t ON t.id = c.tag_id
    WHERE c.undone_at IS NULL
        AND c.id = (SELECT max(id) FROM quay_doctor.tag_change
            WHERE tag_id = c.tag_id AND undone_at IS NULL)
        AND (c.immutable_after, c.lifetime_end_ms_after)
            IS DISTINCT FROM (t.immutable, t.lifetime_end_ms)";

fn names(document: &Value, key: &str) -> Vec<String> {
    let names = document[key].as_array().expect("names");
    names
        .iter()
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn a_row_whose_marking_is_swallowed_is_named_and_not_journaled() {
    for strategy in ["atomic", "phased"] {
        for (name, cleared) in [("v1.3", 3), ("v4.1", 2)] {
            let scene = Scene::small();
            scene.sql(&swallows(name));
            let done = scene
                .create("v.*", &["--strategy", strategy])
                .expect_status(1)
                .json();
            assert_eq!(done["tags_changed"], MATCHING - 1, "{strategy} {done}");
            assert_eq!(done["expirations_cleared"], cleared, "{strategy} {done}");
            assert_eq!(done["tags_not_written"], 1, "{done}");
            assert!(names(&done, "not_written")[0].ends_with(name), "{done}");
            assert_eq!(
                scene.count("SELECT count(*) FROM quay_doctor.tag_change"),
                MATCHING - 1
            );
            assert_eq!(
                scene.count("SELECT tags_skipped FROM quay_doctor.operation"),
                1
            );
            assert_eq!(scene.count(DISAGREE), 0);
            scene.run(&["check", "--grace", "0s"]).expect_status(1);
        }
    }
}

#[test]
fn a_marking_that_a_trigger_alters_is_journaled_as_it_is_and_named() {
    let scene = Scene::small();
    scene.sql(&trigger(
        "IF OLD.name = 'v2.1' THEN NEW.lifetime_end_ms = OLD.lifetime_end_ms; END IF;
         IF OLD.name = 'v1.3' THEN NEW.lifetime_end_ms = 4000000000000; END IF;",
    ));
    let done = scene
        .create("v.*", &["--strategy", "phased"])
        .expect_status(1)
        .json();
    assert_eq!(done["tags_not_written"], 2, "{done}");
    assert_eq!(done["expirations_cleared"], 2, "{done}");
    assert_eq!(scene.count(DISAGREE), 0);
}

#[test]
fn a_row_whose_release_is_swallowed_is_counted_once_and_named() {
    let scene = Scene::small();
    let created = scene.create("v.*", &[]).expect_status(0).json();
    let uuid = created["policy"].as_str().expect("a uuid");
    scene.sql(&swallows("v1.3"));
    let done = scene
        .policy(&["delete", uuid, "--tags", "release"])
        .expect_status(1)
        .json();
    assert_eq!(done["tags_changed"], MATCHING - 1, "{done}");
    assert_eq!(done["tags_not_written"], 1, "{done}");
    assert_eq!(scene.count(DISAGREE), 0);
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn a_row_that_an_update_can_neither_mark_nor_release_is_named() {
    let scene = Scene::small();
    scene.sql(&trigger(
        "IF OLD.name IN ('latest', 'v5.2') THEN RETURN NULL; END IF;",
    ));
    let update = [
        "update",
        GLOBEX,
        "--pattern",
        "latest|v1.*",
        "--unmatched-tags",
        "release",
    ];
    let done = scene.policy(&update).expect_status(1).json();
    assert_eq!(done["tags_not_written"], 2, "{done}");
    assert_eq!(done["tags_changed"], 2, "{done}");
    assert_eq!(scene.count(DISAGREE), 0);
}

#[test]
fn a_row_that_a_roll_back_cannot_release_is_named_and_its_entry_stands() {
    let scene = Scene::small();
    scene.sql(&trigger(
        "IF NEW.immutable AND OLD.name = 'v4.1' THEN RAISE 'no'; END IF;
         IF NOT NEW.immutable AND OLD.name = 'v1.3' THEN RETURN NULL; END IF;",
    ));
    let ended = scene
        .create("v.*", &["--strategy", "phased"])
        .expect_status(3);
    assert!(ended.stderr.contains("v1.3"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("everything is as before:"),
        "{}",
        ended.stderr
    );
    assert_eq!(scene.unfinished(), 0);
    let standing = "SELECT count(*) FROM quay_doctor.tag_change WHERE undone_at IS NULL";
    assert_eq!(scene.count(standing), 1);
    assert_eq!(scene.count(DISAGREE), 0);
}

const FIX: [&str; 8] = [
    "fix",
    "--apply",
    "--remedy",
    RELEASE,
    "--immutable-tags-can-expire",
    "false",
    "--format",
    "json",
];

#[test]
fn a_fix_names_what_it_could_not_write_and_an_undo_refuses_it() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let before = stage.dump();
    stage.sql(&trigger(
        "IF OLD.name IN ('v7', 'v3.5') THEN RETURN NULL; END IF;",
    ));
    let run = stage.run(&FIX).expect_status(1).json();
    assert_eq!(run["applied"], 518, "{run}");
    assert_eq!(run["skipped"], 2, "{run}");
    assert_eq!(run["expirations_cleared"], 19, "{run}");
    assert_eq!(run["tags_not_written"], 2, "{run}");
    assert_eq!(names(&run, "not_written").len(), 2, "{run}");
    assert_eq!(
        stage.count("SELECT count(*) FROM quay_doctor.tag_change"),
        518
    );
    assert_eq!(stage.count(DISAGREE), 0);

    stage.sql(&swallows("v8"));
    let undone = stage
        .run(&["fix", "undo", "1", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(undone["undone"], 517, "{undone}");
    assert_eq!(undone["refused"], 1, "{undone}");
    let what = undone["refusals"][0]["what"].as_str().expect("a row");
    assert!(what.ends_with("v8"), "{undone}");
    assert_eq!(stage.count(DISAGREE), 0);

    stage.sql("DROP TRIGGER meddle ON tag");
    stage.run(&["fix", "undo", "1"]).expect_status(0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn all_or_nothing_is_nothing_where_a_row_is_swallowed() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(&swallows("v7"));
    let before = stage.dump();
    let ended = stage.run(&[&FIX[..], &["--strategy", "atomic"]].concat());
    assert_ne!(ended.status, 0, "{ended:?}");
    assert_eq!(stage.dump(), before);
}

#[test]
fn a_script_journals_what_its_update_returned() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.sql(&trigger(
        "IF OLD.name IN ('v7', 'v3.5') THEN RETURN NULL; END IF;",
    ));
    let print = [
        "fix",
        "--print-sql",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
    ];
    let text = stage.run(&print).expect_status(1).stdout;
    let Some(psql) = script::psql() else {
        return;
    };
    let (ended, told) = script::run(&psql, &stage, &text);
    assert!(ended, "{told}");
    assert_eq!(
        stage.count("SELECT count(*) FROM quay_doctor.tag_change"),
        518
    );
    assert_eq!(
        stage.count("SELECT tags_skipped FROM quay_doctor.operation"),
        2
    );
    assert_eq!(stage.count(DISAGREE), 0);
}

#[test]
fn a_policy_whose_row_a_trigger_alters_or_swallows_is_not_begun() {
    for (event, body) in [
        ("INSERT", "NEW.active = true; RETURN NEW;"),
        ("INSERT", "RETURN NULL;"),
        ("UPDATE", "NEW.active = false; RETURN NEW;"),
        ("UPDATE", "RETURN NULL;"),
        ("DELETE", "RETURN NULL;"),
    ] {
        let scene = Scene::small();
        let before = scene.state();
        scene.sql(&format!(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
             CREATE TRIGGER meddle BEFORE {event} ON namespaceimmutabilitypolicy
             FOR EACH ROW EXECUTE FUNCTION meddle()"
        ));
        let ended = match event {
            "DELETE" => scene.policy(&["delete", GLOBEX, "--tags", "release"]),
            _ => scene.create("v.*", &["--strategy", "phased"]),
        };
        assert!(ended.status > 1, "{event} {body} {ended:?}");
        scene.sql("DROP TRIGGER meddle ON namespaceimmutabilitypolicy");
        assert_eq!(scene.unfinished(), 0, "{event} {body}");
        assert_eq!(scene.state(), before, "{event} {body} {ended:?}");
    }
}

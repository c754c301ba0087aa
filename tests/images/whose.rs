//! Whose an expiration is: a before-image counts only while the tag is as the operation wrote it.

use serde_json::Value;

use crate::line::stage::{RELEASE, Stage};
use crate::policy::scene::{Scene, policy};

const DAY: i64 = 86_400_000;

/// acme has a policy that one tag escaped; the tag expires in seven days.
const ESCAPED: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1"
    life = "expiring"
    expires_in = "7d"
"#;

/// An administrator takes the immutability of a tag off, in the log, and sets another expiration.
fn unprotect(name: &str) -> String {
    format!(
        r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
           SELECT k.id, r.namespace_user_id, r.id, now(),
               '{{"tag":"{name}","immutable":false,"previous_immutable":true}}'
           FROM logentrykind k, tag t JOIN repository r ON r.id = t.repository_id
           WHERE k.name = 'change_tag_immutability' AND t.name = '{name}';
           UPDATE tag SET immutable = false, lifetime_end_ms = (extract(epoch FROM now()) * 1000)::bigint + {}
           WHERE name = '{name}'"#,
        365 * DAY
    )
}

/// Quay's own pass marks a tag, and clears its expiration.
fn quays_pass(name: &str) -> String {
    format!("UPDATE tag SET immutable = true, lifetime_end_ms = NULL WHERE name = '{name}'")
}

/// Whether a tag is immutable, and in how many days it ends; -1 for never.
fn tag(scene: &mut dyn FnMut(&str) -> i64, name: &str) -> (bool, i64) {
    let immutable = format!("SELECT immutable::int::bigint FROM tag WHERE name = '{name}'");
    let days = format!(
        "SELECT coalesce(round((lifetime_end_ms - extract(epoch FROM now()) * 1000) / {DAY}), -1)::bigint
         FROM tag WHERE name = '{name}'"
    );
    (scene(&immutable) == 1, scene(&days))
}

fn of_scene(scene: &Scene, name: &str) -> (bool, i64) {
    tag(&mut |sql| scene.count(sql), name)
}

fn of_stage(stage: &Stage, name: &str) -> (bool, i64) {
    tag(&mut |sql| stage.count(sql), name)
}

#[track_caller]
fn tells(document: &Value, name: &str) {
    assert_eq!(document["expirations_not_restored"], 1, "{document}");
    let told = document["not_restored"][0].as_str().expect("a tag");
    assert!(told.contains(name) && told.contains("20"), "{document}");
}

const FIX: [&str; 7] = [
    "fix",
    "--apply",
    "--immutable-tags-can-expire",
    "false",
    "--remedy",
    RELEASE,
    "--format=json",
];

#[test]
fn an_undo_leaves_what_a_later_operation_has_written_and_names_it() {
    let stage = Stage::migrated(ESCAPED);
    stage.run(&FIX).expect_status(0);
    assert_eq!(of_stage(&stage, "v1"), (true, -1));
    stage.sql(&unprotect("v1"));
    let create = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v1",
        "--immutable-tags-can-expire",
        "false",
    ];
    stage.run(&create).expect_status(0);
    assert_eq!(of_stage(&stage, "v1"), (true, -1));
    let undone = stage
        .run(&["fix", "undo", "1", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(
        (&undone["undone"], &undone["refused"]),
        (&0.into(), &1.into())
    );
    let why = undone["refusals"][0]["why"].as_str().expect("a reason");
    assert!(why.contains("operation 2"), "{undone}");
    assert_eq!(of_stage(&stage, "v1"), (true, -1));
    stage.run(&["check", "--grace", "0s"]).expect_status(0);
}

#[test]
fn an_undo_does_not_bring_back_what_was_before_a_pass_of_quay() {
    let stage = Stage::migrated(ESCAPED);
    stage.run(&FIX).expect_status(0);
    stage.sql(&unprotect("v1"));
    stage.sql(&quays_pass("v1"));
    // Under the policy the tag is Quay's.
    stage.run(&["fix", "undo", "1"]).expect_status(1);
    assert_eq!(of_stage(&stage, "v1"), (true, -1));
    // Without it nobody wants the tag immutable; whose the old expiration is nobody knows.
    stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    let undone = stage
        .run(&["fix", "undo", "1", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(undone["undone"], 1, "{undone}");
    tells(&undone, "acme/shop:v1");
    assert_eq!(of_stage(&stage, "v1"), (false, -1));
}

#[test]
fn a_release_by_a_fix_does_not_bring_back_what_was_before_a_pass_of_quay() {
    let stage = Stage::migrated(ESCAPED);
    stage.run(&FIX).expect_status(0);
    stage.sql(&unprotect("v1"));
    stage.sql(&quays_pass("v1"));
    stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    let run = stage.run(&FIX).expect_status(1).json();
    tells(&run, "acme/shop:v1");
    assert_eq!(of_stage(&stage, "v1"), (false, -1));
}

#[test]
fn an_undone_release_leaves_the_image_that_it_used_as_good_as_before() {
    let stage = Stage::migrated(ESCAPED);
    stage.run(&FIX).expect_status(0);
    stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    for run in ["2", "3"] {
        stage.run(&FIX).expect_status(0);
        assert_eq!(of_stage(&stage, "v1"), (false, 7));
        stage.run(&["fix", "undo", run]).expect_status(0);
        assert_eq!(of_stage(&stage, "v1"), (true, -1));
    }
    // A touch in between is found at whatever time it was.
    stage.run(&FIX).expect_status(0);
    stage.sql("UPDATE tag SET name = name WHERE name = 'v1'");
    stage.run(&["fix", "undo", "4"]).expect_status(1);
    assert_eq!(of_stage(&stage, "v1"), (false, 7));
}

/// A policy on acme whose creation cleared the expirations of `v2.1`, `v2.2` and `v4.1`.
fn created(scene: &Scene) -> String {
    let done = scene.create("v.*", &[]).expect_status(0).json();
    assert_eq!(done["expirations_cleared"], 3, "{done}");
    done["policy"].as_str().expect("a uuid").to_owned()
}

#[test]
fn whatever_ends_a_policys_hold_leaves_an_expiration_out_that_is_not_its_own() {
    let ends: [(&str, &[&str]); 3] = [
        ("delete", &["--tags", "release"]),
        ("deactivate", &["--tags", "release", "--yes"]),
        (
            "update",
            &["--pattern", "nothing", "--unmatched-tags", "release"],
        ),
    ];
    for (verb, how) in ends {
        let scene = Scene::small();
        let uuid = created(&scene);
        scene.sql(&unprotect("v2.1"));
        scene.sql(&quays_pass("v2.1"));
        let args = [&[verb, uuid.as_str()], how].concat();
        let done = scene.policy(&args).expect_status(1).json();
        tells(&done, "acme/shop:v2.1");
        assert_eq!(of_scene(&scene, "v2.1"), (false, -1), "{verb}");
        assert_eq!(of_scene(&scene, "v2.2"), (false, 30), "{verb}");
        assert_eq!(of_scene(&scene, "v4.1"), (false, 10), "{verb}");
    }
}

#[test]
fn a_roll_back_leaves_an_expiration_out_that_is_not_the_operations_own() {
    let scene = Scene::small();
    // Somebody holds the last repository, so that the worker stands before it.
    let mut other = scene.session();
    other
        .run("BEGIN; SELECT FROM tag t JOIN repository r ON r.id = t.repository_id WHERE r.name = 'web' FOR UPDATE OF t")
        .expect("locks");
    let run = scene.start(&policy(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ]));
    scene.wait_for("SELECT count(*) FROM tag WHERE name = 'v2.1' AND immutable");
    run.signal("KILL");
    run.end();
    other.run("ROLLBACK").expect("the end");
    scene.bury();
    scene.sql(&unprotect("v2.1"));
    scene.sql(&quays_pass("v2.1"));
    let done = scene
        .run(&["recover", "--format", "json"])
        .expect_status(1)
        .json();
    tells(&done["recovered"][0], "acme/shop:v2.1");
    assert_eq!(of_scene(&scene, "v2.1"), (false, -1));
    assert_eq!(of_scene(&scene, "v2.2"), (false, 30));
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn freezing_rows_leaves_images_good_and_writing_them_anew_does_not() {
    for (touch, status, end) in [
        (
            "VACUUM (FREEZE) tag; VACUUM (FREEZE) quay_doctor.tag_change",
            0,
            30,
        ),
        ("VACUUM FULL tag; VACUUM FULL quay_doctor.tag_change", 0, 30),
        ("SELECT FROM tag FOR UPDATE", 0, 30),
        (
            "CREATE TABLE away AS TABLE tag; DELETE FROM tag; INSERT INTO tag TABLE away",
            1,
            -1,
        ),
    ] {
        let scene = Scene::small();
        let uuid = created(&scene);
        let mut session = scene.session();
        session
            .run("SET session_replication_role = replica")
            .expect("a superuser");
        for statement in touch.split(';') {
            session.run(statement).expect("a statement");
        }
        let delete = ["delete", &uuid, "--tags", "release"];
        scene.policy(&delete).expect_status(status);
        assert_eq!(of_scene(&scene, "v2.1"), (false, end), "{touch}");
    }
}

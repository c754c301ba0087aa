//! A request goes on with an interrupted operation only where it asks for the same.

use crate::policy::scene::{GLOBEX, STATED, Scene, policy};

/// Starts a command while somebody holds the rows of a repository; kills it once a number is at least one.
fn interrupted(scene: &Scene, held: &str, once: &str, args: &[&str]) {
    let mut other = scene.session();
    other
        .run(&format!(
            "BEGIN; SELECT FROM tag t JOIN repository r ON r.id = t.repository_id
             WHERE r.name = '{held}' FOR UPDATE OF t"
        ))
        .expect("locks");
    let run = scene.start(args);
    scene.wait_for(once);
    run.signal("KILL");
    run.end();
    other.run("ROLLBACK").expect("the end");
    scene.bury();
    assert_eq!(scene.unfinished(), 1);
}

const RELEASED: &str = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
    WHERE r.name = 'portal' AND t.name = 'v1.1' AND NOT t.immutable";

const MARKED: &str = "SELECT count(*) FROM tag WHERE name = 'v2.1' AND immutable";

/// Asserts that a request is refused, changes nothing, and names a difference and a way on.
#[track_caller]
fn refused(scene: &Scene, args: &[&str], difference: &str, way: &str) {
    let before = scene.state();
    let ended = scene.run(args).expect_status(2);
    let told: String = ended
        .stderr
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(told.contains(difference), "{told}");
    assert!(told.contains(way), "{told}");
    assert_eq!(scene.state(), before);
    assert_eq!(scene.unfinished(), 1);
}

#[test]
fn a_deletion_that_keeps_is_no_interrupted_one_that_releases() {
    for verb in ["delete", "deactivate"] {
        let scene = Scene::small();
        let mut release = policy(&[verb, GLOBEX, "--tags", "release"]);
        let mut keep = policy(&[verb, GLOBEX, "--tags", "keep"]);
        if verb == "deactivate" {
            release.push("--yes");
            keep.push("--yes");
        }
        interrupted(&scene, "site", RELEASED, &release);
        refused(
            &scene,
            &keep,
            "tags are to be released then, tags are to be kept now",
            "recover 1",
        );
        assert_eq!(
            scene.count("SELECT count(*) FROM tag WHERE name LIKE 'v5.%' AND immutable"),
            3
        );
        let mut quiet = release.clone();
        quiet.push("--no-audit");
        refused(
            &scene,
            &quiet,
            "no --no-audit then, --no-audit now",
            "can no longer",
        );
        scene.run(&release).expect_status(0);
        assert_eq!(scene.unfinished(), 0);
    }
}

#[test]
fn an_update_that_keeps_is_no_interrupted_one_that_releases() {
    let scene = Scene::small();
    let update = |unmatched| {
        policy(&[
            "update",
            GLOBEX,
            "--pattern",
            "latest",
            "--unmatched-tags",
            unmatched,
        ])
    };
    interrupted(&scene, "site", RELEASED, &update("release"));
    refused(
        &scene,
        &update("keep"),
        "tags are to be kept now",
        "recover 1",
    );
    scene.run(&update("release")).expect_status(0);
    scene.check();
}

#[test]
fn a_creation_that_leaves_expirations_is_no_interrupted_one_that_clears_them() {
    let scene = Scene::small();
    let create = |more: &[&'static str]| {
        let mut args = vec![
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v.*",
        ];
        args.extend(["--strategy", "phased"]);
        args.extend(more);
        args
    };
    let clears = create(&STATED);
    interrupted(&scene, "web", MARKED, &clears);
    let leaves = create(&["--immutable-tags-can-expire", "true"]);
    let named = "--immutable-tags-can-expire false then, --immutable-tags-can-expire true now";
    refused(&scene, &leaves, named, "recover 1 --roll-back");
    for (more, named) in [
        ("--inactive", "no --inactive then"),
        ("--restore-past-expiry", "no --restore-past-expiry then"),
        ("--clock-margin=5s", "--clock-margin 60000ms then"),
        ("--no-audit", "no --no-audit then"),
    ] {
        let other = [&clears[..], &[more]].concat();
        refused(&scene, &other, named, "recover 1 --resume");
    }
    scene.run(&clears).expect_status(0);
    scene.check();
}

#[test]
fn what_an_older_version_interrupted_is_gone_on_with() {
    let scene = Scene::small();
    scene
        .policy(&["deactivate", GLOBEX, "--tags", "release", "--yes"])
        .expect_status(0);
    let activate = policy(&["activate", GLOBEX]);
    let marked = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
        WHERE r.name = 'portal' AND t.immutable";
    interrupted(&scene, "site", marked, &activate);
    let quiet = [&activate[..], &["--no-audit"]].concat();
    refused(&scene, &quiet, "--no-audit now", "recover 2 --resume");
    scene.sql(
        "UPDATE quay_doctor.operation SET options = options - 'clock_margin_ms' - 'restore_past_expiry'",
    );
    let other = [&activate[..], &["--clock-margin", "5s"]].concat();
    scene.run(&other).expect_status(0);
    scene.check();
}

//! The bug report's own tests, by their names there.

use std::thread;

use testkit::moments::{AFTER_COMMIT, BEFORE_ACTIVATION};

use super::scene::{MATCHING, Scene, policy};

const CREATE: [&str; 7] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
];

/// A push by a Quay that knows the column; whether the new row is immutable.
fn push(scene: &Scene, repository: &str, name: &str) -> bool {
    use quay_doctor::quay::RepositoryId;
    use testkit::pusher::{Enforces, Flavour, Locking, Pushed, Pusher};
    let flavour = Flavour {
        enforces: Enforces::Active,
        locking: Locking::Repository,
        clock_ahead_ms: 0,
    };
    let id = scene.count(&format!(
        "SELECT id FROM repository WHERE name = '{repository}'"
    ));
    let mut pusher =
        Pusher::open(&scene.db.settings().expect("settings"), flavour).expect("a connection");
    match pusher.push(RepositoryId(i32::try_from(id).expect("an id")), name, None) {
        Ok(Pushed::New(_, immutable)) => immutable,
        other => panic!("{other:?}"),
    }
}

/// Makes the marking of one tag fail with these words.
fn fail_at(scene: &Scene, name: &str, words: &str) {
    scene.sql(&format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '{words}'; END $$;
         CREATE OR REPLACE TRIGGER refuse BEFORE UPDATE ON tag FOR EACH ROW
             WHEN (NEW.immutable AND NEW.name = '{name}') EXECUTE FUNCTION refuse()"
    ));
}

#[test]
fn policy_creation_with_retroactive_failure() {
    let scene = Scene::small();
    let before = scene.state();
    fail_at(&scene, "v4.1", "out of luck");
    scene.policy(&CREATE).expect_status(3);
    assert_eq!(
        scene.state(),
        before,
        "the policy is deleted, no tag is immutable, every expiry is back"
    );
}

#[test]
fn policy_creation_success() {
    let scene = Scene::small();
    let done = scene.policy(&CREATE).expect_status(0).json();
    assert_eq!(done["tags_changed"], MATCHING);
    let uuid = done["policy"].as_str().expect("a uuid");
    assert_eq!(scene.policy(&["show", uuid]).json()["active"], true);
    assert!(push(&scene, "web", "v77"));
    assert!(!push(&scene, "web", "x77"));
}

#[test]
fn inactive_policy_behavior() {
    let scene = Scene::small();
    let staged = scene.create("v.*", &["--inactive"]).expect_status(0).json();
    assert!(
        !push(&scene, "web", "v77"),
        "an inactive policy makes nothing immutable"
    );
    scene
        .policy(&["activate", staged["policy"].as_str().expect("a uuid")])
        .expect_status(0);
    assert!(push(&scene, "web", "v78"), "an active one does");
    scene.check();
}

#[test]
fn worker_killed_during_retroactive() {
    let scene = Scene::small();
    let before = scene.state();
    scene.killed(AFTER_COMMIT.nth(2), &policy(&CREATE));
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

#[test]
fn retry_policy_creation_after_failure() {
    let scene = Scene::small();
    fail_at(&scene, "v4.1", "out of luck");
    scene.policy(&CREATE).expect_status(3);
    scene.sql("DROP TRIGGER refuse ON tag");
    scene.policy(&CREATE).expect_status(0);
    scene.check();
}

#[test]
fn duplicate_check_works_with_inactive_policies() {
    let scene = Scene::small();
    let staged = scene.create("v.*", &["--inactive"]).expect_status(0).json();
    for more in [
        &[][..],
        &["--not-matching"],
        &["--if-absent"],
        &["--inactive"],
    ] {
        let refused = scene.create("v.*", more).expect_status(2);
        assert!(
            refused.stderr.contains("policy activate"),
            "{}",
            refused.stderr
        );
    }
    scene
        .policy(&[
            "delete",
            staged["policy"].as_str().expect("a uuid"),
            "--tags",
            "keep",
        ])
        .expect_status(0);
    scene.create("v.*", &[]).expect_status(0);
}

#[test]
fn clean_up_orphaned_inactive_policies() {
    // One of a worker that died, one that was staged on purpose: only the first is cleaned up.
    let scene = Scene::small();
    let staged = scene.create("s.*", &["--inactive"]).expect_status(0).json();
    scene.killed(AFTER_COMMIT.nth(2), &policy(&CREATE));
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(
        scene
            .text("SELECT string_agg(uuid, ' ') FROM namespaceimmutabilitypolicy WHERE NOT active"),
        staged["policy"].as_str().expect("a uuid")
    );
}

#[test]
fn create_policy_while_pushing_tags() {
    let scene = Scene::small();
    let (hold, run) = scene.held(BEFORE_ACTIVATION, &policy(&CREATE));
    assert!(!push(&scene, "shop", "v50"), "it is inactive still");
    hold.release();
    run.end().expect_status(0);
    assert_eq!(
        scene.count("SELECT count(*) FROM tag WHERE name = 'v50' AND immutable"),
        1,
        "the sweep found it"
    );
    scene.check();
}

#[test]
fn multiple_concurrent_policy_creations() {
    let scene = Scene::small();
    thread::scope(|scope| {
        let runs: Vec<_> = [
            ("v1.*", None),
            ("v2.*", None),
            ("v.*", Some("shop")),
            ("(v|n).*", Some("tool")),
        ]
        .into_iter()
        .map(|(pattern, repository)| {
            let scene = &scene;
            scope.spawn(move || {
                let more: Vec<&str> = repository.map_or(vec![], |name| vec!["--repository", name]);
                scene.create(pattern, &more)
            })
        })
        .collect();
        for run in runs {
            run.join().expect("an end").expect_status(0);
        }
    });
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE r.name IN ('shop', 'tool') AND t.immutable"), 12);
    scene.check();
}

//! What the recommended fix of the bug report leaves open, hole by hole: it fails, ours holds.

use std::thread;
use std::time::Duration;

use quay_doctor::pg::WriteSession;
use quay_doctor::quay::{NamespaceId, RepositoryId};
use testkit::Ours;
use testkit::pusher::{Enforces, Flavour, Locking, Pushed, Pusher};
use testkit::subject::{Blow, Present, RecommendedFix, Subject, Told, prepare};

use super::scene::Scene;

const WORLD: &str = r#"
    seed = 31
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "app"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 700
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 100
    life = "expiring"
    expires_in = "30d"
"#;

const OURS: Ours = Ours {
    quay_knows_active: Some(true),
};

/// Tags as they are, as one text.
fn tags(scene: &Scene) -> String {
    scene.text("SELECT md5(string_agg(t::text, ' ' ORDER BY id)) FROM tag t")
}

fn create(scene: &Scene, subject: &dyn Subject, blow: Blow) -> Told {
    let settings = scene.db.settings().expect("settings");
    let id = i32::try_from(scene.count("SELECT id FROM \"user\" WHERE username = 'acme'"))
        .expect("an id");
    subject
        .create(&settings, (NamespaceId(id), "acme"), "v.*", blow)
        .expect("a database")
}

/// Runs one subject into a blow at its 600th row: the second of Quay's batches.
fn struck(subject: &dyn Subject, blow: fn(u32) -> Blow) -> Scene {
    let scene = Scene::of(WORLD);
    let blow = blow(600);
    prepare(&mut scene.session(), blow, 0).expect("a trigger");
    let told = create(&scene, subject, blow);
    assert_ne!(told, Told::Duplicate);
    scene
}

/// Asserts that the recommended fix, and Quay's present way with it, has the hole and ours has not.
fn hole(holds: impl Fn(&dyn Subject) -> bool) {
    assert!(
        !holds(&RecommendedFix),
        "the recommended fix has no such hole"
    );
    assert!(!holds(&Present), "Quay's present way has no such hole");
    assert!(holds(&OURS), "ours has the hole");
}

fn immutable_without_policy(scene: &Scene) -> i64 {
    scene.count("SELECT count(*) FROM tag WHERE immutable AND NOT EXISTS (SELECT FROM namespaceimmutabilitypolicy WHERE active)")
}

#[test]
fn orphans_of_a_creation_that_failed() {
    hole(|subject| immutable_without_policy(&struck(subject, Blow::Statement)) == 0);
}

#[test]
fn expiry_dates_of_a_creation_that_failed() {
    hole(|subject| {
        let scene = Scene::of(WORLD);
        let expiring = "SELECT count(*) FROM tag WHERE lifetime_end_ms IS NOT NULL";
        let before = scene.count(expiring);
        prepare(&mut scene.session(), Blow::Statement(790), 0).expect("a trigger");
        // The expiring ones come first.
        scene.sql("UPDATE tag SET id = -id WHERE lifetime_end_ms IS NOT NULL");
        scene.sql(
            "UPDATE tag SET id = id + 100000 WHERE id > 0; UPDATE tag SET id = -id WHERE id < 0",
        );
        create(&scene, subject, Blow::Statement(790));
        scene.count(expiring) == before
    });
}

#[test]
fn a_worker_that_is_killed_runs_no_handler() {
    hole(|subject| {
        let scene = Scene::of(WORLD);
        let before = tags(&scene);
        prepare(&mut scene.session(), Blow::Worker(600), 0).expect("a trigger");
        let told = create(&scene, subject, Blow::Worker(600));
        assert!(matches!(told, Told::Failure(_)), "{told:?}");
        subject
            .clean_up(&scene.db.settings().expect("settings"))
            .expect("a database");
        let policies = scene.count("SELECT count(*) FROM namespaceimmutabilitypolicy");
        tags(&scene) == before && policies == 0
    });
}

#[test]
fn a_push_that_read_the_policies_just_before_activation() {
    let holds = |subject: &dyn Subject| {
        let scene = Scene::of(WORLD);
        let mut pusher = scene.session();
        pusher
            .run(
                "BEGIN; SELECT policy FROM repositoryimmutabilitypolicy WHERE active;
                  SELECT policy FROM namespaceimmutabilitypolicy WHERE active",
            )
            .expect("an evaluation");
        thread::scope(|scope| {
            let creation = scope.spawn(|| create(&scene, subject, Blow::None));
            scene.wait_for("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE active");
            thread::sleep(Duration::from_millis(300));
            pusher
                .run("INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id) SELECT 'v99', id, 1000, 1 FROM repository; COMMIT")
                .expect("a push");
            assert_eq!(creation.join().expect("an end"), Told::Success);
        });
        scene.count("SELECT count(*) FROM tag WHERE name = 'v99' AND immutable") == 1
    };
    assert!(!holds(&RecommendedFix));
    assert!(holds(&OURS));
}

#[test]
fn a_push_by_a_quay_that_does_not_know_the_column() {
    let holds = |subject: &dyn Subject| {
        let scene = Scene::of(WORLD);
        let settings = scene.db.settings().expect("settings");
        let blow = Blow::Statement(600);
        prepare(&mut scene.session(), blow, 1).expect("a trigger");
        let repository =
            RepositoryId(i32::try_from(scene.count("SELECT id FROM repository")).expect("an id"));
        thread::scope(|scope| {
            let creation = scope.spawn(|| create(&scene, subject, blow));
            scene.wait_for("SELECT count(*) FROM namespaceimmutabilitypolicy WHERE NOT active");
            let flavour = Flavour {
                enforces: Enforces::Every,
                locking: Locking::None,
                clock_ahead_ms: 0,
            };
            let mut pusher = Pusher::open(&settings, flavour).expect("a connection");
            let pushed = pusher.push(repository, "v99", None).expect("a push");
            assert!(
                matches!(pushed, Pushed::New(_, true)),
                "it enforces the inactive row: {pushed:?}"
            );
            assert!(matches!(creation.join().expect("an end"), Told::Failure(_)));
        });
        immutable_without_policy(&scene) == 0
    };
    assert!(!holds(&RecommendedFix));
    assert!(holds(&Ours {
        quay_knows_active: Some(false)
    }));
}

/// The report's own `downgrade()`.
const DOWNGRADE: &str = "ALTER TABLE repositoryimmutabilitypolicy DROP COLUMN active;
    ALTER TABLE namespaceimmutabilitypolicy DROP COLUMN active";
/// The report's own `upgrade()`.
const UPGRADE: &str =
    "ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN active boolean NOT NULL DEFAULT true;
    ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN active boolean NOT NULL DEFAULT true";

/// Whether a Quay that knows no column would enforce a policy that nobody activated.
fn enforced_silently(session: &mut WriteSession, scene: &Scene) -> bool {
    let _ = session;
    scene.count("SELECT count(*) FROM namespaceimmutabilitypolicy") > 0
        && scene.count("SELECT count(*) FROM information_schema.columns WHERE column_name = 'active' AND table_name = 'namespaceimmutabilitypolicy'") == 0
}

#[test]
fn a_downgrade_with_inactive_policies() {
    let staged = || {
        let scene = Scene::of(WORLD);
        scene.create("v.*", &["--inactive"]).expect_status(0);
        scene
    };
    let scene = staged();
    scene.sql(DOWNGRADE);
    assert!(
        enforced_silently(&mut scene.session(), &scene),
        "the recommended fix"
    );
    let scene = staged();
    let refused = scene.run(&["migrate", "down", "--to", "1"]);
    assert_ne!(refused.status, 0);
    assert!(refused.stderr.contains("inactive"), "{}", refused.stderr);
    assert!(!enforced_silently(&mut scene.session(), &scene), "ours");
}

#[test]
fn a_quay_release_that_brings_the_column_itself() {
    let scene = Scene::of(WORLD);
    // The recommended fix is in place, and then the release's own upgrade comes.
    assert!(scene.session().run(UPGRADE).is_err());
    scene.run(&["migrate", "hand-over"]).expect_status(0);
    scene.sql(UPGRADE);
    scene.run(&["migrate", "up"]).expect_status(0);
    scene.create("v.*", &[]).expect_status(0);
    scene.check();
}

#[test]
fn a_retry_after_a_worker_was_killed() {
    hole(|subject| {
        let scene = struck(subject, Blow::Worker);
        // The server has noticed that the connection is gone.
        scene.wait_for("SELECT (count(*) = 0)::int FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
        create(&scene, subject, Blow::None) == Told::Success
            && scene.count("SELECT count(*) FROM tag WHERE immutable AND lifetime_end_ms IS NULL")
                == 800
    });
}

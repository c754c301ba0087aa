//! What is tried again ends: by time, by smaller batches, and by Ctrl-C.

use std::time::{Duration, Instant};

use crate::policy::scene::{MATCHING, Scene, policy};

/// Ends the backend that makes a tag immutable, and counts how often it does.
fn deadly(condition: &str) -> String {
    format!(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF {condition} THEN
                 PERFORM nextval('attempts'), pg_terminate_backend(pg_backend_pid());
             END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER die AFTER UPDATE ON tag REFERENCING NEW TABLE AS changed
         FOR EACH STATEMENT EXECUTE FUNCTION die()"
    )
}

const CREATE: [&str; 8] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
    "--reconnect-for=3s",
];

#[test]
fn a_backend_that_dies_in_the_same_batch_again_and_again_ends_the_attempts() {
    let scene = Scene::small();
    let before = scene.state();
    scene.sql(&deadly(
        "EXISTS (SELECT FROM changed WHERE name = 'v1.1' AND immutable)",
    ));
    let begun = Instant::now();
    scene.policy(&CREATE).expect_status(3);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let attempts = scene.count("SELECT last_value FROM attempts");
    assert!(attempts < 30, "{attempts}");
    assert_eq!(scene.unfinished(), 1);
    scene.bury();
    scene.run(&["recover", "--roll-back"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

#[test]
fn a_batch_in_which_the_connection_is_lost_gets_smaller_until_it_goes_through() {
    let scene = Scene::small();
    scene.sql(&deadly("(SELECT count(*) FROM changed) > 1"));
    let done = scene.policy(&CREATE).expect_status(0).json();
    assert_eq!(done["tags_changed"], MATCHING, "{done}");
    scene.sql("DROP TRIGGER die ON tag");
    scene.check();
}

/// Makes each row that is made mutable again take its time.
const SLOW: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN PERFORM pg_sleep(0.25); RETURN NEW; END $$;
     CREATE TRIGGER wait BEFORE UPDATE ON tag FOR EACH ROW
     WHEN (OLD.immutable AND NOT NEW.immutable) EXECUTE FUNCTION wait()";

const RESTORED: &str = "SELECT count(*) FROM quay_doctor.tag_change WHERE undone_at IS NOT NULL";

#[test]
fn ctrl_c_is_heeded_in_a_roll_back_and_in_recover() {
    let mut world = "seed = 3\n[[namespace]]\nname = \"acme\"\n".to_owned();
    for (nth, repository) in ["a", "b", "c", "d", "e", "f", "g", "h"].iter().enumerate() {
        let tag = if nth == 7 { "v4" } else { "v1" };
        world.push_str(&format!(
            "[[namespace.repository]]\nname = \"{repository}\"\n\
             [[namespace.repository.tags]]\nname = \"{tag}.{{n}}\"\ncount = 2\n"
        ));
    }
    let scene = Scene::of(&world);
    let before = scene.state();
    scene.sql(SLOW);
    scene.sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER fail BEFORE UPDATE ON tag FOR EACH ROW
         WHEN (NEW.immutable AND OLD.name = 'v4.1') EXECUTE FUNCTION fail()",
    );
    let args = policy(&CREATE);
    let creation = scene.start(&args);
    scene.wait_for(RESTORED);
    creation.signal("INT");
    let ended = creation.end().expect_status(3);
    assert!(ended.stderr.contains("recover"), "{}", ended.stderr);
    assert_eq!(scene.unfinished(), 1);
    scene.bury();

    let restored = scene.count(RESTORED);
    let recovery = scene.start(&["recover"]);
    scene.wait_for(&format!("SELECT (({RESTORED}) > {restored})::int"));
    recovery.signal("INT");
    recovery.end().expect_status(3);
    assert_eq!(scene.unfinished(), 1);
    scene.bury();

    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}

/// Every change of a tag takes its time, of which a statement of ours has little.
const HURRIED: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN PERFORM pg_sleep(0.15); RETURN NEW; END $$;
     CREATE TRIGGER wait BEFORE UPDATE ON tag FOR EACH ROW EXECUTE FUNCTION wait();
     DO $$ BEGIN EXECUTE format(
         'ALTER ROLE CURRENT_USER IN DATABASE %I SET statement_timeout = 600', current_database());
     END $$";

#[test]
fn every_phase_gets_through_under_a_statement_timeout_that_lets_few_rows_through() {
    let scene = Scene::small();
    let tags = "SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t";
    let before = scene.text(tags);
    scene.sql(HURRIED);
    let created = scene.policy(&CREATE).expect_status(0).json();
    assert_eq!(created["tags_changed"], MATCHING, "{created}");
    let uuid = created["policy"].as_str().expect("a uuid");
    let delete = ["delete", uuid, "--tags", "release"];
    let deleted = scene.policy(&delete).expect_status(0).json();
    assert_eq!(deleted["tags_changed"], MATCHING, "{deleted}");
    assert_eq!(scene.text(tags), before);

    scene.sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER fail BEFORE UPDATE ON tag FOR EACH ROW
         WHEN (NEW.immutable AND OLD.name = 'v4.1') EXECUTE FUNCTION fail()",
    );
    scene.policy(&CREATE).expect_status(3);
    assert_eq!(scene.unfinished(), 0);
    assert_eq!(scene.text(tags), before);
}

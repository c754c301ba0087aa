//! A batch gives way to a push that waits for its repository.

use std::thread;

use quay_doctor::pg::{Columns, Statements};
use quay_doctor::quay::{RepositoryId, retarget_lock_key};

use testkit::moments::REPOSITORY_LOCKED;

use super::scene::{Scene, policy};

const WORLD: &str = r#"
    seed = 6
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 2000
"#;

/// Rows of each batch, in the order in which they were committed: what commits together has one xmin.
const BATCHES: &str = "
    SELECT array_agg(rows ORDER BY first)
    FROM (SELECT count(*)::int AS rows, min(id) AS first
          FROM quay_doctor.tag_change GROUP BY xmin::text) batch";

#[test]
fn after_somebody_has_waited_a_batch_ends_with_its_first_slice_where_somebody_waits() {
    let scene = Scene::of(WORLD);
    let repository = scene.count("SELECT id FROM repository WHERE name = 'shop'");
    let repository = RepositoryId(i32::try_from(repository).expect("an id"));
    let args = [
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
        "--batch-time",
        "60s",
    ];
    let proxy = scene.proxy();
    let holds = [1, 2].map(|nth| REPOSITORY_LOCKED.nth(nth).hold(&proxy));
    let mut run = scene.start_behind(proxy, &policy(&args));
    for hold in holds {
        run.reach(&hold, REPOSITORY_LOCKED.name());
        thread::scope(|scope| {
            let pusher = scope.spawn(|| {
                scene
                    .session()
                    .query_one(
                        "SELECT pg_advisory_xact_lock($1)",
                        &[&retarget_lock_key(repository)],
                    )
                    .expect("the lock");
            });
            scene.wait_for(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            );
            hold.release();
            pusher.join().expect("a pusher");
        });
    }
    run.end().expect_status(0);
    let batches = scene.session().query_one(BATCHES, &[]).expect("batches");
    let batches: Vec<i32> = batches.read(0).expect("numbers");
    // The first is whole: nobody had waited before. The second would have been half as large again.
    assert_eq!(batches[..2], [200, 25], "{batches:?}");
    assert_eq!(batches.iter().sum::<i32>(), 2_000);
    scene.check();
}

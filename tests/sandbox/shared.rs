//! Each test has a database of its own, and all have one cluster.

use std::time::Instant;

use quay_doctor::pg::{FaultClass, Statements, WriteSession};
use testkit::shared::TestDatabase;

fn tables(session: &mut WriteSession) -> i64 {
    let sql = "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'";
    session.query_one(sql, &[]).expect("a count").get("n")
}

#[test]
fn databases_of_one_run_share_a_cluster_and_nothing_else() {
    let (one, two) = (
        TestDatabase::quay().expect("a database"),
        TestDatabase::empty().expect("a database"),
    );
    let mut first = one.write_session().expect("a session");
    let mut second = two.write_session().expect("a session");
    assert!(tables(&mut first) > 20);
    assert_eq!(tables(&mut second), 0);
    let where_is = |session: &mut WriteSession| -> String {
        let sql = "SELECT current_setting('data_directory') AS folder";
        session.query_one(sql, &[]).expect("a folder").get("folder")
    };
    assert_eq!(where_is(&mut first), where_is(&mut second));
}

#[test]
fn a_database_is_gone_after_its_test_even_where_a_session_is_left_open() {
    let database = TestDatabase::empty().expect("a database");
    let settings = database.settings().expect("settings");
    let _left_open = database.write_session().expect("a session");
    drop(database);
    let error = WriteSession::open(&settings)
        .err()
        .expect("no such database");
    assert_eq!(
        (error.class(), error.sqlstate()),
        (FaultClass::Connection, Some("3D000"))
    );
}

/// Measured, not judged: on a busy machine any bound would be wrong some day.
/// `cargo nextest run a_clone_is_measured --run-ignored all --no-capture`
#[test]
#[ignore = "a measurement"]
fn a_clone_is_measured() {
    // The first one may have to start the cluster.
    drop(TestDatabase::empty().expect("a database"));
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let database = TestDatabase::quay().expect("a database");
            let created = started.elapsed();
            drop(database);
            (created, started.elapsed() - created)
        })
        .collect();
    times.sort();
    eprintln!("created and removed, median: {:?}", times[4]);
}

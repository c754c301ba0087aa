//! A cluster's life: started, stopped hard, copied, gone.

use quay_doctor::pg::{FaultClass, ReadSession, Statements, WriteSession};
use quay_doctor::sandbox::{Cluster, Program, Programs, StopMode};

#[test]
fn a_cluster_answers_over_its_socket_and_over_tcp_and_is_gone_after_drop() {
    let cluster = Cluster::start().expect("a cluster");
    let folder = cluster
        .data_directory()
        .parent()
        .expect("a folder")
        .to_owned();
    let name = folder
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert!(name.starts_with("quay-doctor-"), "{name}");
    assert!(cluster.version().expect("a version") >= 130_000);
    cluster.create_database("here").expect("a database");
    for url in [cluster.url("here"), cluster.tcp_url("here")] {
        let settings = quay_doctor::ConnectionSettings::resolve(Some(&url)).expect("settings");
        let mut session = ReadSession::open(&settings).expect("a session");
        let row = session
            .query_one("SELECT current_database()::text AS name", &[])
            .expect("a row");
        assert_eq!(row.get::<_, String>("name"), "here");
    }
    let settings = cluster.settings("here").expect("settings");
    drop(cluster);
    assert!(!folder.exists());
    let error = ReadSession::open(&settings).err().expect("nobody answers");
    assert_eq!(error.class(), FaultClass::Connection);
}

#[test]
fn what_was_committed_survives_an_immediate_stop() {
    let mut cluster = Cluster::start().expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session.run("CREATE TABLE t (n int)").expect("a table");
    session
        .run("INSERT INTO t SELECT generate_series(1, 1000)")
        .expect("rows");
    let mut open = session.begin().expect("a transaction");
    open.execute("DELETE FROM t", &[])
        .expect("a deletion that is never committed");
    cluster.restart(StopMode::Immediate).expect("a restart");
    drop(open);
    let mut after = ReadSession::open(&settings).expect("a session");
    let row = after
        .query_one("SELECT count(*) AS n FROM t", &[])
        .expect("a row");
    assert_eq!(row.get::<_, i64>("n"), 1000);
}

#[test]
fn a_standby_streams_and_is_promoted() {
    if !Programs::find()
        .expect("programs")
        .has(Program::PgBasebackup)
    {
        eprintln!("SKIPPED: this package of PostgreSQL has no pg_basebackup");
        return;
    }
    let mut cluster = Cluster::start().expect("a cluster");
    let standby = cluster.standby().expect("a standby");
    let mut session =
        WriteSession::open(&cluster.settings("postgres").expect("settings")).expect("a session");
    session
        .run("CREATE TABLE t AS SELECT 7 AS n")
        .expect("a table");
    standby.wait_until_caught_up().expect("replay");
    let settings = standby.settings("postgres").expect("settings");
    let mut there = WriteSession::open(&settings).expect("a session");
    let row = there
        .query_one("SELECT n FROM t", &[])
        .expect("the row arrived");
    assert_eq!(row.get::<_, i32>("n"), 7);
    let error = there
        .run("INSERT INTO t VALUES (8)")
        .expect_err("a standby");
    assert_eq!(error.class(), FaultClass::ReadOnly);
    cluster.stop(StopMode::Immediate).expect("a stop");
    standby.promote().expect("a promotion");
    there.run("INSERT INTO t VALUES (8)").expect("a primary");
}

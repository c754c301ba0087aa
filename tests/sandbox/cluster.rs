//! A cluster's life: started, stopped hard, copied, kept.

use std::os::unix::fs::MetadataExt;

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{FaultClass, ReadSession, Statements, WriteSession};
use quay_doctor::sandbox::{Cluster, Program, Programs, SandboxError, StopMode};
use testkit::skipped;

#[test]
fn a_cluster_answers_over_its_socket_and_over_tcp() {
    let cluster = Cluster::start().expect("a cluster");
    assert!(cluster.version().expect("a version") >= 130_000);
    cluster.create_database("here").expect("a database");
    for url in [cluster.url("here"), cluster.tcp_url("here")] {
        let settings = ConnectionSettings::resolve(Some(&url)).expect("settings");
        let mut session = ReadSession::open(&settings).expect("a session");
        let row = session
            .query_one("SELECT current_database()::text AS name", &[])
            .expect("a row");
        assert_eq!(row.get::<_, String>("name"), "here");
    }
}

#[test]
fn the_server_never_runs_as_root() {
    let cluster = Cluster::start().expect("a cluster");
    let owner = std::fs::metadata(cluster.data_directory())
        .expect("a folder")
        .uid();
    assert_ne!(owner, 0);
}

#[test]
fn a_setting_a_host_rule_and_a_file_are_there_before_the_server_starts() {
    let cluster = Cluster::builder()
        .setting("max_connections", "17")
        .setting("application_name", "it's")
        .file("note.txt", "hello")
        .hba("host all nobody_else 127.0.0.1/32 reject")
        .start()
        .expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    let row = session
        .query_one(
            "SELECT current_setting('max_connections') AS max, pg_read_file('note.txt') AS note",
            &[],
        )
        .expect("a row");
    let read: (String, String) = (row.get("max"), row.get("note"));
    assert_eq!(read, ("17".to_owned(), "hello".to_owned()));
    session
        .run("CREATE ROLE nobody_else LOGIN")
        .expect("a role");
    let url = cluster
        .tcp_url("postgres")
        .replace("postgres@", "nobody_else@");
    let settings = ConnectionSettings::resolve(Some(&url)).expect("settings");
    let error = WriteSession::open(&settings).err().expect("a refusal");
    assert_eq!(error.sqlstate(), Some("28000"));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = Cluster::builder()
        .setting("max_connections", "many")
        .start()
        .expect_err("a complaint");
    assert!(error.to_string().contains("max_connections"), "{error}");
}

#[test]
fn what_was_committed_survives_an_immediate_stop() {
    let mut cluster = Cluster::start().expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .run("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
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
fn a_stopped_server_answers_nobody_until_it_is_started_again() {
    let mut cluster = Cluster::start().expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    cluster.stop(StopMode::Fast).expect("a stop");
    let error = ReadSession::open(&settings).err().expect("nobody answers");
    assert_eq!(error.class(), FaultClass::Connection);
    cluster.start_again().expect("a start");
    ReadSession::open(&settings).expect("the same address");
}

#[test]
fn a_database_is_cloned_and_dropped() {
    let cluster = Cluster::start().expect("a cluster");
    cluster.create_database("one").expect("a database");
    let settings = cluster.settings("one").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .run("CREATE TABLE t AS SELECT 7 AS n")
        .expect("a table");
    drop(session);
    cluster.clone_database("one", "two").expect("a clone");
    let settings = cluster.settings("two").expect("settings");
    let mut session = ReadSession::open(&settings).expect("a session");
    let row = session
        .query_one("SELECT n FROM t", &[])
        .expect("the row came along");
    assert_eq!(row.get::<_, i32>("n"), 7);
    cluster.drop_database("two").expect("cuts off the session");
    assert!(ReadSession::open(&settings).is_err());
    let error = cluster
        .create_database("x\"; DROP")
        .expect_err("no such name");
    assert!(matches!(error, SandboxError::BadName { .. }));
}

#[test]
fn a_standby_streams_and_is_promoted() {
    if !Programs::find()
        .expect("programs")
        .has(Program::PgBasebackup)
    {
        skipped("this package of PostgreSQL has no pg_basebackup");
        return;
    }
    let mut cluster = Cluster::start().expect("a cluster");
    let standby = cluster.standby().expect("a standby");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
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

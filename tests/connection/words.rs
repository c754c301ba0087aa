//! What is said where there is no session, and what every session is pinned to.

use quay_doctor::pg::{FaultClass, ReadSession, Statements as _, WriteSession};

use super::question::Asked;
use super::server::server;

#[test]
fn every_refusal_is_one_clear_sentence_with_a_hint_and_without_the_password() {
    let cluster = server();
    let port = cluster.port();
    let asked = |rest: &str| Asked::url(rest.replace("PORT", &port.to_string()));
    let cases = [
        (
            "postgresql://scram:hunter2@127.0.0.1:PORT/quay",
            "the password is wrong",
            "--database-url",
        ),
        (
            "postgresql://scram@127.0.0.1:PORT/quay",
            "asks for a password and none is given",
            "PGPASSWORD",
        ),
        (
            "postgresql://scram:hunter2@127.0.0.1:1/quay",
            "nothing listens there",
            "host and port",
        ),
        (
            "postgresql://scram:hunter2@nowhere.invalid/quay",
            "nowhere.invalid:5432: the host name has no address",
            "name",
        ),
        (
            "postgresql://postgres:hunter2@127.0.0.1:PORT/none",
            "database \"none\" does not exist",
            "database's name",
        ),
        (
            "postgresql://none:hunter2@127.0.0.1:PORT/quay",
            "role \"none\" does not exist",
            "user",
        ),
        (
            "postgresql://banned:hunter2@127.0.0.1:PORT/quay",
            "pg_hba.conf rejects connection",
            "does not admit this user",
        ),
        (
            "postgresql://full_up:hunter2@127.0.0.1:PORT/quay",
            "too many connections for role",
            "try again later",
        ),
        (
            "postgresql://postgres:hunter2@127.0.0.1:PORT/quay?sslmode=require",
            "does not offer TLS",
            "postgresql.conf",
        ),
        (
            "postgresql://postgres:hunter2@127.0.0.1:PORT/quay?target_session_attrs=standby",
            "is no standby",
            "target_session_attrs",
        ),
        (
            "postgresql://postgres:hunter2@/quay?host=/nonexistent",
            "no such socket",
            "unix_socket_directories",
        ),
        (
            "postgresql://postgres:hunter2@127.0.0.1:1,127.0.0.1:2/quay",
            "127.0.0.1:1: nothing listens there (connection refused); 127.0.0.1:2: nothing",
            "host",
        ),
    ];
    for (url, sentence, hint) in cases {
        let said = asked(url).by_us().expect_err(url);
        let (first, help) = said.split_once('\n').expect("a hint");
        assert!(first.contains(sentence), "{url}: {said}");
        assert!(help.contains(hint), "{url}: {said}");
        assert!(!said.contains("hunter2"), "{url}: {said}");
    }
}

#[test]
fn the_session_is_named_and_a_hidden_row_is_an_error_and_not_a_clean_answer() {
    let cluster = server();
    let settings = cluster.settings("quay").expect("settings");
    let mut owner = WriteSession::open(&settings).expect("a session");
    owner
        .run(
            "CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO PUBLIC;
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON t USING (false)",
        )
        .expect("a table");
    let url = format!("postgresql://root@127.0.0.1:{}/quay", cluster.port());
    let settings = Asked::url(url).settings().expect("settings");
    let mut session = ReadSession::open(&settings).expect("a session");
    let name = session
        .query_one("SELECT current_setting('application_name')", &[])
        .expect("a row");
    assert_eq!(name.get::<_, String>(0), "quay-doctor");
    let error = session
        .query("SELECT n FROM t", &[])
        .expect_err("the row is hidden from this role");
    assert_eq!(error.class(), FaultClass::Privilege);
}

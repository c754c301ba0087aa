//! A server that is there and says nothing: what is waited for, and for how long.

use std::thread;
use std::time::Duration;

use quay_doctor::config::AnswerLimit;
use quay_doctor::pg::{FaultClass, PgError, ReadSession, Statements as _};
use testkit::proxy::{Effect, FaultProxy, Rule};
use testkit::shared::TestDatabase;

use super::question::Asked;

/// Where no answer comes anyway.
const SHORT: Duration = Duration::from_secs(1);
/// Where one has to come in time, also from a machine that has much to do.
const LONG: Duration = Duration::from_secs(4);

/// A session through the proxy that waits so long for each answer.
fn session(proxy: &FaultProxy, limit: Duration) -> ReadSession {
    let settings = Asked::url(proxy.url()).settings().expect("settings");
    let settings = settings.with_answer_limit(AnswerLimit::Each(limit));
    ReadSession::open(&settings).expect("a session")
}

fn said(error: &PgError) -> String {
    format!("{error}")
}

#[test]
fn an_answer_that_does_not_come_ends_the_session_as_a_lost_connection_does() {
    let db = TestDatabase::quay().expect("a database");
    let proxy = FaultProxy::before(&db.tcp_url()).expect("a proxy");
    for rule in [
        Rule::lost_statement("SELECT 7", 1),
        Rule::lost_answer("SELECT 7", 1),
    ] {
        let mut session = session(&proxy, SHORT);
        proxy.arm(rule.with(Effect::BlackHole));
        let error = session.query("SELECT 7", &[]).expect_err("no answer");
        assert_eq!(error.class(), FaultClass::Connection);
        assert!(said(&error).contains("did not answer in time"), "{error}");
        // Nothing more comes of it, and nobody waits again.
        session.query("SELECT 7", &[]).expect_err("no session");
    }
}

#[test]
fn a_session_that_lay_idle_for_longer_is_as_good_as_new() {
    let db = TestDatabase::quay().expect("a database");
    let proxy = FaultProxy::before(&db.tcp_url()).expect("a proxy");
    let mut session = session(&proxy, LONG);
    for _ in 0..2 {
        thread::sleep(LONG + Duration::from_secs(2));
        session.query("SELECT 7", &[]).expect("an answer");
    }
}

#[test]
fn what_comes_in_pieces_is_waited_for_piece_by_piece() {
    let db = TestDatabase::quay().expect("a database");
    let proxy = FaultProxy::before(&db.tcp_url()).expect("a proxy");
    let mut session = session(&proxy, LONG);
    // Rows that each fill the server's buffer, and take longer together than one may.
    let slow = "SELECT repeat('x', 20000), pg_sleep(1) FROM generate_series(1, 7)";
    assert_eq!(session.query(slow, &[]).expect("rows").len(), 7);
}

//! Servers that do not answer, or are none: bounded waits, clear words, the next host.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use quay_doctor::sandbox::Cluster;

use super::fake;
use super::question::Asked;

/// Longer than the limit of one second that these tests set, shorter than any default.
const SOON: Duration = Duration::from_secs(5);

fn timed_out(asked: &Asked) {
    let begun = Instant::now();
    let said = asked.by_us().expect_err("nobody answers");
    assert!(said.contains("did not answer in time"), "{said}");
    assert!(begun.elapsed() >= Duration::from_millis(900), "too soon");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_takes_the_connection_and_says_nothing_is_given_up_in_time() {
    let address = fake::silent();
    for mode in ["disable", "prefer", "require"] {
        timed_out(&Asked::url(format!(
            "postgresql://u@{address}/d?connect_timeout=1&sslmode={mode}"
        )));
    }
}

#[test]
fn a_silent_socket_is_given_up_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let _listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
    timed_out(&Asked::url(format!(
        "host={} user=u dbname=d connect_timeout=1",
        folder.path().display()
    )));
}

#[test]
fn a_host_that_swallows_packets_is_given_up_in_time() {
    // An address that is reserved for documentation: dropped, or refused by the first router.
    let begun = Instant::now();
    let said = Asked::url("postgresql://u@192.0.2.1/d?connect_timeout=1")
        .by_us()
        .expect_err("nobody is there");
    assert!(said.contains("192.0.2.1:5432"), "{said}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn what_is_not_postgresql_is_called_that() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"+OK ready\r\n",
    ] {
        let address = fake::answering(answer);
        for mode in ["disable", "prefer"] {
            let begun = Instant::now();
            let said = Asked::url(format!("postgresql://u@{address}/d?sslmode={mode}"))
                .by_us()
                .expect_err("that is no server");
            // "SSH" begins like a yes to TLS; what follows is then no TLS.
            let words = [
                "is not PostgreSQL",
                "TLS failed",
                "did not answer",
                "hung up",
            ];
            let as_tls = mode == "prefer" && answer.starts_with(b"S");
            let known = &words[..if as_tls { 4 } else { 1 }];
            assert!(
                known.iter().any(|words| said.contains(words)),
                "{mode}: {said}"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(9),
                "{:?}",
                begun.elapsed()
            );
        }
    }
}

#[test]
fn a_peer_that_hangs_up_is_reported_as_that() {
    let address = fake::closing();
    for mode in ["disable", "prefer", "require"] {
        let asked = Asked::url(format!("postgresql://u@{address}/d?sslmode={mode}"));
        let said = asked.same().expect_err("nobody is there");
        assert!(said.contains("closed the connection"), "{said}");
    }
}

#[test]
fn the_next_host_is_tried_where_the_server_is_not_ready_and_not_where_it_refused() {
    let cluster = Cluster::builder()
        .setting("password_encryption", "scram-sha-256")
        .hba("host all scram all scram-sha-256")
        .start()
        .expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = quay_doctor::pg::WriteSession::open(&settings).expect("a session");
    session
        .run("CREATE ROLE scram LOGIN PASSWORD 'right'; CREATE ROLE other LOGIN PASSWORD 'wrong'")
        .expect("roles");
    let good = format!("127.0.0.1:{}", cluster.port());
    let starting = fake::answering(fake::STARTING);
    let silent = fake::silent();
    let through = |first: &str| {
        Asked::url(format!(
            "postgresql://postgres@{first},{good}/postgres?connect_timeout=2&sslmode=disable"
        ))
    };
    assert!(through(&starting.to_string()).same().is_ok());
    assert!(through(&silent.to_string()).same().is_ok());
    assert!(through("127.0.0.1:1").same().is_ok());
    let refused = Asked::url(format!(
        "postgresql://scram:wrong@{good},{good}/postgres?connect_timeout=2"
    ));
    let said = refused.same().expect_err("the password is wrong");
    assert_eq!(said.matches("the password is wrong").count(), 1, "{said}");

    let said = Asked::url(format!(
        "postgresql://postgres@{starting}/postgres?sslmode=disable"
    ))
    .by_us()
    .expect_err("it is starting");
    assert!(said.contains("the database system is starting"), "{said}");
    assert!(said.contains("wait until the server is ready"), "{said}");
}

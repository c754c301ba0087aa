//! TLS with a real server: every mode, with certificates that are right and wrong, as psql does it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::authority::{Authority, Says, self_signed};
use super::fake;
use super::question::Asked;
use super::secured::{GOOD, Secured};

const MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

#[test]
fn every_mode_with_every_certificate_ends_as_with_psql() {
    let server = Secured::start();
    let own = self_signed(GOOD);
    let certificates = [
        ("good", server.authority.issue(GOOD)),
        (
            "for another host",
            server.authority.issue(Says {
                hosts: &["other.example"],
                ..GOOD
            }),
        ),
        (
            "expired",
            server.authority.issue(Says {
                until: 2021,
                ..GOOD
            }),
        ),
        (
            "of another authority",
            Authority::new("another authority").issue(GOOD),
        ),
        ("its own authority", own.clone()),
    ];
    let right = server.file("ca.crt").display().to_string();
    let roots = [
        ("none", "/nonexistent/root.crt".to_owned()),
        ("the authority", right),
        (
            "the certificate itself",
            server.write("own.crt", &own.certificate),
        ),
    ];
    let mut ends = BTreeMap::new();
    for (certificate, pair) in &certificates {
        server.show(pair);
        for (root, path) in &roots {
            for mode in MODES {
                for user in ["postgres", "encrypted", "plain"] {
                    let asked = server.asked(user, &format!("sslmode={mode} sslrootcert={path}"));
                    let end = match asked.same() {
                        Ok(answer) if answer.contains("ssl=true") => "encrypted",
                        Ok(_) => "plain",
                        Err(_) => "refused",
                    };
                    ends.insert((*certificate, *root, mode, user), end);
                }
            }
        }
    }
    // psql agreed with each; these say that the table was not about nothing.
    for (key, end) in [
        (
            ("good", "the authority", "verify-full", "postgres"),
            "encrypted",
        ),
        (("good", "none", "require", "postgres"), "encrypted"),
        (("good", "none", "verify-ca", "postgres"), "refused"),
        (
            ("good", "the certificate itself", "require", "postgres"),
            "refused",
        ),
        (("good", "the authority", "disable", "encrypted"), "refused"),
        (("good", "the authority", "allow", "encrypted"), "encrypted"),
        (("good", "the authority", "allow", "postgres"), "plain"),
        (("good", "the authority", "prefer", "postgres"), "encrypted"),
        (("good", "the authority", "prefer", "plain"), "plain"),
        (("good", "the authority", "require", "plain"), "refused"),
        (
            ("for another host", "the authority", "verify-ca", "postgres"),
            "encrypted",
        ),
        (
            (
                "for another host",
                "the authority",
                "verify-full",
                "postgres",
            ),
            "refused",
        ),
        (
            ("expired", "the authority", "verify-ca", "postgres"),
            "refused",
        ),
        (("expired", "the authority", "prefer", "postgres"), "plain"),
        (("expired", "none", "require", "postgres"), "encrypted"),
        (
            (
                "of another authority",
                "the authority",
                "verify-ca",
                "postgres",
            ),
            "refused",
        ),
        (
            (
                "its own authority",
                "the certificate itself",
                "verify-full",
                "postgres",
            ),
            "encrypted",
        ),
    ] {
        assert_eq!(ends.get(&key), Some(&end), "{key:?}");
    }
}

#[test]
fn a_password_is_bound_to_the_channel_and_versions_are_kept() {
    let server = Secured::start();
    for (more, works) in [
        (
            "password=right sslmode=require channel_binding=require",
            true,
        ),
        (
            "password=right sslmode=require channel_binding=disable",
            true,
        ),
        (
            "password=wrong sslmode=require channel_binding=require",
            false,
        ),
        (
            "password=right sslmode=disable channel_binding=require",
            false,
        ),
        ("password=right sslmode=disable", true),
        (
            "password=right sslmode=require ssl_max_protocol_version=TLSv1.2",
            true,
        ),
        (
            "password=right sslmode=require ssl_min_protocol_version=TLSv1.3",
            true,
        ),
        ("password=right sslmode=require sslsni=0", true),
    ] {
        let answer = server.asked("scram", more).same();
        assert_eq!(answer.is_ok(), works, "{more}: {answer:?}");
    }
    // A session without a password is not bound to anything.
    let said = server
        .asked("postgres", "sslmode=require channel_binding=require")
        .same();
    assert!(said.is_err());
}

#[test]
fn the_systems_roots_do_not_vouch_for_an_authority_of_ones_own() {
    let server = Secured::start();
    let said = server
        .asked("postgres", "sslrootcert=system")
        .by_us()
        .expect_err("nobody knows this authority");
    assert!(said.contains("root certificate"), "{said}");
}

#[test]
fn direct_tls_works_with_servers_that_know_it() {
    let server = Secured::start();
    let root = server.file("ca.crt").display().to_string();
    let answer = server
        .asked(
            "scram",
            &format!("password=right sslnegotiation=direct sslmode=verify-full sslrootcert={root}"),
        )
        .by_us();
    let knows = server.cluster.version().expect("a version") >= 170_000;
    assert_eq!(answer.is_ok(), knows, "{answer:?}");
}

#[test]
fn direct_tls_begins_with_tls_and_names_the_protocol_and_the_host() {
    let (address, said) = fake::listening();
    let port = address.port();
    let url = format!("postgresql://u@localhost:{port}/d?hostaddr=127.0.0.1&sslnegotiation=direct");
    assert!(Asked::url(url).by_us().is_err());
    let said = said.recv_timeout(Duration::from_secs(5)).expect("a word");
    let has = |words: &[u8]| said.windows(words.len()).any(|window| window == words);
    // The first byte of a TLS handshake record; the rest of a ClientHello is not encrypted.
    assert_eq!(said.first(), Some(&0x16));
    assert!(has(b"postgresql") && has(b"localhost"));
}

//! TLS with a real server: every mode, with certificates that are right and wrong, as psql does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quay_doctor::pg::{ReadSession, Statements as _, WriteSession};
use quay_doctor::sandbox::Cluster;

use super::authority::{Authority, Pair, Says, self_signed};
use super::fake;
use super::question::Asked;

const GOOD: Says<'_> = Says {
    common: "localhost",
    hosts: &["localhost"],
    until: 2090,
};

/// A server with TLS, and a folder for the files of clients.
struct Secured {
    cluster: Cluster,
    authority: Authority,
    files: tempfile::TempDir,
}

impl Secured {
    fn start() -> Self {
        let authority = Authority::new("the authority");
        let pair = authority.issue(GOOD);
        let cluster = Cluster::builder()
            .setting("ssl", "on")
            .setting("ssl_cert_file", "server.crt")
            .setting("ssl_key_file", "server.key")
            .setting("ssl_ca_file", "ca.crt")
            .file("server.crt", pair.certificate)
            .file("server.key", pair.key)
            .file("ca.crt", authority.pem.clone())
            .hba(
                "hostssl all certified all cert\n\
                 hostssl all encrypted all trust\n\
                 hostnossl all plain all trust\n\
                 host all scram all scram-sha-256\n\
                 host all encrypted,plain,certified all reject",
            )
            .start()
            .expect("a cluster");
        let settings = cluster.settings("postgres").expect("settings");
        let mut session = WriteSession::open(&settings).expect("a session");
        session
            .run(
                "CREATE ROLE certified LOGIN; CREATE ROLE encrypted LOGIN; CREATE ROLE plain LOGIN;
                 CREATE ROLE scram LOGIN PASSWORD 'right'",
            )
            .expect("roles");
        let files = tempfile::tempdir().expect("a folder");
        std::fs::write(files.path().join("ca.crt"), &authority.pem).expect("a file");
        Self {
            cluster,
            authority,
            files,
        }
    }

    /// Gives the server another certificate, and waits until it shows it.
    fn show(&self, pair: &Pair) {
        let data = self.cluster.data_directory();
        std::fs::write(data.join("server.crt"), &pair.certificate).expect("a certificate");
        std::fs::write(data.join("server.key"), &pair.key).expect("a key");
        let settings = self.cluster.settings("postgres").expect("settings");
        let loaded = "SELECT pg_conf_load_time() AS at";
        let at = |session: &mut ReadSession| {
            let row = session.query_one(loaded, &[]).expect("a row");
            row.get::<_, chrono::DateTime<chrono::Utc>>("at")
        };
        let mut session = ReadSession::open(&settings).expect("a session");
        let before = at(&mut session);
        session
            .query("SELECT pg_reload_conf()", &[])
            .expect("a reload");
        let deadline = Instant::now() + Duration::from_secs(10);
        // A session is told a little after the postmaster; a new one has the postmaster's state.
        while at(&mut ReadSession::open(&settings).expect("a session")) <= before {
            assert!(Instant::now() < deadline, "the server never reloaded");
        }
    }

    fn asked(&self, user: &str, more: &str) -> Asked {
        let port = self.cluster.port();
        Asked::url(format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user={user} dbname=postgres {more}"
        ))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.file(name), text).expect("a file");
        self.file(name).display().to_string()
    }
}

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
fn a_certificate_that_will_not_do_is_explained() {
    let server = Secured::start();
    let full = |more: &str| {
        let root = server.file("ca.crt").display().to_string();
        server
            .asked(
                "postgres",
                &format!("sslmode=verify-full sslrootcert={root} {more}"),
            )
            .by_us()
    };
    assert!(full("").is_ok());
    let refused = |pair: &Pair, sentence: &str, hint: &str| {
        server.show(pair);
        let said = full("").expect_err(sentence);
        assert!(said.contains(sentence) && said.contains(hint), "{said}");
    };
    let issue = |says| server.authority.issue(says);
    let other = issue(Says {
        hosts: &["other.example"],
        ..GOOD
    });
    refused(&other, "for another host; it is for", "hostaddr");
    refused(
        &issue(Says { hosts: &[], ..GOOD }),
        "names no host in its subjectAltName",
        "verify-ca",
    );
    refused(
        &issue(Says {
            until: 2021,
            ..GOOD
        }),
        "has expired",
        "clock",
    );
    refused(
        &Authority::new("x").issue(GOOD),
        "no root certificate vouches",
        "sslrootcert",
    );

    server.show(&server.authority.issue_numbered(GOOD, 8));
    let list = server.write("withdrawn.crl", &server.authority.withdraws(8));
    let said = full(&format!("sslcrl={list}")).expect_err("it is withdrawn");
    assert!(said.contains("withdrawn"), "{said}");
    let list = server.write("other.crl", &server.authority.withdraws(9));
    assert!(full(&format!("sslcrl={list}")).is_ok());
}

#[test]
fn files_that_cannot_be_used_are_named_before_anything_is_connected_to() {
    let server = Secured::start();
    let broken = server.write("broken.crt", "no certificate");
    let (certificate, key) = server
        .authority
        .issue(GOOD)
        .write(server.files.path(), "client");
    let (certificate, key) = (certificate.display(), key.display());
    let locked = server.write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    restrict(Path::new(&locked), 0o600);
    let open = server.write(
        "open.key",
        &std::fs::read_to_string(server.file("client.key")).expect("a key"),
    );
    restrict(Path::new(&open), 0o644);
    let foreign = server
        .authority
        .issue(GOOD)
        .write(server.files.path(), "foreign")
        .1;
    for (more, sentence) in [
        (
            "sslmode=verify-full sslrootcert=/nonexistent/x".to_owned(),
            "/nonexistent/x cannot be used: there is no such file",
        ),
        (
            format!("sslmode=require sslrootcert={broken}"),
            "it is no certificate in PEM form",
        ),
        (
            format!("sslmode=require sslcert={certificate} sslkey=/nonexistent/k"),
            "no key to it",
        ),
        (
            format!("sslmode=require sslcert={certificate} sslkey={locked}"),
            "it is encrypted",
        ),
        (
            format!("sslmode=require sslcert={certificate} sslkey={open}"),
            "others may read it",
        ),
        (
            format!(
                "sslmode=require sslcert={certificate} sslkey={}",
                foreign.display()
            ),
            "does not fit the certificate",
        ),
        (
            format!("sslmode=require sslcert={broken} sslkey={key}"),
            "it is no certificate",
        ),
    ] {
        let said = server.asked("postgres", &more).same().expect_err(&more);
        assert!(said.contains(sentence), "{more}: {said}");
        let settings = server
            .asked("postgres", &more)
            .settings()
            .expect("settings");
        let error = ReadSession::open(&settings).err().expect("a file is wrong");
        assert!(error.is_configuration(), "{error}");
    }
}

fn restrict(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn a_client_certificate_lets_its_owner_in() {
    let server = Secured::start();
    let files = server.files.path();
    let write = |authority: &Authority, common: &str, name: &str| {
        let says = Says {
            common,
            hosts: &[],
            until: 2090,
        };
        let (certificate, key) = authority.issue(says).write(files, name);
        format!(
            "sslmode=require sslcert={} sslkey={}",
            certificate.display(),
            key.display()
        )
    };
    let own = write(&server.authority, "certified", "own");
    let another = write(&server.authority, "somebody", "another");
    let foreign = write(&Authority::new("elsewhere"), "certified", "foreign");
    assert!(server.asked("certified", &own).same().is_ok());
    let said = server
        .asked("certified", &another)
        .same()
        .expect_err("another's name");
    assert!(said.contains("certificate authentication failed"), "{said}");
    let said = server
        .asked("certified", &foreign)
        .same()
        .expect_err("another's authority");
    assert!(
        said.contains("does not accept the client certificate"),
        "{said}"
    );
    let said = server
        .asked("certified", "sslmode=require")
        .same()
        .expect_err("none");
    assert!(
        said.contains("client certificate") && said.contains("sslcert"),
        "{said}"
    );

    // libpq's default places, below the home folder.
    let home = files.join("home");
    std::fs::create_dir_all(home.join(".postgresql")).expect("a folder");
    let place = |from: &str, to: &str| {
        std::fs::copy(files.join(from), home.join(".postgresql").join(to)).expect("a copy");
    };
    place("own.crt", "postgresql.crt");
    place("own.key", "postgresql.key");
    assert!(
        server
            .asked("certified", "sslmode=require")
            .home(&home)
            .same()
            .is_ok()
    );
    place("ca.crt", "root.crt");
    assert!(
        server
            .asked("certified", "sslmode=verify-full")
            .home(&home)
            .same()
            .is_ok()
    );
    std::fs::write(home.join(".postgresql/root.crt"), Authority::new("x").pem).expect("a file");
    assert!(
        server
            .asked("certified", "sslmode=require")
            .home(&home)
            .same()
            .is_err()
    );
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

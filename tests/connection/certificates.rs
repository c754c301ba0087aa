//! Certificates and keys that will not do, the server's and our own, and what is said of them.

use std::path::Path;

use quay_doctor::pg::ReadSession;

use super::authority::{Authority, Pair, Says};
use super::secured::{GOOD, Secured};

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

    // Where a mode falls back, both attempts are accounted for.
    let root = server.file("ca.crt").display().to_string();
    let said = server
        .asked("encrypted", &format!("sslmode=prefer sslrootcert={root}"))
        .same()
        .expect_err("TLS fails, and without TLS this role is not admitted");
    assert!(said.contains("no root certificate vouches"), "{said}");
    assert!(said.contains("; without TLS, the server says"), "{said}");

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

fn restrict(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

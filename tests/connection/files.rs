//! The password file and the service file, compared with psql's behaviour.

use super::question::Asked;
use super::server::{check, server, write};

#[test]
fn passwords_and_services_come_from_the_files_that_psql_reads() {
    let cluster = server();
    let port = cluster.port();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str, mode| write(&folder.path().join(name), text, mode);
    let scram = || Asked::url(format!("postgresql://scram@127.0.0.1:{port}/quay"));
    let count = std::cell::Cell::new(0);
    let by_file = |text: &str| {
        count.set(count.get() + 1);
        scram().with(
            "PGPASSFILE",
            file(&format!("pgpass{}", count.get()), text, 0o600),
        )
    };
    check(vec![
        ("no password", false, scram()),
        (
            "a password by variable",
            true,
            scram().with("PGPASSWORD", "right"),
        ),
        ("a wrong one", false, scram().with("PGPASSWORD", "wrong")),
        (
            "the URL's password wins",
            true,
            Asked::url(format!("postgresql://scram:right@127.0.0.1:{port}/quay"))
                .with("PGPASSWORD", "wrong"),
        ),
        (
            "a line for it",
            true,
            by_file(&format!("127.0.0.1:{port}:quay:scram:right")),
        ),
        ("stars", true, by_file("# mine\n*:*:*:*:right\n")),
        (
            "the first line counts",
            false,
            by_file("*:*:*:scram:wrong\n*:*:*:*:right\n"),
        ),
        (
            "a line for another port",
            false,
            by_file("127.0.0.1:1:quay:scram:right"),
        ),
        ("escaped", true, by_file("127.0.0\\.1:*:qu\\ay:*:rig\\ht\n")),
        (
            "a file that others can read",
            false,
            scram().with("PGPASSFILE", file("open", "*:*:*:*:right", 0o644)),
        ),
        (
            "a file as a setting",
            true,
            Asked::url(format!(
                "host=127.0.0.1 port={port} user=scram dbname=quay passfile={}",
                file("set", "*:*:*:*:right", 0o600)
            )),
        ),
        (
            "a file that is not there",
            false,
            scram().with("PGPASSFILE", "/nonexistent/pgpass"),
        ),
        (
            "the variable wins over the file",
            false,
            by_file("*:*:*:*:right\n\n").with("PGPASSWORD", "wrong"),
        ),
        (
            "the address does for the host's name",
            true,
            Asked::url(format!(
                "postgresql://scram@/quay?hostaddr=127.0.0.1&port={port}&passfile={}",
                file("addr", "127.0.0.1:*:*:*:right", 0o600)
            )),
        ),
    ]);

    let home = folder.path().join("home");
    std::fs::create_dir(&home).expect("a home");
    write(&home.join(".pgpass"), "*:*:quay:scram:right\n", 0o600);
    write(
        &home.join(".pg_service.conf"),
        &format!(
            "# services\n[quay]\nhost=127.0.0.1\nport={port}\nuser=scram\ndbname=quay\n[bad]\nnonsense=1\n[nested]\nservice=quay\n"
        ),
        0o644,
    );
    let system = folder.path().join("etc");
    std::fs::create_dir(&system).expect("a folder");
    write(
        &system.join("pg_service.conf"),
        &format!("[system]\nhost=127.0.0.1\nport={port}\nuser=postgres\n"),
        0o644,
    );
    let other = file(
        "other.conf",
        &format!("[quay]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname=postgres\n"),
        0o644,
    );
    let service = |name: &str| Asked::nothing().with("PGSERVICE", name).home(&home);
    check(vec![
        ("the home folder's password file", true, scram().home(&home)),
        ("a service", true, service("quay")),
        (
            "a service in a URL",
            true,
            Asked::url("postgresql://?service=quay").home(&home),
        ),
        (
            "a service in words",
            true,
            Asked::url("service=quay user=postgres").home(&home),
        ),
        (
            "a service wins over variables",
            true,
            service("quay").with("PGPORT", "1").with("PGUSER", "none"),
        ),
        (
            "variables fill its gaps",
            true,
            service("system")
                .with("PGSYSCONFDIR", system.display().to_string())
                .with("PGDATABASE", "quay"),
        ),
        (
            "another service file",
            true,
            service("quay").with("PGSERVICEFILE", &other),
        ),
        (
            "a service file that is not there",
            false,
            service("quay").with("PGSERVICEFILE", "/nonexistent/services"),
        ),
        (
            "a service that is not there",
            false,
            service("qua").with("PGSYSCONFDIR", "/nonexistent"),
        ),
        ("a service that cannot be read", false, service("bad")),
        ("a service in a service", false, service("nested")),
    ]);
}

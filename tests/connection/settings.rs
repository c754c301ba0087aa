//! Settings from every place that libpq knows, compared with psql's behaviour.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::Cluster;

use super::question::Asked;

/// A server with a database `quay`, one with an odd name, and roles with and without passwords.
fn server() -> Cluster {
    let cluster = Cluster::builder()
        .hba("host all scram,odd all scram-sha-256\nlocal all scram scram-sha-256")
        .start()
        .expect("a cluster");
    cluster.create_database("quay").expect("a database");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    for statement in [
        r#"CREATE DATABASE "odd/na@me?""#,
        "CREATE ROLE root LOGIN",
        "CREATE DATABASE root",
        "CREATE ROLE scram LOGIN PASSWORD 'right'",
        r#"CREATE ROLE odd LOGIN PASSWORD 'a:b/c@d?e%f g\h''i'"#,
        "CREATE ROLE full_up LOGIN CONNECTION LIMIT 0",
    ] {
        session.run(statement).expect(statement);
    }
    cluster
}

/// Every case by name; whether it leads to a session.
fn check(cases: Vec<(&str, bool, Asked)>) {
    for (name, works, asked) in cases {
        let answer = asked.same();
        assert_eq!(answer.is_ok(), works, "{name}: {answer:?}");
    }
}

fn write(path: &Path, text: &str, mode: u32) -> String {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    path.display().to_string()
}

#[test]
fn urls_strings_and_variables_lead_where_psql_goes() {
    let cluster = server();
    let port = cluster.port();
    let folder = cluster
        .data_directory()
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let in_url = folder.replace('/', "%2F");
    let url =
        |rest: &str| Asked::url(format!("postgresql://{rest}").replace("PORT", &port.to_string()));
    let words = |rest: &str| Asked::url(format!("host=127.0.0.1 port={port} {rest}"));
    let variables = || {
        Asked::nothing()
            .with("PGHOST", "127.0.0.1")
            .with("PGPORT", port.to_string())
            .with("PGUSER", "postgres")
            .with("PGDATABASE", "quay")
    };
    check(vec![
        ("a plain URL", true, url("postgres@127.0.0.1:PORT/quay")),
        (
            "the other scheme",
            true,
            Asked::url(format!("postgres://postgres@127.0.0.1:{port}/quay")),
        ),
        (
            "host as a parameter",
            true,
            url("postgres@/quay?host=127.0.0.1&port=PORT"),
        ),
        (
            "a parameter wins over the path",
            true,
            url("postgres@127.0.0.1:PORT/x?dbname=quay"),
        ),
        (
            "an encoded database",
            true,
            url("postgres@127.0.0.1:PORT/odd%2Fna%40me%3F"),
        ),
        (
            "an encoded password",
            true,
            url("odd:a%3Ab%2Fc%40d%3Fe%25f%20g%5Ch'i@127.0.0.1:PORT/quay"),
        ),
        (
            "a password with a colon",
            false,
            url("odd:a:b@127.0.0.1:PORT/quay"),
        ),
        (
            "an address that needs no look-up",
            true,
            url("postgres@nowhere.invalid:PORT/quay?hostaddr=127.0.0.1"),
        ),
        (
            "the second of two hosts",
            true,
            url("postgres@127.0.0.1:1,127.0.0.1:PORT/quay"),
        ),
        (
            "a name that has no address, then a host",
            true,
            url("postgres@nowhere.invalid,127.0.0.1:PORT/quay?port=PORT"),
        ),
        (
            "a port for each host",
            true,
            words("host=127.0.0.1,127.0.0.1 user=postgres dbname=quay").with("PGPORT", "1"),
        ),
        (
            "too many ports",
            false,
            url("postgres@/quay?host=127.0.0.1&port=PORT,PORT"),
        ),
        ("no such port", false, url("postgres@127.0.0.1:1/quay")),
        (
            "an IPv6 address where nobody listens",
            false,
            url("postgres@[::1]:PORT/quay"),
        ),
        (
            "a socket as a parameter",
            true,
            url(&format!("postgres@/quay?host={folder}&port=PORT")),
        ),
        (
            "a socket as the host",
            true,
            url(&format!("postgres@{in_url}:PORT/quay")),
        ),
        (
            "TLS is no matter on a socket",
            true,
            url(&format!("postgres@{in_url}:PORT/quay?sslmode=verify-full")),
        ),
        (
            "TLS where the server has none",
            false,
            url("postgres@127.0.0.1:PORT/quay?sslmode=require"),
        ),
        (
            "JDBC's way to ask for TLS",
            false,
            url("postgres@127.0.0.1:PORT/quay?ssl=true"),
        ),
        (
            "no TLS where the server has none",
            true,
            url("postgres@127.0.0.1:PORT/quay?sslmode=prefer"),
        ),
        (
            "TLS by the old variable",
            false,
            variables().with("PGREQUIRESSL", "1"),
        ),
        (
            "a string of words",
            true,
            words("user=postgres dbname = 'quay'"),
        ),
        (
            "quotes and backslashes",
            true,
            words(r"user=odd password='a:b/c@d?e%f g\\h\'i' dbname=quay"),
        ),
        (
            "a server setting",
            true,
            words("user=postgres dbname=quay options='-c geqo=off'"),
        ),
        (
            "a server setting in a URL",
            true,
            url("postgres@127.0.0.1:PORT/quay?options=-c%20geqo%3Doff"),
        ),
        (
            "a server setting by variable",
            true,
            variables().with("PGOPTIONS", "-c geqo=off"),
        ),
        (
            "a name for the session",
            true,
            words("user=postgres dbname=quay application_name=night"),
        ),
        (
            "a name by variable",
            true,
            variables().with("PGAPPNAME", "night"),
        ),
        (
            "the nearer name wins",
            true,
            words("user=postgres dbname=quay application_name=a").with("PGAPPNAME", "b"),
        ),
        ("variables alone", true, variables()),
        (
            "an address by variable",
            true,
            variables()
                .with("PGHOSTADDR", "127.0.0.1")
                .with("PGHOST", "nowhere.invalid"),
        ),
        (
            "the URL wins over variables",
            true,
            url("postgres@127.0.0.1:PORT")
                .with("PGUSER", "x")
                .with("PGDATABASE", "quay"),
        ),
        (
            "no such database",
            false,
            variables().with("PGDATABASE", "none"),
        ),
        ("no such role", false, variables().with("PGUSER", "none")),
        (
            "a role without a connection left",
            false,
            variables().with("PGUSER", "full_up"),
        ),
        (
            "the database is called like the user",
            true,
            url("postgres@127.0.0.1:PORT"),
        ),
        (
            "an unknown parameter",
            false,
            url("postgres@127.0.0.1:PORT/quay?nonsense=1"),
        ),
        (
            "an unknown mode",
            false,
            url("postgres@127.0.0.1:PORT/quay?sslmode=on"),
        ),
        (
            "an unknown mode by variable",
            false,
            variables().with("PGSSLMODE", "on"),
        ),
        (
            "a port that is none",
            false,
            variables().with("PGPORT", "65536"),
        ),
        (
            "a time that is none",
            false,
            variables().with("PGCONNECT_TIMEOUT", "soon"),
        ),
        (
            "a time with blanks",
            true,
            words("user=postgres dbname=quay connect_timeout=' 5 '"),
        ),
        (
            "a kind of session that is none",
            false,
            variables().with("PGTARGETSESSIONATTRS", "best"),
        ),
        (
            "a kind of session that there is",
            true,
            variables().with("PGTARGETSESSIONATTRS", "read-write"),
        ),
        (
            "a kind of session that there is not",
            false,
            variables().with("PGTARGETSESSIONATTRS", "standby"),
        ),
        (
            "channel binding without a channel",
            false,
            words("user=scram password=right dbname=quay channel_binding=require"),
        ),
        (
            "GSSAPI where there is none",
            false,
            variables().with("PGGSSENCMODE", "require"),
        ),
        (
            "no GSSAPI",
            true,
            variables().with("PGGSSENCMODE", "disable"),
        ),
        (
            "keepalives",
            true,
            words(
                "user=postgres dbname=quay keepalives=1 keepalives_idle=5 keepalives_interval=2 keepalives_count=2 tcp_user_timeout=9000",
            ),
        ),
        (
            "half an escape",
            false,
            url("postgres@127.0.0.1:PORT/quay%4"),
        ),
        ("a word without a value", false, words("user")),
    ]);
}

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
    use quay_doctor::pg::{FaultClass, ReadSession, Statements as _};
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

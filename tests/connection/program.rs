//! The program's edge: exit statuses, colours, and a password that never comes out again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::Command;
use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::Cluster;

/// The password that every test gives and none may see.
const PASSWORD: &str = "hunter2/secret";

type Arguments<'a> = &'a [&'a str];
type Variables<'a> = &'a [(&'a str, &'a str)];

/// How the program ended.
struct Ended {
    status: i32,
    /// Everything it printed, on both streams.
    said: String,
}

/// Runs the program with these arguments and variables, and no others.
fn run(args: Arguments<'_>, variables: Variables<'_>) -> Ended {
    let mut command = Command::cargo_bin("quay-doctor").expect("the program is built");
    command
        .env_clear()
        .envs(variables.iter().copied())
        .args(args);
    let output = command.output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("UTF-8");
    for shape in [PASSWORD, "hunter2", "hunter2%2Fsecret"] {
        assert!(
            !said.contains(shape),
            "{args:?} {variables:?} shows it:\n{said}"
        );
    }
    Ended {
        status: output.status.code().expect("an exit"),
        said,
    }
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).expect("a file");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).expect("a mode");
    path.display().to_string()
}

#[test]
fn bad_input_is_one_sentence_a_hint_and_status_2_or_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| write(&folder.path().join(name), text);
    let yaml = file("broken.yaml", "DB_URI: [hunter2/secret\n");
    let mysql = file(
        "mysql.yaml",
        "DB_URI: mysql+pymysql://q:hunter2/secret@db/quay\n",
    );
    let none = file("none.yaml", "SERVER_HOSTNAME: quay\n");
    let cases: [(Arguments<'_>, Variables<'_>, i32, &str); 12] = [
        (&["check"], &[], 2, "no database is named"),
        (
            &["check", "--quay-config", "/nonexistent.yaml"],
            &[],
            2,
            "/nonexistent.yaml cannot be read",
        ),
        (
            &["check", "--quay-config", &yaml],
            &[],
            2,
            "broken.yaml cannot be used",
        ),
        (
            &["check", "--quay-config", &mysql],
            &[],
            2,
            "works on PostgreSQL only",
        ),
        (&["check", "--quay-config", &none], &[], 2, "no DB_URI"),
        (
            &["check", "--database-url", "mysql://q:hunter2@db/quay"],
            &[],
            2,
            "--database-url, cannot be used",
        ),
        (
            &[
                "check",
                "--database-url",
                "postgresql://q:hunter2@db:x/quay",
            ],
            &[],
            2,
            "setting port",
        ),
        (
            &["check"],
            &[("DATABASE_URL", "postgresql://h?sslmode=on")],
            2,
            "DATABASE_URL, cannot be used",
        ),
        (
            &["check"],
            &[("PGSERVICE", "none")],
            2,
            "service none is not described",
        ),
        (
            &["check"],
            &[
                ("PGHOST", "h"),
                ("PGSSLMODE", "verify-full"),
                ("PGSSLROOTCERT", "/nonexistent"),
            ],
            2,
            "/nonexistent cannot be used",
        ),
        (
            &["check"],
            &[("PGHOST", "h"), ("QUAY_DOCTOR_IMMUTABLE_TAGS", "yes")],
            2,
            "must be true or false",
        ),
        (
            &["check"],
            &[
                ("PGHOST", "127.0.0.1"),
                ("PGPORT", "1"),
                ("PGPASSWORD", PASSWORD),
            ],
            3,
            "nothing listens there",
        ),
    ];
    for (args, variables, status, sentence) in cases {
        let ended = run(args, variables);
        assert_eq!(
            ended.status, status,
            "{args:?} {variables:?}: {}",
            ended.said
        );
        assert!(ended.said.contains(sentence), "{args:?}: {}", ended.said);
        assert!(ended.said.contains("help:"), "{args:?}: {}", ended.said);
    }
}

#[test]
fn a_word_that_was_not_expected_is_not_repeated_with_its_password() {
    let url = format!("postgresql://q:{PASSWORD}@db/quay");
    for args in [
        &[url.as_str(), "check"][..],
        &["check", &url],
        &["check", "password=hunter2"],
        &["check", "--fail-on", &url],
        &["check", "--format", &url],
        &["check", &format!("--database={url}")],
    ] {
        let ended = run(args, &[]);
        assert_eq!(ended.status, 2, "{args:?}: {}", ended.said);
    }
}

#[test]
fn no_way_to_give_a_password_shows_it_at_any_verbosity() {
    let cluster = Cluster::builder()
        .setting("password_encryption", "scram-sha-256")
        .hba("host all scram,other all scram-sha-256")
        .start()
        .expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .run(&format!(
            "CREATE ROLE scram LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE other LOGIN PASSWORD 'x'"
        ))
        .expect("roles");
    let port = cluster.port();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| write(&folder.path().join(name), text);
    let encoded = PASSWORD.replace('/', "%2F");
    // The role `other` has another password: the same ways, refused.
    for (user, words) in [
        ("scram", "not Quay's database"),
        ("other", "the password is wrong"),
    ] {
        let url = format!("postgresql://{user}:{encoded}@127.0.0.1:{port}/postgres");
        let bare = format!("postgresql://{user}@127.0.0.1:{port}/postgres");
        let conninfo =
            format!("host=127.0.0.1 port={port} user={user} password={PASSWORD} dbname=postgres");
        let service = file(
            "service",
            &format!(
                "[s]\nhost=127.0.0.1\nport={port}\nuser={user}\npassword={PASSWORD}\ndbname=postgres\n"
            ),
        );
        let pgpass = file("pgpass", &format!("*:*:*:*:{PASSWORD}\n"));
        let quay = file(
            "config.yaml",
            &format!("DB_URI: postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/postgres\n"),
        );
        let ways: [(Arguments<'_>, Variables<'_>); 7] = [
            (&["--database-url", &url], &[]),
            (&["--database-url", &conninfo], &[]),
            (&[], &[("DATABASE_URL", &url)]),
            (&["--database-url", &bare], &[("PGPASSWORD", PASSWORD)]),
            (&["--database-url", &bare], &[("PGPASSFILE", &pgpass)]),
            (&[], &[("PGSERVICE", "s"), ("PGSERVICEFILE", &service)]),
            (&["--quay-config", &quay], &[]),
        ];
        for (args, variables) in ways {
            for log in ["text", "json"] {
                let before = [&["check", "-vv", "--log-format", log], args].concat();
                let after = [args, &["-vv", "--log-format", log, "check"]].concat();
                for ended in [run(&before, variables), run(&after, variables)] {
                    assert!(ended.said.contains(words), "{args:?}: {}", ended.said);
                    assert!(
                        ended.said.contains("session"),
                        "nothing was logged: {}",
                        ended.said
                    );
                    let status = if user == "scram" { 2 } else { 3 };
                    assert_eq!(ended.status, status, "{args:?}: {}", ended.said);
                }
            }
        }
    }
}

#[test]
fn colours_come_where_they_are_wanted() {
    let coloured = |args: Arguments<'_>, variables: Variables<'_>| {
        let args = [&["check"], args].concat();
        run(&args, variables).said.contains('\u{1b}')
    };
    assert!(!coloured(&[], &[]), "stderr is no terminal here");
    assert!(coloured(&["--color", "always"], &[]));
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["--color", "never"], &[]));
}

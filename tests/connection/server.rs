//! A server with roles and databases for these tests, and a table of cases.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::Cluster;

use super::question::Asked;

/// A server with a database `quay`, one with an odd name, and roles with and without passwords.
pub fn server() -> Cluster {
    let cluster = Cluster::builder()
        .setting("password_encryption", "scram-sha-256")
        .hba("host all banned all reject\nhost all scram,odd all scram-sha-256\nlocal all scram scram-sha-256")
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
        "CREATE ROLE banned LOGIN",
        "CREATE ROLE full_up LOGIN CONNECTION LIMIT 0",
    ] {
        session.run(statement).expect(statement);
    }
    cluster
}

/// Every case by name; whether it leads to a session.
pub fn check(cases: Vec<(&str, bool, Asked)>) {
    for (name, works, asked) in cases {
        let answer = asked.same();
        assert_eq!(answer.is_ok(), works, "{name}: {answer:?}");
    }
}

pub fn write(path: &Path, text: &str, mode: u32) -> String {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    path.display().to_string()
}

//! A server with TLS, and the files of its clients.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quay_doctor::pg::{ReadSession, Statements as _, WriteSession};
use quay_doctor::sandbox::Cluster;

use super::authority::{Authority, Pair, Says};
use super::question::Asked;

/// What a sound certificate of the server says.
pub const GOOD: Says<'_> = Says {
    common: "localhost",
    hosts: &["localhost"],
    until: 2090,
};

/// A server with TLS, and a folder for the files of clients.
pub struct Secured {
    pub cluster: Cluster,
    /// Who issued the server's certificate; `ca.crt` among the files.
    pub authority: Authority,
    /// The files of clients.
    pub files: tempfile::TempDir,
}

impl Secured {
    /// Starts it.
    pub fn start() -> Self {
        let authority = Authority::new("the authority");
        let pair = authority.issue(GOOD);
        let cluster = Cluster::builder()
            .setting("password_encryption", "scram-sha-256")
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
    pub fn show(&self, pair: &Pair) {
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

    pub fn asked(&self, user: &str, more: &str) -> Asked {
        let port = self.cluster.port();
        Asked::url(format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user={user} dbname=postgres {more}"
        ))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.file(name), text).expect("a file");
        self.file(name).display().to_string()
    }
}

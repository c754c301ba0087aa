//! A streaming standby of a throw-away cluster.

use std::time::{Duration, Instant};

use super::builder::line;
use super::server::{self, Server, StopMode};
use super::{Program, SandboxError};
use crate::config::ConnectionSettings;
use crate::pg::{ReadSession, Statements};

/// How long the copy may take.
const COPY_LIMIT: Duration = Duration::from_secs(300);
/// How long the standby may lag behind.
const LAG_LIMIT: Duration = Duration::from_secs(60);

/// A hot standby. Dropped, it is stopped; its folder goes with the cluster's.
#[derive(Debug)]
pub struct Standby {
    server: Server,
    primary: Server,
}

impl Standby {
    /// Copies a running primary and starts the copy.
    pub(super) fn of(primary: &Server, number: u32) -> Result<Self, SandboxError> {
        let server = Server {
            data: primary.folder.join(format!("standby{number}")),
            port: server::free_port()?,
            ..primary.clone()
        };
        let port = primary.port.to_string();
        let mut args: Vec<&std::ffi::OsStr> = vec!["-D".as_ref(), server.data.as_os_str()];
        args.extend(["-h".as_ref(), primary.folder.as_os_str()]);
        args.extend(["-p".as_ref(), AsRef::<std::ffi::OsStr>::as_ref(&port)]);
        args.extend(
            ["-U", "postgres", "-R", "-X", "stream", "-c", "fast", "-N"]
                .map(AsRef::<std::ffi::OsStr>::as_ref),
        );
        primary.run(Program::PgBasebackup, &args, COPY_LIMIT)?;
        server.configure(&line("port", &server.port.to_string()))?;
        server.start()?;
        Ok(Self {
            server,
            primary: primary.clone(),
        })
    }

    /// The URL of a database over the Unix socket.
    pub fn url(&self, database: &str) -> String {
        self.server.addresses().url(database)
    }

    /// The URL of a database over TCP on 127.0.0.1.
    pub fn tcp_url(&self, database: &str) -> String {
        self.server.addresses().tcp_url(database)
    }

    /// The settings to connect to a database, as the superuser.
    ///
    /// # Errors
    /// [`SandboxError::Settings`] where our own URL is not understood.
    pub fn settings(&self, database: &str) -> Result<ConnectionSettings, SandboxError> {
        Ok(ConnectionSettings::resolve(Some(&self.url(database)))?)
    }

    /// Makes the standby the primary, and waits until it is.
    ///
    /// # Errors
    /// [`SandboxError`] where it does not become one in time.
    pub fn promote(&self) -> Result<(), SandboxError> {
        self.server.promote()
    }

    /// Waits until everything that the primary has written by now can be read here.
    ///
    /// # Errors
    /// [`SandboxError`] where that takes longer than a minute, or a server does not answer.
    pub fn wait_until_caught_up(&self) -> Result<(), SandboxError> {
        let primary = ConnectionSettings::resolve(Some(&self.primary.addresses().url("postgres")))?;
        let written: String = ReadSession::open(&primary)?
            .query_one("SELECT pg_current_wal_insert_lsn()::text AS position", &[])?
            .get("position");
        let mut session = ReadSession::open(&self.settings("postgres")?)?;
        let deadline = Instant::now() + LAG_LIMIT;
        while Instant::now() < deadline {
            let row = session.query_one(
                "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false) AS there",
                &[&written],
            )?;
            if row.get("there") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(SandboxError::TooSlow {
            what: format!("the standby's replay to {written}"),
            limit_seconds: LAG_LIMIT.as_secs(),
            output: super::bounded::tail(&self.server.log()),
        })
    }

    /// Stops the standby's server; the data stay.
    ///
    /// # Errors
    /// [`SandboxError`] where it does not stop in time.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), SandboxError> {
        self.server.stop(mode)
    }

    /// Starts a stopped standby again, on the same port.
    ///
    /// # Errors
    /// [`SandboxError`] where it does not start in time.
    pub fn start_again(&mut self) -> Result<(), SandboxError> {
        self.server.start()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        if self.server.is_running() {
            // Where it fails, the cluster's watchdog stops it.
            let _ = self.server.stop(StopMode::Immediate);
        }
    }
}

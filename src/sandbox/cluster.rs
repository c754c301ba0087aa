//! A throw-away cluster: its databases, its addresses, its life.

use std::path::{Path, PathBuf};

use super::server::{Server, StopMode};
use super::watchdog::Watchdog;
use super::{ClusterBuilder, Programs, SandboxError, Standby};
use crate::config::ConnectionSettings;
use crate::pg::{Statements, WriteSession};

/// A PostgreSQL cluster of its own. Dropped, it is gone: the server, its folder and everything in
/// it. It is gone as well when this process ends in any other way.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    /// None once the cluster is kept.
    watchdog: Option<Watchdog>,
    standbys: u32,
}

/// A cluster that outlives us.
#[derive(Clone, Debug)]
pub struct KeptCluster {
    /// The URL of the database `postgres`.
    pub url: String,
    /// The folder to remove in the end.
    pub folder: PathBuf,
    /// The commands, for a shell, that stop the server and remove the folder.
    pub end_command: String,
}

impl Cluster {
    /// Creates and starts a cluster with the usual settings: everybody on this machine is trusted,
    /// `wal_level = replica`, prepared transactions allowed, UTC, untranslated messages.
    ///
    /// # Errors
    /// [`SandboxError`] where the programs are missing, fail, or take too long.
    pub fn start() -> Result<Self, SandboxError> {
        Self::builder().start()
    }

    /// A cluster with settings of its own.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    pub(super) fn new(server: Server, watchdog: Watchdog) -> Self {
        Self {
            server,
            watchdog: Some(watchdog),
            standbys: 0,
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// The URL of a database over the Unix socket, for psql and for [`ConnectionSettings`].
    pub fn url(&self, database: &str) -> String {
        self.server.addresses().url(database)
    }

    /// The URL of a database over TCP on 127.0.0.1.
    pub fn tcp_url(&self, database: &str) -> String {
        self.server.addresses().tcp_url(database)
    }

    /// The TCP port on 127.0.0.1; the same after a restart.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The settings to connect to a database over the Unix socket, as the superuser.
    ///
    /// # Errors
    /// [`SandboxError::Settings`] where our own URL is not understood.
    pub fn settings(&self, database: &str) -> Result<ConnectionSettings, SandboxError> {
        Ok(ConnectionSettings::resolve(Some(&self.url(database)))?)
    }

    /// The programs that this cluster's server is of.
    pub fn programs(&self) -> &Programs {
        &self.server.programs
    }

    /// The data folder.
    pub fn data_directory(&self) -> &Path {
        &self.server.data
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.server.log()
    }

    /// The server's version as a number: 150018 is 15.18.
    ///
    /// # Errors
    /// [`SandboxError::Database`] where the server does not answer.
    pub fn version(&self) -> Result<i32, SandboxError> {
        let row = self.session()?.query_one(
            "SELECT current_setting('server_version_num')::int4 AS version",
            &[],
        )?;
        Ok(row.get("version"))
    }

    /// Creates an empty database.
    ///
    /// # Errors
    /// [`SandboxError`] where the name cannot be used or is taken.
    pub fn create_database(&self, name: &str) -> Result<(), SandboxError> {
        let name = identifier(name)?;
        self.run(&format!("CREATE DATABASE {name}"))
    }

    /// Creates a database with everything that is in another. Nobody may be connected to that one.
    ///
    /// # Errors
    /// [`SandboxError`] where a name cannot be used or is taken, or somebody is connected.
    pub fn clone_database(&self, template: &str, name: &str) -> Result<(), SandboxError> {
        let (template, name) = (identifier(template)?, identifier(name)?);
        self.run(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
    }

    /// Removes a database and cuts off whoever is connected to it.
    ///
    /// # Errors
    /// [`SandboxError`] where the server does not do it.
    pub fn drop_database(&self, name: &str) -> Result<(), SandboxError> {
        let name = identifier(name)?;
        self.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    }

    /// Stops the server; the data stay.
    ///
    /// # Errors
    /// [`SandboxError`] where it does not stop in time.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), SandboxError> {
        self.server.stop(mode)
    }

    /// Starts a stopped server again, on the same port.
    ///
    /// # Errors
    /// [`SandboxError`] where it does not start in time.
    pub fn start_again(&mut self) -> Result<(), SandboxError> {
        self.server.start()
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    /// [`SandboxError`] where it does not stop or start in time.
    pub fn restart(&mut self, mode: StopMode) -> Result<(), SandboxError> {
        self.stop(mode)?;
        self.start_again()
    }

    /// Starts a standby that streams from this cluster.
    ///
    /// # Errors
    /// [`SandboxError`] where `pg_basebackup` is missing or fails, or the standby does not start.
    pub fn standby(&mut self) -> Result<Standby, SandboxError> {
        self.standbys += 1;
        Standby::of(&self.server, self.standbys)
    }

    /// Leaves the server up when this value, and this process, are gone.
    ///
    /// # Errors
    /// [`SandboxError`] where the watchdog cannot be told.
    pub fn keep(mut self) -> Result<KeptCluster, SandboxError> {
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss()?;
        }
        let (data, folder) = (self.server.data.display(), self.server.folder.display());
        Ok(KeptCluster {
            url: self.url("postgres"),
            folder: self.server.folder.clone(),
            end_command: format!(
                "kill -INT $(head -n 1 {data}/postmaster.pid) && \
                 while [ -e {data}/postmaster.pid ]; do sleep 0.1; done && rm -rf {folder}"
            ),
        })
    }

    fn session(&self) -> Result<WriteSession, SandboxError> {
        Ok(WriteSession::open(&self.settings("postgres")?)?)
    }

    fn run(&self, sql: &str) -> Result<(), SandboxError> {
        Ok(self.session()?.run(sql)?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut watchdog) = self.watchdog.take() else {
            return;
        };
        watchdog.finish();
        // Only where somebody killed the watchdog. An error has nobody left to be told.
        if self.server.folder.exists() {
            let _ = self.server.stop(StopMode::Immediate);
            let _ = std::fs::remove_dir_all(&self.server.folder);
        }
    }
}

/// A database's name as SQL wants it. Ours are plain, so that they need no escape in a URL either.
fn identifier(name: &str) -> Result<String, SandboxError> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && (1..=63).contains(&name.len()) {
        return Ok(format!("\"{name}\""));
    }
    Err(SandboxError::BadName {
        name: name.to_owned(),
    })
}

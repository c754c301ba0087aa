//! What a throw-away cluster is to be like, and making it.

use std::path::Path;
use std::time::Duration;

use super::account::Account;
use super::server::{self, Server};
use super::{Cluster, Program, Programs, SandboxError, folder};

/// How long `initdb` may take.
const INITDB_LIMIT: Duration = Duration::from_secs(120);
/// How often another port is tried when somebody took ours in between.
const PORT_ATTEMPTS: u32 = 5;

/// What every cluster has unless a setting says otherwise.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
wal_level = replica
max_wal_senders = 4
max_prepared_transactions = 10
lc_messages = 'C'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
";

/// Builds a [`Cluster`].
#[derive(Clone, Debug, Default)]
pub struct ClusterBuilder {
    programs: Option<Programs>,
    settings: Vec<(String, String)>,
    hba: String,
    files: Vec<(String, Vec<u8>)>,
    durable: bool,
}

impl ClusterBuilder {
    /// A server setting, as in `postgresql.conf`; the last of a name wins.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Lines of `pg_hba.conf`, looked at before the ones that trust everybody on this machine.
    #[must_use]
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba.push_str(lines);
        self.hba.push('\n');
        self
    }

    /// A file in the data folder, there before the server starts (a certificate, a key); owned by
    /// the server's account, readable by nobody else.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.into(), contents.into()));
        self
    }

    /// Writes through to the disk (`fsync = on`). Without it a crash of the server loses nothing,
    /// since the operating system lives on; only a crash of the machine does.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The programs to use instead of those that [`Programs::find`] finds.
    #[must_use]
    pub fn programs(mut self, programs: Programs) -> Self {
        self.programs = Some(programs);
        self
    }

    /// Creates the cluster and starts its server.
    ///
    /// # Errors
    /// [`SandboxError`] where the programs are missing, fail, or take too long.
    pub fn start(self) -> Result<Cluster, SandboxError> {
        let programs = match &self.programs {
            Some(programs) => programs.clone(),
            None => Programs::find()?,
        };
        let account = Account::find()?;
        let (folder, watchdog) = folder::make(&programs, account)?;
        let server = Server {
            data: folder.join("data"),
            port: 0,
            programs,
            account,
            folder,
        };
        let mut cluster = Cluster::new(server, watchdog);
        self.create(cluster.server())?;
        self.start_on_free_port(cluster.server_mut())?;
        Ok(cluster)
    }

    fn create(&self, server: &Server) -> Result<(), SandboxError> {
        let mut args: Vec<&std::ffi::OsStr> = vec!["-D".as_ref(), server.data.as_os_str()];
        args.extend(
            [
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ]
            .map(AsRef::<std::ffi::OsStr>::as_ref),
        );
        server.run(Program::Initdb, &args, INITDB_LIMIT)?;
        for (name, contents) in &self.files {
            server::write_owned(server.account, &server.data.join(name), contents)?;
        }
        if !self.hba.is_empty() {
            let path = server.data.join("pg_hba.conf");
            let usual = std::fs::read_to_string(&path)
                .map_err(SandboxError::io("read the new pg_hba.conf"))?;
            let lines = format!("{}{usual}", self.hba);
            server::write_owned(server.account, &path, lines.as_bytes())?;
        }
        server.configure(&self.configuration(&server.folder))
    }

    fn configuration(&self, folder: &Path) -> String {
        let mut lines = SETTINGS.to_owned();
        if !self.durable {
            lines.push_str("fsync = off\n");
        }
        let sockets = folder.display().to_string();
        lines.push_str(&line("unix_socket_directories", &sockets));
        for (name, value) in &self.settings {
            lines.push_str(&line(name, value));
        }
        lines
    }

    fn start_on_free_port(&self, server: &mut Server) -> Result<(), SandboxError> {
        let mut attempt = 1;
        loop {
            server.port = server::free_port()?;
            server.configure(&line("port", &server.port.to_string()))?;
            match server.start() {
                Err(SandboxError::Command { output, .. })
                    if attempt < PORT_ATTEMPTS && output.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }
}

/// A line of `postgresql.conf`.
pub(super) fn line(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

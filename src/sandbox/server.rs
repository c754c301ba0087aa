//! One server process: its data folder, its addresses, starting and stopping it.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::account::Account;
use super::{Program, Programs, SandboxError, bounded};

/// How long a start may take; crash recovery is part of it.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How hard a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions are cut off, open transactions rolled back, and the server shuts down in order.
    Fast,
    /// As if the power had failed: the next start recovers from the write-ahead log.
    Immediate,
}

impl StopMode {
    fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// Where a server answers, for its superuser.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    sockets: PathBuf,
    port: u16,
}

impl Addresses {
    /// A URL that psql and our own settings both understand, over the Unix socket.
    pub(super) fn url(&self, database: &str) -> String {
        let (sockets, port) = (self.sockets.display(), self.port);
        format!("postgresql://postgres@/{database}?host={sockets}&port={port}")
    }

    /// The same over TCP.
    pub(super) fn tcp_url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// A data folder and what is needed to run a server on it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) programs: Programs,
    pub(super) account: Account,
    /// The throw-away folder: sockets, logs, and data folders as sub-folders.
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    pub(super) port: u16,
}

impl Server {
    /// Starts the server and waits until it answers.
    pub(super) fn start(&self) -> Result<(), SandboxError> {
        let log = self.log();
        let limit = START_LIMIT.as_secs().to_string();
        let outcome = self.pg_ctl(
            &[
                "start".as_ref(),
                "-w".as_ref(),
                "-t".as_ref(),
                limit.as_ref(),
                "-l".as_ref(),
                log.as_ref(),
            ],
            START_LIMIT,
        );
        outcome.map_err(|error| self.with_log(error))
    }

    /// Stops the server and waits until it has ended.
    pub(super) fn stop(&self, mode: StopMode) -> Result<(), SandboxError> {
        let limit = STOP_LIMIT.as_secs().to_string();
        let args = ["stop", "-w", "-t", &limit, "-m", mode.word()];
        self.pg_ctl(&args.map(AsRef::as_ref), STOP_LIMIT)
            .map_err(|error| self.with_log(error))
    }

    /// Whether a server holds the data folder.
    pub(super) fn is_running(&self) -> bool {
        self.data.join("postmaster.pid").exists()
    }

    /// Makes a standby the primary and waits until it is.
    pub(super) fn promote(&self) -> Result<(), SandboxError> {
        self.pg_ctl(&["promote", "-w"].map(AsRef::as_ref), START_LIMIT)
            .map_err(|error| self.with_log(error))
    }

    /// Where the server answers.
    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            sockets: self.folder.clone(),
            port: self.port,
        }
    }

    /// Adds lines to the end of `postgresql.conf`, where they win over earlier ones.
    pub(super) fn configure(&self, lines: &str) -> Result<(), SandboxError> {
        let path = self.data.join("postgresql.conf");
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(SandboxError::io("write postgresql.conf"))
    }

    /// Runs one of the programs as the server's account.
    pub(super) fn run(
        &self,
        program: Program,
        args: &[&std::ffi::OsStr],
        limit: Duration,
    ) -> Result<(), SandboxError> {
        let mut command = Command::new(self.programs.path(program)?);
        command
            .args(args)
            .current_dir(&self.folder)
            .env("LC_ALL", "C");
        // A program takes its settings from us, never from the caller's environment.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        self.account.apply(&mut command);
        let output = self.folder.join(format!("{}.out", program.file_name()));
        bounded::run(program.file_name(), &mut command, &output, limit)
    }

    fn pg_ctl(&self, args: &[&std::ffi::OsStr], limit: Duration) -> Result<(), SandboxError> {
        let mut all = vec!["-D".as_ref(), self.data.as_os_str()];
        all.extend_from_slice(args);
        // pg_ctl keeps its own limit; ours only catches a pg_ctl that hangs.
        self.run(Program::PgCtl, &all, limit + Duration::from_secs(10))
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn with_log(&self, error: SandboxError) -> SandboxError {
        match error {
            SandboxError::Command { program, output } => SandboxError::Command {
                program,
                output: format!("{output}\n{}", bounded::tail(&self.log())),
            },
            other => other,
        }
    }
}

/// A TCP port that was free a moment ago.
pub(super) fn free_port() -> Result<u16, SandboxError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(SandboxError::io("find a free port"))
}

/// Writes a file that the server's account owns and nobody else reads.
pub(super) fn write_owned(
    account: Account,
    path: &Path,
    contents: &[u8],
) -> Result<(), SandboxError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(contents))
        .map_err(SandboxError::io(format!("write {}", path.display())))?;
    account.own(path)
}

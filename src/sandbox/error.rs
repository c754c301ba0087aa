//! What can go wrong around a throw-away server.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::config::ConfigError;
use crate::pg::PgError;

/// A throw-away cluster, or the data in it, could not be had.
#[derive(Debug, Error, Diagnostic)]
pub enum SandboxError {
    /// A server program is not installed where anyone would look.
    #[error("PostgreSQL's program `{program}` was not found")]
    #[diagnostic(help(
        "looked in {looked}\n\
         install the server: `apt-get install postgresql` (Debian, Ubuntu), \
         `dnf install postgresql-server postgresql-contrib` (Fedora, RHEL), \
         `brew install postgresql@17` (macOS); \
         or set QUAY_DOCTOR_PG_BIN to the folder that holds initdb and postgres"
    ))]
    NoPrograms {
        /// The program that is missing.
        program: &'static str,
        /// The folders that were searched.
        looked: String,
    },
    /// We are root, and there is no account to run the server as.
    #[error("the server refuses to run as root, and there is no account `postgres` or `nobody`")]
    #[diagnostic(help("start it as an ordinary user, or create an account `postgres`"))]
    NoAccount,
    /// The operating system refused.
    #[error("could not {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's account.
        #[source]
        source: std::io::Error,
    },
    /// A program ended with a failure.
    #[error("`{program}` failed: {output}")]
    Command {
        /// Which program.
        program: &'static str,
        /// The end of what it printed, and of the server's log where there is one.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what} took longer than {limit_seconds} s: {output}")]
    TooSlow {
        /// What was waited for.
        what: String,
        /// The bound.
        limit_seconds: u64,
        /// The end of what was printed, and of the server's log where there is one.
        output: String,
    },
    /// A folder's path is longer than a Unix socket's address may be.
    #[error("the path {path} is too long for a Unix socket")]
    #[diagnostic(help("set TMPDIR to a short path such as /tmp"))]
    LongPath {
        /// The path.
        path: PathBuf,
    },
    /// A name cannot be used for a database.
    #[error("`{name}` cannot be a database's name here")]
    #[diagnostic(help("use lower-case letters, digits and underscores, at most 63"))]
    BadName {
        /// The name.
        name: String,
    },
    /// The server lacks an extension that Quay needs as well.
    #[error("this PostgreSQL has no extension pg_trgm")]
    #[diagnostic(help(
        "it comes with the server on Debian, Ubuntu and macOS; on Fedora and RHEL install it with \
         `dnf install postgresql-contrib`"
    ))]
    NoTrigrams,
    /// A world's description is wrong.
    #[error("the description of the world is wrong: {reason}")]
    World {
        /// What is wrong, and where.
        reason: String,
        /// What may have been meant.
        #[help]
        help: String,
    },
    /// A world is to be written where somebody lives.
    #[error("the database holds users already: a world is only written into an empty one")]
    #[diagnostic(help("create a database of its own for it"))]
    NotEmpty,
    /// Our own URL was not understood.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Settings(#[from] ConfigError),
    /// The server did not do what was asked.
    #[error("the throw-away database did not do what was asked")]
    Database(
        #[from]
        #[source]
        #[diagnostic_source]
        PgError,
    ),
}

impl SandboxError {
    /// Wraps an error of the operating system with what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

//! What can be wrong with the configuration.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::Origin;

/// The configuration cannot be used. Always exit status 2; nothing has been connected to. No text
/// holds a value that was given: a password that was typed in the wrong place could be part of it.
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// Nothing says which database is meant.
    #[error("no database is named")]
    #[diagnostic(help(
        "pass --database-url or --quay-config, set DATABASE_URL, PGHOST, PGDATABASE or PGSERVICE, or name it in quay-doctor.toml"
    ))]
    NoDatabase,
    /// The connection URL or string cannot be read.
    #[error("the connection URL, from {origin}, cannot be used: {reason}")]
    #[diagnostic(help("it has the form postgresql://user@host:port/database?key=value"))]
    BadUrl {
        /// Who gave it.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// One setting has no value that can be used.
    #[error("the setting {setting}, from {origin}, cannot be used: {reason}")]
    #[diagnostic(help("correct it there, or give the setting in --database-url, which wins"))]
    BadSetting {
        /// The keyword, as libpq calls it.
        setting: &'static str,
        /// Who gave it.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// quay-doctor.toml is no configuration.
    #[error("{}:{line}: {reason}", file.display())]
    #[diagnostic(help("{help}"))]
    BadFile {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
        /// What was probably meant.
        help: String,
    },
    /// One of our own settings has no value that can be used.
    #[error("the setting {key}, from {origin}, cannot be used: {reason}")]
    #[diagnostic(help("correct it there, or give --{key}, which wins"))]
    BadValue {
        /// Its name.
        key: &'static str,
        /// Who gave it.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// A service is asked for that no service file describes.
    #[error("the service {service} is not described in any service file")]
    #[diagnostic(help("looked in {looked_in}; PGSERVICEFILE names another file"))]
    NoSuchService {
        /// Its name.
        service: String,
        /// The files, nearest first.
        looked_in: String,
    },
    /// The section of a service cannot be read.
    #[error("the service file {} cannot be used: line {line}: {reason}", file.display())]
    #[diagnostic(help("a line has the form keyword=value, without blanks around the ="))]
    BadServiceFile {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u32,
        /// What is wrong.
        reason: String,
    },
    /// A file that was asked for cannot be read.
    #[error("{what} {} cannot be read: {error}", file.display())]
    #[diagnostic(help("check the path and its permissions"))]
    Unreadable {
        /// What the file is to us.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// The operating system's account.
        error: std::io::Error,
    },
    /// Quay's config.yaml is not what Quay would read.
    #[error("Quay's configuration {} cannot be used: {reason}", file.display())]
    #[diagnostic(help(
        "pass the config.yaml that Quay itself reads, or name the database with --database-url"
    ))]
    BadQuayConfig {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Quay keeps its data in something else than PostgreSQL.
    #[error("Quay's configuration {} names a {kind} database; quay-doctor works on PostgreSQL only", file.display())]
    #[diagnostic(help("there is nothing that quay-doctor could do for this registry"))]
    NotPostgres {
        /// The file.
        file: PathBuf,
        /// The database's kind.
        kind: String,
    },
}

impl ConfigError {
    pub(super) fn bad_url(origin: &Origin, reason: impl Into<String>) -> Self {
        Self::BadUrl {
            origin: origin.clone(),
            reason: reason.into(),
        }
    }

    pub(super) fn bad_setting(
        setting: &'static str,
        origin: &Origin,
        reason: impl Into<String>,
    ) -> Self {
        Self::BadSetting {
            setting,
            origin: origin.clone(),
            reason: reason.into(),
        }
    }

    /// Only a name that looks like one is repeated: after a wrong quote it may be a password.
    pub(super) fn unknown_keyword(origin: &Origin, name: &str) -> Self {
        let looks_like_one =
            name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let reason = if looks_like_one {
            format!("there is no setting called {name}")
        } else {
            "it has a setting that does not exist".to_owned()
        };
        Self::bad_url(origin, reason)
    }

    pub(super) fn unreadable(what: &'static str, file: &Path, error: std::io::Error) -> Self {
        let file = file.to_owned();
        Self::Unreadable { what, file, error }
    }
}

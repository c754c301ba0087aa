//! What can be wrong with the configuration.

use miette::Diagnostic;
use thiserror::Error;

/// The configuration cannot be used. Always exit status 2; nothing has been connected to.
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// Nothing says which database is meant.
    #[error("no database is named")]
    #[diagnostic(help("pass --database-url, or set DATABASE_URL or the PG* variables"))]
    NoDatabase,
    /// The connection URL cannot be read. The text never contains the URL: it may hold a password.
    #[error("the connection URL cannot be used: {reason}")]
    #[diagnostic(help("it has the form postgresql://user@host:port/database?key=value"))]
    BadUrl {
        /// What is wrong, without any value that was given.
        reason: String,
    },
}

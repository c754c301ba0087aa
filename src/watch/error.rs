//! What can keep a watcher from its work.

use std::net::SocketAddr;
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;

use super::SHORTEST_TOKEN;

/// A watcher cannot begin, or cannot go on.
#[derive(Debug, Error, Diagnostic)]
pub enum WatchError {
    /// Others could read what is shown.
    #[error("{0} can be reached from other machines, and no token is given")]
    #[diagnostic(help(
        "give --token-file FILE or QUAY_DOCTOR_TOKEN, or listen on a loopback address such as 127.0.0.1:9478"
    ))]
    Open(SocketAddr),
    /// A token that could be guessed, or that no header can carry.
    #[error("the token cannot be used: {reason}")]
    #[diagnostic(help("make one: openssl rand -hex 32"))]
    Token {
        /// What is wrong with it; never the token.
        reason: String,
    },
    /// Scans would follow each other without a pause.
    #[error("a scan every {} is too often", humantime::format_duration(*every))]
    #[diagnostic(help("the shortest time between two scans is one second"))]
    TooOften {
        /// The time that was asked for.
        every: Duration,
    },
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {error}")]
    #[diagnostic(help("is another watcher running here? --listen names another address"))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A thread could not be had, or has ended by itself.
    #[error("the watcher cannot go on: {reason}")]
    #[diagnostic(help(
        "this is a defect of quay-doctor or a lack of threads: start it again, and report it"
    ))]
    Broken {
        /// What has happened.
        reason: String,
    },
}

impl WatchError {
    /// Whether usage or configuration is wrong, so that the same command cannot ever succeed.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Open(_) | Self::Token { .. } | Self::TooOften { .. }
        )
    }

    /// The token is shorter than it may be.
    pub(super) fn short_token(length: usize) -> Self {
        Self::Token {
            reason: format!("it has {length} characters, and needs {SHORTEST_TOKEN}"),
        }
    }
}

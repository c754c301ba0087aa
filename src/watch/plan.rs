//! What is watched, how often, and who may look: everything that SIGHUP reads anew.

use std::net::SocketAddr;
use std::time::Duration;

use super::WatchError;
use crate::config::{ConnectionSettings, Secret};
use crate::report::Settling;
use crate::rules::Severity;
use crate::run::CheckRequest;

/// A shorter token could be guessed by trying.
pub const SHORTEST_TOKEN: usize = 16;

/// The shortest time between two scans.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct WatchPlan {
    /// The database.
    pub settings: ConnectionSettings,
    /// What is checked.
    pub request: CheckRequest,
    /// The time from the beginning of one scan to that of the next; a tenth of it either way is
    /// left to chance.
    pub every: Duration,
    /// The least severity that counts in the verdict.
    pub fail_on: Severity,
    /// What tags count for that Quay may be at work on.
    pub settling: Settling,
    /// Whether scans are written into the history of scans.
    pub record: bool,
    /// What whoever looks has to know.
    pub token: Option<Secret>,
}

impl WatchPlan {
    /// Whether it can be carried out by a process that listens there.
    ///
    /// # Errors
    /// [`WatchError`], always one of usage.
    pub fn check(&self, listen: SocketAddr) -> Result<(), WatchError> {
        if self.every < SHORTEST_PAUSE {
            return Err(WatchError::TooOften { every: self.every });
        }
        match &self.token {
            Some(token) => check_token(token),
            None if listen.ip().is_loopback() => Ok(()),
            None => Err(WatchError::Open(listen)),
        }
    }
}

/// Whether a token can be used: long enough, and of characters that a header can carry.
///
/// # Errors
/// [`WatchError::Token`].
pub fn check_token(token: &Secret) -> Result<(), WatchError> {
    let token = token.reveal();
    if token.len() < SHORTEST_TOKEN {
        return Err(WatchError::short_token(token.len()));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(WatchError::Token {
            reason: "it has a character that is not printable ASCII".to_owned(),
        });
    }
    Ok(())
}

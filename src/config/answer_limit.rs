//! How long an answer of the server is waited for.
//!
//! Keepalives tell a peer that is gone, and a server ends its statements by itself. Neither helps
//! where the other side's kernel answers and nobody else does: a server whose disk hangs, a proxy
//! that waits for one.

use std::time::{Duration, Instant};

/// How long an answer is waited for over a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerLimit {
    /// As long as the connection lives.
    #[default]
    None,
    /// So long for each answer, and for each part of one.
    Each(Duration),
    /// Until then, whatever is asked.
    Until(Instant),
}

impl AnswerLimit {
    /// For sessions whose statements the server ends after 30 seconds. A COMMIT knows no such
    /// limit: it may wait for a synchronous standby, and is then as good as lost.
    pub const OF_BATCHES: Self = Self::Each(Duration::from_secs(90));
}

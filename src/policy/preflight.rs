//! The pre-flight of `--dry-run`: what the server allows and how busy it is, each ok or a warning.

use std::time::Duration;

use chrono::Utc;

use super::view::Impact;
use crate::relations::Load;

/// What a changed tag costs: measured on a table with Quay's fifteen indexes, two of them on
/// `immutable`, so that no update is HOT. Only an estimate: the machine's own speed is not known.
const A_TAG: Duration = Duration::from_micros(45);
/// Write-ahead log for a changed tag, measured likewise, checkpoints in the middle not counted.
const WAL_BYTES_A_TAG: u64 = 1_700;
/// Fewer free connections than this are a warning.
const FEW_CONNECTIONS: i64 = 5;
/// A time-out below this is shorter than a batch that meets a slow moment.
const SHORT_MS: i64 = 1_000;
/// A transaction that is open for longer makes the wait after activation fail.
const LONG_OPEN: Duration = Duration::from_secs(30);
/// A standby that is further behind is a warning.
const BEHIND_MS: i64 = 10_000;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What.
    pub what: &'static str,
    /// What was found, in a few words.
    pub found: String,
    /// Whether it is a reason to think twice, and why.
    pub warning: Option<&'static str>,
}

/// What a policy would do, and what it would meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// What it would do.
    pub impact: Impact,
    /// How long it would take, as an estimate.
    pub time: Duration,
    /// How much write-ahead log it would make, as an estimate.
    pub wal_bytes: u64,
    /// What was looked at.
    pub checked: Vec<Checked>,
}

impl Preflight {
    pub(super) fn new(impact: Impact, load: &Load) -> Self {
        let tags = u32::try_from(impact.become_immutable).unwrap_or(u32::MAX);
        Self {
            time: A_TAG * tags,
            wal_bytes: impact.become_immutable * WAL_BYTES_A_TAG,
            checked: checked(load),
            impact,
        }
    }
}

fn checked(load: &Load) -> Vec<Checked> {
    let timeout = |what, ms: i64| Checked {
        what,
        found: if ms == 0 {
            "none".to_owned()
        } else {
            format!("{ms} ms")
        },
        warning: (ms > 0 && ms < SHORT_MS)
            .then_some("short: a batch sets its own, but a pooler or a role may cut it off"),
    };
    let open = load.oldest_transaction.map(|since| Utc::now() - since);
    let open_long = open.is_some_and(|open| open.to_std().is_ok_and(|open| open > LONG_OPEN));
    vec![
        timeout("statement_timeout", load.statement_timeout_ms),
        timeout("lock_timeout", load.lock_timeout_ms),
        timeout(
            "idle_in_transaction_session_timeout",
            load.idle_in_transaction_ms,
        ),
        Checked {
            what: "free connections",
            found: load.free_connections.to_string(),
            warning: (load.free_connections < FEW_CONNECTIONS).then_some(
                "few: an operation needs one, one more for each further job, and one to reconnect",
            ),
        },
        Checked {
            what: "replication lag",
            found: load
                .lag_ms
                .map_or_else(|| "none seen".to_owned(), |ms| format!("{ms} ms")),
            warning: load
                .lag_ms
                .is_some_and(|ms| ms > BEHIND_MS)
                .then_some("large: --max-lag waits for the standbys between batches"),
        },
        Checked {
            what: "oldest transaction",
            found: open.map_or_else(
                || "none seen".to_owned(),
                |open| format!("open for {} s", open.num_seconds().max(0)),
            ),
            warning: open_long.then_some(
                "long: if it has read the policies, the wait after activation ends unsettled",
            ),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Load {
        Load {
            statement_timeout_ms: 0,
            lock_timeout_ms: 0,
            idle_in_transaction_ms: 0,
            free_connections: 90,
            active_sessions: 2,
            lag_ms: None,
            oldest_transaction: None,
        }
    }

    fn warnings(load: &Load) -> Vec<&'static str> {
        let checked = checked(load);
        checked
            .iter()
            .filter(|c| c.warning.is_some())
            .map(|c| c.what)
            .collect()
    }

    #[test]
    fn a_quiet_server_gives_no_warning_and_each_trouble_gives_its_own() {
        assert!(warnings(&quiet()).is_empty());
        let long_ago = Utc::now() - chrono::Duration::minutes(5);
        let cases = [
            (
                Load {
                    statement_timeout_ms: 200,
                    ..quiet()
                },
                "statement_timeout",
            ),
            (
                Load {
                    free_connections: 1,
                    ..quiet()
                },
                "free connections",
            ),
            (
                Load {
                    lag_ms: Some(60_000),
                    ..quiet()
                },
                "replication lag",
            ),
            (
                Load {
                    oldest_transaction: Some(long_ago),
                    ..quiet()
                },
                "oldest transaction",
            ),
        ];
        for (load, what) in cases {
            assert_eq!(warnings(&load), [what]);
        }
    }
}

//! The server's clock, and this host's beside it.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::pg::{Columns, PgError, Statements};
use crate::quay::UnixMillis;

/// The server's clock now; in a transaction it goes on, unlike `now()`.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn server_clock(pg: &mut impl Statements) -> Result<DateTime<Utc>, PgError> {
    pg.query_one("SELECT clock_timestamp()", &[])?.read(0)
}

/// What both clocks said at one moment. Quay goes by the clock of a host, and which of the two is right nobody knows:
/// where they are far apart, what depends on them is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The server's.
    pub server: DateTime<Utc>,
    /// This host's.
    pub host: DateTime<Utc>,
}

impl Clocks {
    /// Reads both; this host's is taken in the middle of the question.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer.
    pub fn read(pg: &mut impl Statements) -> Result<Self, PgError> {
        let before = Utc::now();
        let server = server_clock(pg)?;
        let host = before + (Utc::now() - before) / 2;
        Ok(Self { server, host })
    }

    /// The later of the two.
    pub fn later(self) -> DateTime<Utc> {
        self.server.max(self.host)
    }

    /// Up to when everything has ended by either clock, where they are apart; else the server's.
    pub fn ended_by_both(self, margin: Duration) -> UnixMillis {
        let moment = if self.are_apart(margin) {
            self.server.min(self.host)
        } else {
            self.server
        };
        UnixMillis(moment.timestamp_millis())
    }

    /// Whether they are further apart than they may be.
    pub fn are_apart(self, margin: Duration) -> bool {
        let margin = TimeDelta::from_std(margin).unwrap_or(TimeDelta::MAX);
        (self.host - self.server).abs() > margin
    }

    /// Whether it depends on the clock that is right if an end has passed, or is about to.
    pub fn disagree_on(self, end: UnixMillis, margin: Duration) -> bool {
        let margin_ms = i64::try_from(margin.as_millis()).unwrap_or(i64::MAX);
        let later = self.later().timestamp_millis();
        self.are_apart(margin)
            && end > self.ended_by_both(margin)
            && end.0 <= later.saturating_add(margin_ms)
    }
}

impl fmt::Display for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |clock: DateTime<Utc>| clock.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        let apart = (self.host - self.server).abs().num_seconds().unsigned_abs();
        write!(
            f,
            "this host's clock says {} and the server's {}: they are {} apart",
            told(self.host),
            told(self.server),
            humantime::format_duration(Duration::from_secs(apart))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_disagree_on_what_ends_between_them_and_only_where_they_are_far_apart() {
        let second = |s: i64| DateTime::<Utc>::from_timestamp(s, 0).unwrap_or_default();
        let margin = Duration::from_secs(60);
        for (server, host, end, disagree) in [
            (1_000, 1_000, 1_010, false),
            (1_000, 1_060, 1_030, false),
            (1_000, 9_000, 999, false),
            (1_000, 9_000, 1_000, false),
            (1_000, 9_000, 1_001, true),
            (1_000, 9_000, 9_060, true),
            (1_000, 9_000, 9_061, false),
            (9_000, 1_000, 5_000, true),
            (9_000, 1_000, 900, false),
        ] {
            let clocks = Clocks {
                server: second(server),
                host: second(host),
            };
            let end_ms = UnixMillis(end * 1_000);
            let found = clocks.disagree_on(end_ms, margin);
            assert_eq!(found, disagree, "{server} {host} {end}");
        }
    }
}

//! How long a statement ran, and under which limit: what tells a time-out from a statement that somebody
//! cancelled. Both are SQLSTATE 57014, and the message is in the server's language.

use std::time::{Duration, Instant};

use super::PgError;
use super::profile::Known;

/// The part of its limit after which a statement has run to it: clocks do not run alike.
const TO_ITS_LIMIT: f64 = 0.99;

/// What statements of a session run under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timed {
    /// The `statement_timeout` in force.
    limit: Option<Duration>,
    /// Whether the server was in recovery when the session began.
    in_recovery: bool,
}

/// How a statement was carried out that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    /// Whether it ran for as long as it may, by our clock, which starts before the server's and ends after.
    pub to_its_limit: bool,
    /// Whether its server was in recovery.
    pub in_recovery: bool,
}

impl Timed {
    pub fn new(known: &Known) -> Self {
        Self {
            limit: known.statement_limit,
            in_recovery: known.in_recovery,
        }
    }

    /// The same with another limit in force.
    pub fn within(self, limit: Duration) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Runs a statement, and says of its failure what it means.
    pub fn run<T>(
        self,
        statement: impl FnOnce() -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        let begun = Instant::now();
        statement().map_err(|error| {
            let ran = Ran {
                to_its_limit: self
                    .limit
                    .is_some_and(|limit| begun.elapsed() >= limit.mul_f64(TO_ITS_LIMIT)),
                in_recovery: self.in_recovery,
            };
            PgError::statement(error, ran)
        })
    }
}

/// A duration as a time-out setting. At least one: 0 would mean no limit.
pub fn milliseconds(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_becomes_the_setting_that_means_no_limit_or_one_that_is_refused() {
        assert_eq!(milliseconds(Duration::ZERO), "1");
        assert_eq!(milliseconds(Duration::from_secs(2)), "2000");
        assert_eq!(milliseconds(Duration::MAX), i32::MAX.to_string());
    }
}

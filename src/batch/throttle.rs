//! Going slower where the database has more important things to do.

use std::time::{Duration, Instant};

use miette::Diagnostic;
use thiserror::Error;

use crate::journal::{HAND_CLASS, LIVENESS_CLASS, liveness_key};
use crate::pg::{Columns, PgError, Statements};
use crate::quay::OperationId;

/// How often the load is looked at while it is too high.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// How often it is looked at between batches.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long it may stay too high; then the rest is left for later.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Limits keep the work from being begun, or from its end.
#[derive(Debug, Error, Diagnostic)]
pub enum ThrottleError {
    /// This role could not see them exceeded.
    #[error("this role cannot see replication lag and the activity of others")]
    #[diagnostic(help(
        "GRANT pg_read_all_stats to it, or leave --max-lag and --max-active out; nothing has been changed"
    ))]
    NotVisible,
    /// The database stayed too busy for them.
    #[error("{what}, and that for ten minutes")]
    #[diagnostic(help("go on at a quieter time, or with other limits"))]
    Busy {
        /// What was over its limit.
        what: String,
    },
}

/// What slows the work down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// How far the slowest standby may be behind before the work waits.
    pub max_lag: Option<Duration>,
    /// How many other sessions may be active before the work waits.
    pub max_active: Option<u32>,
    /// How long a session rests after each batch, in durations of that batch.
    pub nice_ratio: f64,
}

/// The limits of one session's work, and when it last looked.
#[derive(Clone, Debug)]
pub struct Throttle {
    limits: Limits,
    operation: OperationId,
    looked: Option<Instant>,
}

impl Throttle {
    /// Limits for the work on an operation, whose own sessions count as none.
    pub fn new(limits: Limits, operation: OperationId) -> Self {
        Self {
            limits,
            operation,
            looked: None,
        }
    }

    /// How long to rest after a batch that took so long.
    pub fn rest_after(&self, batch: Duration) -> Duration {
        Duration::try_from_secs_f64(batch.as_secs_f64() * self.limits.nice_ratio)
            .unwrap_or_default()
    }

    /// What is over its limit; nothing is asked of the server where there is no limit, or it has just been asked.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer.
    pub fn over_limit(&mut self, pg: &mut impl Statements) -> Result<Option<String>, PgError> {
        let Limits {
            max_lag,
            max_active,
            ..
        } = self.limits;
        let nothing_to_ask = max_lag.is_none() && max_active.is_none();
        if nothing_to_ask || self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(None);
        }
        let (lag, active) = self.look(pg)?;
        if max_lag.is_some_and(|most| lag > most) {
            let behind = lag.as_secs_f64();
            return Ok(Some(format!("a standby is {behind:.1} s behind")));
        }
        if max_active.is_some_and(|most| active > most) {
            return Ok(Some(format!("{active} sessions are active")));
        }
        self.looked = Some(Instant::now());
        Ok(None)
    }

    fn look(&self, pg: &mut impl Statements) -> Result<(Duration, u32), PgError> {
        let row = pg.query_one(
            r"
            SELECT
                (SELECT max(extract(epoch FROM replay_lag))::float8 FROM pg_stat_replication),
                (SELECT count(*) FROM pg_stat_activity
                 WHERE state = 'active' AND datname = current_database()
                     AND backend_type = 'client backend' AND pid <> pg_backend_pid()
                     AND pid NOT IN (SELECT pid FROM pg_locks
                         WHERE locktype = 'advisory' AND objsubid = 2
                             AND classid IN ($1::int::oid, $2::int::oid)
                             AND objid = $3::int::oid))
            ",
            &[&LIVENESS_CLASS, &HAND_CLASS, &liveness_key(self.operation)],
        )?;
        let lag = row.read::<Option<f64>>(0)?.unwrap_or(0.0).max(0.0);
        let lag = Duration::try_from_secs_f64(lag).unwrap_or(Duration::MAX);
        Ok((lag, u32::try_from(row.read::<i64>(1)?).unwrap_or(u32::MAX)))
    }
}

/// Refuses limits that this role could not see exceeded: to one without pg_read_all_stats the columns that are
/// needed are NULL, and the limit would be none.
///
/// # Errors
/// [`ThrottleError::NotVisible`], or [`PgError`] where the server does not answer.
pub fn refuse_invisible<E: From<PgError> + From<ThrottleError>>(
    pg: &mut impl Statements,
    limits: &Limits,
) -> Result<(), E> {
    if limits.max_lag.is_none() && limits.max_active.is_none() {
        return Ok(());
    }
    let row = pg.query_one(
        "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')",
        &[],
    )?;
    if row.read(0)? {
        return Ok(());
    }
    Err(ThrottleError::NotVisible.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_rests_as_many_durations_of_a_batch_as_it_was_told() {
        let batch = Duration::from_millis(40);
        for (nice_ratio, rest) in [(0.0, 0), (0.5, 20), (1.0, 40), (3.0, 120)] {
            let limits = Limits {
                nice_ratio,
                ..Limits::default()
            };
            let throttle = Throttle::new(limits, OperationId(1));
            assert_eq!(throttle.rest_after(batch), Duration::from_millis(rest));
        }
    }
}

//! Going slower where the database has more important things to do.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::worker::Worker;
use super::{PolicyError, PolicyOptions};
use crate::journal::{HAND_CLASS, LIVENESS_CLASS, liveness_key};
use crate::pg::{Columns, Statements};

/// How often the load is looked at while it is too high.
const POLL: Duration = Duration::from_millis(500);
/// How often it is looked at between batches.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long it may stay too high; then the rest is left for `recover`.
const PATIENCE: Duration = Duration::from_secs(600);

/// Refuses limits that this role could not see exceeded: to one without pg_read_all_stats the
/// columns that are needed are NULL, and the limit would be none.
pub(super) fn can_be_seen(
    pg: &mut impl Statements,
    options: &PolicyOptions,
) -> Result<(), PolicyError> {
    if options.max_lag.is_none() && options.max_active.is_none() {
        return Ok(());
    }
    let row = pg.query_one(
        "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')",
        &[],
    )?;
    if row.read(0)? {
        return Ok(());
    }
    Err(PolicyError::refused(
        "this role cannot see replication lag and the activity of others",
        "GRANT pg_read_all_stats to it, or leave --max-lag and --max-active out",
    ))
}

impl Worker<'_> {
    /// Waits, between two batches and with nothing locked, while lag or activity is over its limit.
    pub(super) fn wait_for_calm(&mut self) -> Result<(), PolicyError> {
        let limits = (self.options.max_lag, self.options.max_active);
        if limits == (None, None) || self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let begun = Instant::now();
        while let Some(what) = self.over_limit()? {
            if begun.elapsed() > PATIENCE {
                return Err(PolicyError::Busy { what });
            }
            if self.wants_end() {
                return Err(PolicyError::Interrupted);
            }
            tracing::info!(%what, "waiting");
            sleep(POLL);
            self.beat_if_due()?;
        }
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// What is over its limit.
    fn over_limit(&mut self) -> Result<Option<String>, PolicyError> {
        let row = self.session.query_one(
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
            &[
                &LIVENESS_CLASS,
                &HAND_CLASS,
                &liveness_key(self.operation.id),
            ],
        )?;
        let lag = Duration::from_secs_f64(row.read::<Option<f64>>(0)?.unwrap_or(0.0).max(0.0));
        let active = u32::try_from(row.read::<i64>(1)?).unwrap_or(u32::MAX);
        if self.options.max_lag.is_some_and(|most| lag > most) {
            return Ok(Some(format!(
                "a standby is {:.1} s behind",
                lag.as_secs_f64()
            )));
        }
        if self.options.max_active.is_some_and(|most| active > most) {
            return Ok(Some(format!("{active} sessions are active")));
        }
        Ok(None)
    }
}

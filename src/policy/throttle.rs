//! Going slower where standbys fall behind, or the server has enough to do.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PolicyError;
use super::worker::Worker;
use crate::relations::load;

/// How often the load is looked at while we wait, and how often at most while we do not.
const POLL: Duration = Duration::from_millis(250);
/// How often the worker says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// Nobody waits for ever: after this the rest is left for `recover`.
const AT_MOST: Duration = Duration::from_secs(15 * 60);

impl Worker<'_> {
    /// Waits, between batches and with nothing locked, until lag and load are below their limits.
    pub(super) fn wait_for_room(&mut self) -> Result<(), PolicyError> {
        if self.options.max_lag.is_none() && self.options.max_active.is_none() {
            return Ok(());
        }
        if self.looked_at_load.is_some_and(|at| at.elapsed() < POLL) {
            return Ok(());
        }
        let (begun, mut beaten) = (Instant::now(), Instant::now());
        while let Some(reason) = self.too_busy()? {
            if begun.elapsed() > AT_MOST {
                return Err(PolicyError::NoRoom { reason });
            }
            if self.wants_end() {
                return Err(PolicyError::Interrupted);
            }
            if beaten.elapsed() > BEAT {
                self.beat()?;
                beaten = Instant::now();
                tracing::info!(operation = %self.operation.id, reason, "waiting");
            }
            sleep(POLL);
        }
        self.looked_at_load = Some(Instant::now());
        Ok(())
    }

    fn too_busy(&mut self) -> Result<Option<String>, PolicyError> {
        let load = load(&mut self.session)?;
        if let (Some(limit), Some(lag)) = (self.options.max_lag, load.lag_ms) {
            let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
            if lag > limit {
                return Ok(Some(format!("a standby is {lag} ms behind")));
            }
        }
        Ok(self
            .options
            .max_active
            .filter(|limit| load.active_sessions > i64::from(*limit))
            .map(|_| format!("{} sessions are at work", load.active_sessions)))
    }
}

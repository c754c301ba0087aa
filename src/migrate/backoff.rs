//! Waiting between attempts: longer each time up to a bound, with jitter, never past a deadline.

use std::time::{Duration, Instant};

/// Nobody waits longer, whatever was asked for; and a clock can be that far ahead.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment at which a wait that begins now ends.
pub(super) fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST_WAIT)
}

/// The next pause of a loop that tries again.
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses that double from `shortest` to `longest`.
    pub(super) fn between(shortest: Duration, longest: Duration) -> Self {
        Self {
            next: shortest,
            longest,
        }
    }

    /// The next pause: half to all of the current length, so that two who collide do not collide
    /// again.
    fn pause(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.longest);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Sleeps for the next pause, or until the deadline if that comes first.
    pub(super) fn sleep_until(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(self.pause().min(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_keep_at_least_half_their_length() {
        let (shortest, longest) = (Duration::from_millis(10), Duration::from_millis(80));
        let mut backoff = Backoff::between(shortest, longest);
        for full_ms in [10, 20, 40, 80, 80, 80] {
            let full = Duration::from_millis(full_ms);
            let pause = backoff.pause();
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
        }
    }

    #[test]
    fn a_wait_without_measure_ends_within_a_day() {
        let left = deadline(Duration::MAX).saturating_duration_since(Instant::now());
        assert!(left > LONGEST_WAIT / 2 && left <= LONGEST_WAIT);
    }

    #[test]
    fn no_pause_goes_past_the_deadline() {
        let mut backoff = Backoff::between(Duration::from_secs(60), Duration::from_secs(60));
        let began = Instant::now();
        backoff.sleep_until(began + Duration::from_millis(5));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

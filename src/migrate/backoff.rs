//! Waiting between attempts, never past a deadline.

use std::time::{Duration, Instant};

use crate::retry::Pauses;

/// Nobody waits longer, whatever was asked for; and a clock can be that far ahead.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment at which a wait that begins now ends.
pub(super) fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST_WAIT)
}

/// Sleeps for the next pause, or until the deadline if that comes first.
pub(super) fn sleep(pauses: &mut Pauses, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    std::thread::sleep(pauses.next().map_or(left, |pause| pause.min(left)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::pauses;

    #[test]
    fn a_wait_without_measure_ends_within_a_day() {
        let left = deadline(Duration::MAX).saturating_duration_since(Instant::now());
        assert!(left > LONGEST_WAIT / 2 && left <= LONGEST_WAIT);
    }

    #[test]
    fn no_pause_goes_past_the_deadline() {
        let mut pauses = pauses(Duration::from_secs(60), Duration::from_secs(60));
        let began = Instant::now();
        sleep(&mut pauses, began + Duration::from_millis(5));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

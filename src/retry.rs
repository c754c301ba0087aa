//! The pauses between attempts: longer each time up to a bound, and left to chance in part, so that
//! two that were in each other's way are not so again.
//!
//! What can be said as "the same again, so many times" is said with [`attempts`]; a loop that has
//! more to decide between two attempts takes its pauses from here.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Between attempts at a statement or a transaction: the first pause, and the longest.
const BRIEF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Pauses without end.
pub type Pauses = <ExponentialBuilder as BackoffBuilder>::Backoff;

/// Pauses of half to all of a length that doubles from `shortest` to `longest`.
pub fn pauses(shortest: Duration, longest: Duration) -> Pauses {
    builder(shortest, longest).without_max_times().build()
}

/// The pause after so many attempts at a statement or a transaction have failed.
pub fn back_off(attempts: u32) -> Duration {
    let mut pauses = pauses(BRIEF.0, BRIEF.1);
    pauses.nth(attempts as usize).unwrap_or(BRIEF.1)
}

/// So many further attempts at a statement or a transaction, after pauses as of [`back_off`].
pub fn attempts(most: u32) -> ExponentialBuilder {
    builder(BRIEF.0 * 2, BRIEF.1).with_max_times(most as usize)
}

/// The library adds up to as much again: half of each length is its part, the other half chance's.
fn builder(shortest: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_factor(2.0)
        .with_min_delay(shortest / 2)
        .with_max_delay(longest / 2)
        .with_jitter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between_half_and_all_of(pause: Duration, full_ms: u64) {
        let full = Duration::from_millis(full_ms);
        let rounding = Duration::from_micros(10);
        assert!(
            pause + rounding >= full / 2 && pause <= full + rounding,
            "{pause:?} of {full:?}"
        );
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_keep_at_least_half_their_length() {
        let mut pauses = pauses(Duration::from_millis(10), Duration::from_millis(80));
        for full_ms in [10, 20, 40, 80, 80, 80] {
            between_half_and_all_of(pauses.next().expect("pauses without end"), full_ms);
        }
    }

    #[test]
    fn attempts_are_so_many_with_the_pauses_of_as_many_failures() {
        let counted: Vec<Duration> = attempts(8).build().collect();
        let full = [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000];
        assert_eq!(counted.len(), full.len());
        for ((pause, full_ms), failed) in counted.into_iter().zip(full).zip(1..) {
            between_half_and_all_of(pause, full_ms);
            between_half_and_all_of(back_off(failed), full_ms);
        }
        between_half_and_all_of(back_off(u32::from(u16::MAX)), 2_000);
    }
}

//! How many rows a batch takes, so that it holds its locks for about as long as it may.

use std::time::Duration;

/// Bounds on a batch: one row always goes, and what is returned of its rows under the lock stays small.
const FEWEST: usize = 1;
const MOST: usize = 2_000;
const FIRST: usize = 200;

/// The size of the next batch, learnt from the last.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    rows: usize,
    aim: Duration,
}

impl BatchSize {
    /// A first size; `aim` is how long a batch may hold its locks.
    pub fn new(aim: Duration) -> Self {
        Self { rows: FIRST, aim }
    }

    /// How many rows the next batch takes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Learns from a batch of so many rows. It grows by half at most, and shrinks as fast as it must.
    ///
    /// What a batch takes before it asks for its first row (waiting for locks, reading and compiling
    /// policies) is no cost of a row: fewer rows would not make it shorter, only more frequent. The
    /// rows get what it leaves of the aim, and half of the aim at least.
    pub fn learn(&mut self, rows: usize, entering: Duration, whole: Duration) {
        if rows == 0 {
            return;
        }
        let a_row = whole.saturating_sub(entering).as_secs_f64() / rows as f64;
        let left = self.aim.saturating_sub(entering).max(self.aim / 2);
        let fitting = if a_row > 0.0 {
            (left.as_secs_f64() / a_row) as usize
        } else {
            MOST
        };
        self.rows = fitting
            .min(self.rows + self.rows / 2 + 1)
            .clamp(FEWEST, MOST);
    }

    /// After a batch of so many rows that was too much: half of it.
    pub fn halve_from(&mut self, rows: usize) {
        self.rows = (self.rows.min(rows) / 2).max(FEWEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_ROW: Duration = Duration::from_micros(45);

    fn learn(size: &mut BatchSize, entering: Duration) {
        let rows = size.rows();
        size.learn(rows, entering, entering + A_ROW * rows as u32);
    }

    #[test]
    fn a_size_settles_where_a_batch_takes_its_time() {
        let mut size = BatchSize::new(Duration::from_millis(50));
        for _ in 0..20 {
            learn(&mut size, Duration::ZERO);
        }
        assert!((1_000..=1_200).contains(&size.rows()), "{}", size.rows());
        size.learn(size.rows(), Duration::ZERO, Duration::from_secs(1_000));
        assert_eq!(size.rows(), FEWEST);
    }

    #[test]
    fn what_each_batch_costs_before_its_rows_leaves_them_half_of_the_time() {
        let aim = Duration::from_millis(50);
        for (entering, expected) in [(20, 30), (200, 25), (5_000, 25)] {
            let mut size = BatchSize::new(aim);
            for _ in 0..20 {
                learn(&mut size, Duration::from_millis(entering));
            }
            let rows = Duration::from_millis(expected).as_micros() / A_ROW.as_micros();
            assert_eq!(size.rows() as u128, rows, "{entering} ms before the rows");
        }
    }

    #[test]
    fn one_long_wait_for_a_lock_does_not_slow_the_batches_after_it() {
        let mut size = BatchSize::new(Duration::from_millis(50));
        for wait in [0, 0, 0, 0, 0, 1_900, 0, 0] {
            learn(&mut size, Duration::from_millis(wait));
        }
        assert!(size.rows() >= 1_000, "{}", size.rows());
    }
}

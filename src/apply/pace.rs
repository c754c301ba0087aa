//! How many rows a batch takes, so that it holds its locks for about as long as it may.

use std::time::Duration;

/// Bounds on a batch: one row always goes, and no batch grows beyond what memory likes.
const FEWEST: usize = 1;
const MOST: usize = 5_000;
const FIRST: usize = 200;

/// The size of the next batch, learnt from the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rows: usize,
    aim: Duration,
}

impl Pace {
    pub(super) fn new(aim: Duration) -> Self {
        Self { rows: FIRST, aim }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Learns from a batch. It grows by half at most, and shrinks as fast as it must.
    pub(super) fn learn(&mut self, rows: usize, took: Duration) {
        if rows == 0 {
            return;
        }
        let a_row = took.as_secs_f64() / rows as f64;
        let fitting = if a_row > 0.0 {
            (self.aim.as_secs_f64() / a_row) as usize
        } else {
            MOST
        };
        self.rows = fitting
            .min(self.rows + self.rows / 2 + 1)
            .clamp(FEWEST, MOST);
    }

    /// After a batch that was too much: half of it.
    pub(super) fn halve(&mut self) {
        self.rows = (self.rows / 2).max(FEWEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_settles_where_a_batch_takes_its_time() {
        let mut pace = Pace::new(Duration::from_millis(50));
        for _ in 0..20 {
            let rows = pace.rows();
            pace.learn(rows, Duration::from_micros(45) * rows as u32);
        }
        assert!((1_000..=1_200).contains(&pace.rows()), "{}", pace.rows());
        pace.learn(pace.rows(), Duration::from_secs(1_000));
        assert_eq!(pace.rows(), FEWEST);
    }
}

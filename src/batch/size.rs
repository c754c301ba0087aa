//! How many rows a batch takes, so that it holds its locks for about as long as it may.

use std::time::Duration;

/// Bounds on a batch: one row always goes, and what is returned of its rows under the lock stays small.
const FEWEST: usize = 1;
const MOST: usize = 2_000;
const FIRST: usize = 200;
/// A row costs at least this part of what a batch took for each of its rows.
const LEAST_SHARE: f64 = 100.0;

/// The size of the next batch, learnt from those before.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    rows: usize,
    aim: Duration,
    /// What one more row costs, in seconds, as far as batches of different sizes have told.
    a_row: Option<f64>,
    /// The rows of the last batch, and how long it took once its locks were held, in seconds.
    last: Option<(usize, f64)>,
}

impl BatchSize {
    /// A first size; `aim` is how long a batch may hold its locks.
    pub fn new(aim: Duration) -> Self {
        Self {
            rows: FIRST,
            aim,
            a_row: None,
            last: None,
        }
    }

    /// How many rows the next batch takes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Learns from a batch of so many rows. It grows by half at most, and shrinks as fast as it must.
    ///
    /// What a batch takes whatever its rows are (waiting for locks, reading policies, a dozen exchanges, its
    /// COMMIT) is no cost of a row: fewer rows would not make it shorter, only more frequent, down to one row a
    /// batch on a slow line. So a row's cost is what batches of different sizes differ by. The rows get what
    /// the rest leaves of the aim, and half of the aim at least.
    pub fn learn(&mut self, rows: usize, entering: Duration, whole: Duration) {
        if rows == 0 {
            return;
        }
        let took = whole.saturating_sub(entering).as_secs_f64();
        let average = took / rows as f64;
        if let Some(more) = self.cost_of_one_more(rows, took) {
            // Two times differ by chance, too: no row is believed to be for nothing.
            let more = more.clamp(average / LEAST_SHARE, average);
            // What has become dearer is believed at once, and what has become cheaper by halves.
            self.a_row = Some(self.a_row.map_or(more, |was| more.max((was + more) / 2.0)));
        }
        self.last = Some((rows, took));
        let a_row = self.a_row.map_or(average, |a_row| a_row.min(average));
        let others = entering.as_secs_f64() + took - a_row * rows as f64;
        let aim = self.aim.as_secs_f64();
        let fitting = (aim - others).max(aim / 2.0) / a_row;
        let fitting = if fitting < MOST as f64 {
            fitting as usize
        } else {
            MOST
        };
        // A batch that was short of rows, and within its time, is no reason for smaller ones.
        let in_time = entering.as_secs_f64() + took <= aim;
        let least = if in_time { self.rows } else { FEWEST };
        self.rows = fitting
            .max(least)
            .min(self.rows + self.rows / 2 + 1)
            .clamp(FEWEST, MOST);
    }

    /// What one more row costs by the last two batches, where their sizes differ by a quarter.
    fn cost_of_one_more(&self, rows: usize, took: f64) -> Option<f64> {
        let (before, then) = self.last?;
        let enough = rows.abs_diff(before) * 4 >= rows.max(before);
        enough.then(|| (took - then) / (rows as f64 - before as f64))
    }

    /// After a batch of so many rows that was too much: half of it.
    pub fn halve_from(&mut self, rows: usize) {
        self.rows = (self.rows.min(rows) / 2).max(FEWEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Duration = Duration::from_millis(50);
    const A_ROW: Duration = Duration::from_micros(45);

    /// Batches on a machine that is so many times slower, each with these costs beside its rows.
    fn learn(
        size: &mut BatchSize,
        batches: u32,
        slower: u32,
        entering: Duration,
        others: Duration,
    ) {
        for _ in 0..batches {
            let rows = size.rows();
            let own = others + A_ROW * rows as u32;
            size.learn(rows, entering * slower, (entering + own) * slower);
        }
    }

    /// Rows that cost so many milliseconds.
    fn rows_of(ms: u64) -> usize {
        (Duration::from_millis(ms).as_micros() / A_ROW.as_micros()) as usize
    }

    fn is_about(size: BatchSize, rows: usize) -> bool {
        size.rows() * 10 >= rows * 9 && size.rows() * 10 <= rows * 11
    }

    #[test]
    fn a_size_settles_where_a_batch_takes_its_time() {
        let mut size = BatchSize::new(AIM);
        learn(&mut size, 20, 1, Duration::ZERO, Duration::ZERO);
        assert!(is_about(size, rows_of(50)), "{size:?}");
        // Rows that are a thousand times dearer: after the first of them two or three more.
        for _ in 0..4 {
            let rows = size.rows();
            size.learn(rows, Duration::ZERO, A_ROW * 1_000 * rows as u32);
        }
        assert!(size.rows() <= 2, "{size:?}");
    }

    #[test]
    fn what_each_batch_costs_beside_its_rows_leaves_them_half_of_the_time() {
        for (cost, left) in [(20, 30), (60, 25), (200, 25), (1_000, 25)] {
            let cost = Duration::from_millis(cost);
            for (entering, others) in [(cost, Duration::ZERO), (Duration::ZERO, cost)] {
                let mut size = BatchSize::new(AIM);
                learn(&mut size, 40, 1, entering, others);
                let (rows, most) = (size.rows(), rows_of(left));
                let some = rows * 3 >= most * 2 && rows * 10 <= most * 11;
                assert!(some, "{entering:?} {others:?} {size:?}");
            }
        }
    }

    #[test]
    fn an_aim_that_is_out_of_reach_is_one_row_a_batch_whatever_two_times_differ_by() {
        let mut size = BatchSize::new(Duration::from_micros(1));
        for took in [9, 5, 5, 4, 6, 3, 5, 5] {
            size.learn(size.rows(), Duration::ZERO, Duration::from_millis(took));
            assert_eq!(size.rows(), FEWEST);
        }
    }

    #[test]
    fn a_batch_that_is_short_of_rows_makes_the_next_no_smaller() {
        let mut size = BatchSize::new(AIM);
        for rows in [4, 1, 7, 4, 2] {
            size.learn(rows, Duration::ZERO, Duration::from_millis(30));
        }
        assert!(size.rows() >= FIRST, "{size:?}");
    }

    #[test]
    fn batches_on_a_machine_that_is_slow_for_a_while_grow_again() {
        let mut size = BatchSize::new(AIM);
        let others = Duration::from_millis(15);
        learn(&mut size, 20, 1, Duration::ZERO, others);
        learn(&mut size, 200, 6, Duration::ZERO, others);
        assert!(size.rows() * 2 >= rows_of(25) / 6, "{size:?}");
        learn(&mut size, 40, 1, Duration::ZERO, others);
        assert!(is_about(size, rows_of(35)), "{size:?}");
    }

    #[test]
    fn one_long_wait_does_not_slow_the_batches_after_it() {
        let wait = Duration::from_millis(1_900);
        for (entering, others) in [(wait, Duration::ZERO), (Duration::ZERO, wait)] {
            let mut size = BatchSize::new(AIM);
            learn(&mut size, 20, 1, Duration::ZERO, Duration::ZERO);
            learn(&mut size, 1, 1, entering, others);
            learn(&mut size, 6, 1, Duration::ZERO, Duration::ZERO);
            assert!(size.rows() >= rows_of(40), "{entering:?} {size:?}");
        }
    }
}

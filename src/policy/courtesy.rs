//! Giving way: a batch ends early where somebody waits for its repository.
//!
//! A push waits for the repository's lock as long as a batch holds it. Whether one waits is asked
//! at the end of each batch, and after each of its slices once somebody has waited lately: where
//! nobody pushes, that costs one look a batch.

/// Batches that go in slices after one that had to give way.
const REMEMBERED: u32 = 20;
/// Slices of a batch.
const SLICES: usize = 25;
/// Rows of the smallest slice: a look costs about as much as changing two of them.
const SMALLEST: usize = 25;

/// What a worker has learnt of those who wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Courtesy {
    sliced: u32,
}

impl Courtesy {
    /// How many of a batch's rows are changed before it is asked whether somebody waits.
    pub(super) fn slice(self, rows: usize) -> usize {
        let all = rows.max(1);
        if self.sliced == 0 {
            all
        } else {
            (rows / SLICES).max(SMALLEST).min(all)
        }
    }

    /// Learns whether somebody waited during a batch.
    pub(super) fn learn(&mut self, waited: bool) {
        self.sliced = if waited {
            REMEMBERED
        } else {
            self.sliced.saturating_sub(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_go_in_slices_for_a_while_after_somebody_has_waited() {
        let mut courtesy = Courtesy::default();
        assert_eq!(courtesy.slice(1_000), 1_000);
        courtesy.learn(true);
        assert_eq!(courtesy.slice(1_000), 40);
        assert_eq!(courtesy.slice(30), 25);
        assert_eq!(courtesy.slice(3), 3);
        for _ in 0..REMEMBERED {
            courtesy.learn(false);
        }
        assert_eq!(courtesy.slice(1_000), 1_000);
        assert_eq!(courtesy.slice(0), 1);
    }
}

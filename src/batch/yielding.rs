//! Yielding to pushes: a batch ends early where somebody waits for its repository.
//!
//! A push waits for the repository's lock as long as a batch holds it. Whether one waits is asked
//! at the end of each batch, and after each of its slices once somebody has waited lately: where
//! nobody pushes, that costs one look a batch.

use crate::pg::{PgError, WriteTransaction};
use crate::quay::RepositoryId;
use crate::relations::is_wanted;

/// Batches that go in slices after one that had to give way.
const REMEMBERED: u32 = 20;
/// Slices of a batch.
const SLICES: usize = 25;
/// Rows of the smallest slice: a look costs about as much as changing two of them.
const SMALLEST: usize = 25;

/// What a worker has learnt of those who wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Yielding {
    sliced: u32,
}

impl Yielding {
    /// How many of a batch's rows are changed before it is asked whether somebody waits.
    pub fn slice(self, rows: usize) -> usize {
        let all = rows.max(1);
        if self.sliced == 0 {
            all
        } else {
            (rows / SLICES).max(SMALLEST).min(all)
        }
    }

    /// Learns whether somebody waited during a batch.
    pub fn learn(&mut self, waited: bool) {
        self.sliced = if waited {
            REMEMBERED
        } else {
            self.sliced.saturating_sub(1)
        };
    }
}

/// How far a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliced {
    /// So many of its first rows were changed.
    pub rows: usize,
    /// Whether somebody waits for a repository.
    pub wanted: bool,
}

/// Changes the rows of a batch, whose repositories are locked, slice by slice; it ends early where somebody
/// waits for one of them.
///
/// # Errors
/// Those of `change`, or where the server does not answer.
pub fn in_slices<R, E: From<PgError>>(
    tx: &mut WriteTransaction<'_>,
    repositories: &[RepositoryId],
    yielding: &mut Yielding,
    rows: &[R],
    mut change: impl FnMut(&mut WriteTransaction<'_>, &[R]) -> Result<(), E>,
) -> Result<Sliced, E> {
    let mut sliced = Sliced {
        rows: 0,
        wanted: false,
    };
    for slice in rows.chunks(yielding.slice(rows.len())) {
        change(tx, slice)?;
        sliced.rows += slice.len();
        sliced.wanted = is_wanted(tx, repositories)?;
        if sliced.wanted {
            break;
        }
    }
    yielding.learn(sliced.wanted);
    Ok(sliced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_go_in_slices_for_a_while_after_somebody_has_waited() {
        let mut yielding = Yielding::default();
        assert_eq!(yielding.slice(1_000), 1_000);
        yielding.learn(true);
        assert_eq!(yielding.slice(1_000), 40);
        assert_eq!(yielding.slice(30), 25);
        assert_eq!(yielding.slice(3), 3);
        for _ in 0..REMEMBERED {
            yielding.learn(false);
        }
        assert_eq!(yielding.slice(1_000), 1_000);
        assert_eq!(yielding.slice(0), 1);
    }
}

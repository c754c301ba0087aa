//! One batch of an operation, the same for every verb: locks, changes slice by slice, what was not written, the
//! compare-and-set.

use std::collections::HashSet;
use std::time::Instant;

use super::not_written::not_written_of;
use super::walk::WalkedRow;
use super::worker::Worker;
use super::{PolicyError, own_row};
use crate::batch::{Changed, in_slices};
use crate::ground::Memory;
use crate::journal::{Cursor, PolicyOperation, Sums, TagChange};
use crate::pg::WriteTransaction;
use crate::quay::{Immutability, RepositoryId, TagId};
use crate::report::Exceptions;

/// A row of a batch.
pub(super) trait BatchRow: Copy {
    /// Its repository and its tag.
    fn walked(&self) -> WalkedRow;
}

impl BatchRow for WalkedRow {
    fn walked(&self) -> WalkedRow {
        *self
    }
}

/// A change with its journal entry.
impl BatchRow for (i64, TagChange) {
    fn walked(&self) -> WalkedRow {
        (self.1.repository, self.1.tag)
    }
}

/// What became of rows that were to be changed.
#[derive(Default)]
pub(super) struct Done {
    pub(super) sums: Sums,
    /// Rows that somebody else holds, or whose end lies between two clocks.
    pub(super) held: Vec<TagId>,
    /// Rows that are not as asked: a trigger swallowed the change, or altered it.
    pub(super) refused: Vec<TagId>,
    pub(super) exceptions: Exceptions,
}

impl Done {
    fn add(&mut self, more: Self) {
        self.sums.matched += more.sums.matched;
        self.sums.changed += more.sums.changed;
        self.sums.expirations_cleared += more.sums.expirations_cleared;
        self.held.extend(more.held);
        self.refused.extend(more.refused);
        self.exceptions.append(more.exceptions);
    }
}

/// What a batch is about.
pub(super) struct About {
    /// What the rows are before, and stay where they are not written.
    pub(super) met: Immutability,
    /// Whether the operation's own policy has to be as it was written.
    pub(super) compares_own_row: bool,
    /// Where the walk is when all rows are done; none where they are done out of turn.
    pub(super) end: Option<Cursor>,
}

/// What a batch has under its locks: by what it decides, and the repositories that somebody else has.
pub(super) type Entered<G> = (G, Vec<RepositoryId>);

impl Worker<'_> {
    /// Changes a batch of rows, which lie together by repository, or the first of them where somebody waits for a
    /// repository. `enter` takes the locks; `change` changes rows of repositories that are locked.
    pub(super) fn batch<R: BatchRow, G>(
        &mut self,
        rows: &[R],
        about: About,
        enter: impl FnOnce(
            &mut WriteTransaction<'_>,
            &[RepositoryId],
            &mut Memory,
        ) -> Result<Entered<G>, PolicyError>,
        mut change: impl FnMut(
            &mut WriteTransaction<'_>,
            (&G, &mut Memory),
            &PolicyOperation,
            &[R],
        ) -> Result<Done, PolicyError>,
    ) -> Result<Changed<R>, PolicyError> {
        let begun = Instant::now();
        let walked: Vec<WalkedRow> = rows.iter().map(R::walked).collect();
        let mut repositories: Vec<RepositoryId> = walked.iter().map(|(of, _)| *of).collect();
        repositories.dedup();
        let mut tx = self.session.begin()?;
        let (ground, refused) = enter(&mut tx, &repositories, &mut self.memory)?;
        let entering = begun.elapsed();
        let mut done = Done::default();
        let (operation, memory) = (&self.operation, &mut self.memory);
        let yielding = &mut self.yielding;
        let sliced = in_slices(&mut tx, &repositories, yielding, rows, |tx, slice| {
            let is_locked = |row: &&R| !refused.contains(&row.walked().0);
            let locked: Vec<R> = slice.iter().filter(is_locked).copied().collect();
            if !locked.is_empty() {
                done.add(change(tx, (&ground, memory), operation, &locked)?);
            }
            Ok::<(), PolicyError>(())
        })?;
        let not_written = not_written_of(&mut tx, &walked, done.refused, about.met)?;
        // Last, since hands hold it one after the other.
        if about.compares_own_row {
            own_row::compare(&mut tx, &self.operation)?;
        }
        let whole = sliced.rows == rows.len() && refused.is_empty();
        let end = about.end.filter(|_| whole);
        let mut sums = done.sums;
        sums.skipped = not_written.altered.count();
        Self::finish_batch(self.part, &mut self.operation, tx, begun, end, sums)?;
        self.exceptions.append(done.exceptions);
        self.remember(not_written);
        let held: HashSet<TagId> = done.held.into_iter().collect();
        let dealt = rows[..sliced.rows].iter();
        Ok(Changed {
            rows: sliced.rows,
            held: dealt
                .filter(|row| held.contains(&row.walked().1))
                .copied()
                .collect(),
            refused,
            entering,
            wanted: sliced.wanted,
        })
    }
}

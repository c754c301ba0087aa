//! The order in which rows come into batches.

use std::collections::VecDeque;
use std::ops::Range;

use crate::quay::RepositoryId;

/// Rows, which lie together by repository, that are still to be changed.
pub struct Queue<'r, Row> {
    rows: &'r [Row],
    repository: fn(&Row) -> RepositoryId,
    /// The first row that no batch has had yet.
    next: usize,
    /// Rows of repositories whose locks others had when a batch tried them. They come first, one repository a batch, so
    /// that its lock can be waited for with no other held.
    refused: VecDeque<Range<usize>>,
}

impl<'r, Row> Queue<'r, Row> {
    /// All of these rows.
    pub fn over(rows: &'r [Row], repository: fn(&Row) -> RepositoryId) -> Self {
        Self {
            rows,
            repository,
            next: 0,
            refused: VecDeque::new(),
        }
    }

    /// The rows of the next batch, at most so many and of at most so many repositories; and whether no row comes after them.
    pub fn front(&self, most: usize, repositories: usize) -> Option<(Range<usize>, bool)> {
        let len = self.rows.len();
        if let Some(refused) = self.refused.front() {
            let end = refused.end.min(refused.start + most);
            let last = end == refused.end && self.refused.len() == 1 && self.next == len;
            return Some((refused.start..end, last));
        }
        let fit = &self.rows[self.next..len.min(self.next + most)];
        let rows: usize = self.of_each(fit).take(repositories).map(<[Row]>::len).sum();
        let end = self.next + rows;
        (rows > 0).then_some((self.next..end, end == len))
    }

    /// So many rows from there on have had their batch; those of refused repositories are to have another.
    pub fn done(&mut self, from: usize, rows: usize, refused: &[RepositoryId]) {
        match self.refused.front_mut() {
            Some(front) if front.len() > rows => front.start += rows,
            Some(_) => {
                self.refused.pop_front();
            }
            None => self.next = from + rows,
        }
        let mut start = from;
        let had = &self.rows[from..from + rows];
        let again: Vec<Range<usize>> = self
            .of_each(had)
            .filter_map(|of| {
                let range = start..start + of.len();
                start = range.end;
                refused
                    .contains(&(self.repository)(&of[0]))
                    .then_some(range)
            })
            .collect();
        self.refused.extend(again);
    }

    /// Leaves the rows out that are left of the repository whose turn it is.
    pub fn skip_repository(&mut self) -> Range<usize> {
        if let Some(refused) = self.refused.pop_front() {
            return refused;
        }
        let left = &self.rows[self.next..];
        let rows = self.of_each(left).next().map_or(0, <[Row]>::len);
        let skipped = self.next..self.next + rows;
        self.next = skipped.end;
        skipped
    }

    /// Rows, repository by repository.
    fn of_each<'s>(&self, rows: &'s [Row]) -> impl Iterator<Item = &'s [Row]> + use<'s, Row> {
        let repository = self.repository;
        rows.chunk_by(move |a, b| repository(a) == repository(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [i32; 9] = [1, 1, 1, 2, 3, 3, 4, 4, 5];

    fn queue() -> Queue<'static, i32> {
        Queue::over(&ROWS, |row| RepositoryId(*row))
    }

    #[test]
    fn a_batch_has_no_more_rows_and_repositories_than_it_may() {
        for (most, repositories, rows) in [
            (2, 1, 0..2),
            (100, 1, 0..3),
            (100, 2, 0..4),
            (5, 3, 0..5),
            (100, 4, 0..8),
            (0, 4, 0..0),
        ] {
            let found = queue().front(most, repositories);
            let expected = (!rows.is_empty()).then_some((rows, false));
            assert_eq!(found, expected, "{most} {repositories}");
        }
        assert_eq!(queue().front(100, 100), Some((0..9, true)));
    }

    #[test]
    fn refused_repositories_come_first_and_alone_and_the_last_row_is_the_last_of_them() {
        let mut queue = queue();
        queue.done(0, 8, &[RepositoryId(2), RepositoryId(3)]);
        assert_eq!(queue.front(100, 100), Some((3..4, false)));
        queue.done(3, 1, &[]);
        assert_eq!(queue.front(1, 100), Some((4..5, false)));
        queue.done(4, 1, &[]);
        assert_eq!(queue.front(100, 100), Some((5..6, false)));
        queue.done(5, 1, &[]);
        assert_eq!(queue.front(100, 100), Some((8..9, true)));
        queue.done(8, 1, &[RepositoryId(5)]);
        assert_eq!(queue.front(100, 100), Some((8..9, true)));
        queue.done(8, 1, &[]);
        assert_eq!(queue.front(100, 100), None);
    }

    #[test]
    fn a_repository_that_is_left_out_takes_none_of_another_with_it() {
        let mut queue = queue();
        queue.done(0, 1, &[]);
        assert_eq!(queue.skip_repository(), 1..3);
        queue.done(3, 5, &[RepositoryId(3)]);
        assert_eq!(queue.skip_repository(), 4..6);
        assert_eq!(queue.skip_repository(), 8..9);
        assert_eq!(queue.skip_repository(), 9..9);
        assert_eq!(queue.front(100, 100), None);
    }
}

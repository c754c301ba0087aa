//! Small repositories, walked several at a time: what one of them costs beside its rows is shared.

use super::PolicyError;
use super::walk::{HeldRows, Work};
use super::worker::Worker;
use crate::evaluate::PolicyBook;
use crate::pg::FaultClass;
use crate::quay::RepositoryId;
use crate::relations::{Clocks, tags_of_small};

/// Rows of a repository that is small.
const SMALL: u32 = 200;

impl Worker<'_> {
    /// Walks several repositories together, by id; one that is not small by itself, in its turn, since the cursor says
    /// that everything before it is done.
    pub(super) fn walk_several(
        &mut self,
        work: Work,
        book: &PolicyBook,
        repositories: &[RepositoryId],
        held: &mut HeldRows,
    ) -> Result<(), PolicyError> {
        if repositories.is_empty() {
            return Ok(());
        }
        if work == Work::Sweep {
            let Some(left) = self.few_left(book, repositories, None)? else {
                return self.walk_one_by_one(work, book, repositories, held);
            };
            self.dealt(left.len());
            let stretch = self.stretch(book, left)?;
            return self.in_batches(work, stretch, held);
        }
        let now = Clocks::read(&mut self.session)?.ended_by_both(self.options.clock_margin);
        let found = match tags_of_small(&mut self.session, repositories, work.meets(), now, SMALL) {
            Err(error) if error.class() == FaultClass::StatementTimeout => {
                return self.walk_one_by_one(work, book, repositories, held);
            }
            found => found?,
        };
        self.dealt(found.rows);
        let mut tags = found.tags.into_iter().peekable();
        for together in
            repositories.chunk_by(|a, b| !found.large.contains(a) && !found.large.contains(b))
        {
            let mut of_these = Vec::new();
            while let Some(tag) = tags.next_if(|(of, _)| together.contains(of)) {
                of_these.push(tag);
            }
            let stretch = self.stretch(book, of_these)?;
            self.in_batches(work, stretch, held)?;
            let large = together.iter().filter(|of| found.large.contains(of));
            for repository in large {
                self.walk_repository(work, book, *repository, None, held)?;
            }
        }
        Ok(())
    }

    fn walk_one_by_one(
        &mut self,
        work: Work,
        book: &PolicyBook,
        repositories: &[RepositoryId],
        held: &mut HeldRows,
    ) -> Result<(), PolicyError> {
        for repository in repositories {
            if self.ends() {
                return Err(PolicyError::Interrupted);
            }
            self.walk_repository(work, book, *repository, None, held)?;
        }
        Ok(())
    }
}

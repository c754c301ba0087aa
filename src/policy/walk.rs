//! The walk over a scope: page by page, batch by batch, to the last row that somebody else holds.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PolicyError;
use super::safeguard::{Safeguard, point};
use super::settle::BEAT;
use super::worker::{Worker, back_off};
use crate::crew::Crew;
use crate::evaluate::{Decision, PolicyBook};
use crate::journal::{Cursor, Part};
use crate::pg::FaultClass;
use crate::quay::{Immutability, PolicyText, RepositoryId, TagId, UnixMillis};
use crate::relations::{Page, PagedTag, mutable_tags, page_of_tags, repositories_of, server_clock};

/// Rows that are read, and matched by name, before any lock is taken.
const PAGE: u32 = 5_000;
/// Matching rows that are gathered before they are taken in batches, in id order: 4 bytes each.
const STRETCH: usize = 250_000;
/// Rows that a sweep takes all at once.
const FEW: u32 = 20_000;
/// Bounds on a batch: one row always goes, and what is returned of its rows under the lock stays small.
const FEWEST: usize = 1;
const MOST: usize = 2_000;
const FIRST: usize = 200;
/// Attempts at a batch that others are in the way of, and rounds over rows that others hold.
const ATTEMPTS: u32 = 8;

/// What a batch does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Makes them immutable: first pass.
    Mark,
    /// The same where an earlier worker was, or this one before it lost its connection: a cursor follows
    /// when a whole stretch is done, and so rows that were marked are met again.
    MarkAgain,
    /// Makes them immutable: after activation.
    Sweep,
    /// Makes them mutable where nothing else holds them.
    Release,
}

/// Rows of one repository that a batch is about.
pub(super) struct Batch<'a> {
    pub(super) repository: RepositoryId,
    pub(super) tags: &'a [TagId],
    /// Where the walk is when they are done; none where they are done out of turn.
    pub(super) cursor: Option<Cursor>,
}

/// What a batch has dealt with.
pub(super) struct Dealt {
    /// So many of its first rows.
    pub(super) rows: usize,
    /// Those of them that somebody else holds.
    pub(super) held: Vec<TagId>,
}

/// Rows of a repository that lie together by name, and are changed in id order.
///
/// They are read by name, since that is an index's order and so a cursor's; and changed by id,
/// since a batch that has committed leaves dead versions behind, which the next look at their page
/// prunes. In an order that scatters over the heap each row's change prunes a page: a third of the
/// whole cost where names lie in random order (docs/benchmarks.md).
#[derive(Default)]
struct Stretch {
    tags: Vec<TagId>,
    /// The last of them by name.
    end: Option<(String, TagId)>,
}

impl Stretch {
    fn append(&mut self, more: Self) {
        self.tags.extend(more.tags);
        self.end = more.end.or(self.end.take());
    }
}

impl Worker<'_> {
    /// Walks the scope from where the operation is, and does its work on every live tag that the
    /// text makes immutable.
    pub(super) fn walk(&mut self, work: Work, text: &PolicyText) -> Result<(), PolicyError> {
        let work = match work {
            Work::Mark if self.again || self.operation.sums.changed > 0 => Work::MarkAgain,
            work => work,
        };
        let from = self.operation.cursor.clone();
        let left = |repository: &RepositoryId| {
            from.as_ref()
                .is_none_or(|cursor| cursor.repository <= *repository)
        };
        let repositories = repositories_of(&mut self.session, self.operation.scope)?;
        self.crew = Arc::new(Crew::new(repositories.into_iter().filter(left)));
        self.share_out(work, text, from.as_ref())
    }

    /// Walks repositories as they are shared out, to the last row that somebody else holds.
    pub(super) fn walk_each(
        &mut self,
        work: Work,
        text: &PolicyText,
        from: Option<&Cursor>,
    ) -> Result<(), PolicyError> {
        let book = self.book(text);
        let mut rows = FIRST;
        let mut held = Vec::new();
        while let Some(repository) = self.next() {
            let start = from
                .filter(|cursor| cursor.repository == repository)
                .map(|cursor| (cursor.name.clone(), cursor.tag));
            self.walk_repository(work, &book, repository, start, &mut rows, &mut held)?;
        }
        self.go_back_for(work, held)
    }

    fn next(&self) -> Option<RepositoryId> {
        match self.part {
            Part::Lead => self.crew.first(),
            Part::HandOf(_) => self.crew.last(),
        }
    }

    /// Whether the walk is to end: somebody wants it, or another of the crew has failed.
    fn ends(&self) -> bool {
        self.wants_end() || self.crew.is_ended()
    }

    /// Tells whoever watches how many tags are changed by now.
    pub(super) fn tell(&mut self) {
        let changed = self.operation.sums.changed
            + match self.part {
                Part::Lead => self.crew.by_hands(),
                Part::HandOf(_) => 0,
            };
        self.watcher.reached(self.operation.phase, changed);
    }

    fn walk_repository(
        &mut self,
        work: Work,
        book: &PolicyBook,
        repository: RepositoryId,
        start: Option<(String, TagId)>,
        rows: &mut usize,
        held: &mut Vec<(RepositoryId, TagId)>,
    ) -> Result<(), PolicyError> {
        let mut after = start;
        if work == Work::Sweep
            && let Some(left) = self.few_left(book, repository, after.as_ref())?
        {
            self.dealt(left.len());
            let mut stretch = self.stretch(work, book, repository, left)?;
            return self.in_batches(work, repository, &mut stretch, rows, held);
        }
        let mut stretch = Stretch::default();
        let mut beaten = Instant::now();
        loop {
            // Where few names match, much is read before a batch says that the worker lives.
            if beaten.elapsed() > BEAT {
                self.beat()?;
                beaten = Instant::now();
            }
            let now = UnixMillis(server_clock(&mut self.session)?.timestamp_millis());
            let page = page_of_tags(
                &mut self.session,
                &Page {
                    repository,
                    after: after.as_ref().map(|(name, id)| (name.as_str(), *id)),
                    immutability: match work {
                        Work::Mark | Work::MarkAgain | Work::Sweep => Immutability::Mutable,
                        Work::Release => Immutability::Immutable,
                    },
                    now,
                    limit: PAGE,
                },
            )?;
            point("page-read");
            self.dealt(if page.next.is_some() {
                PAGE as usize
            } else {
                page.tags.len()
            });
            stretch.append(self.stretch(work, book, repository, page.tags)?);
            after = page.next;
            if after.is_none() || stretch.tags.len() >= STRETCH {
                let mut gathered = std::mem::take(&mut stretch);
                self.in_batches(work, repository, &mut gathered, rows, held)?;
                beaten = Instant::now();
            }
            if after.is_none() {
                return Ok(());
            }
            if self.ends() {
                return Err(PolicyError::Interrupted);
            }
        }
    }

    /// Counts what the walk has come by; a hand's is counted nowhere.
    fn dealt(&self, rows: usize) {
        if self.part == Part::Lead {
            self.crew.dealt(rows as u64);
        }
    }

    /// What a sweep finds is little, unless the pattern leaves most of a large repository mutable.
    fn few_left(
        &mut self,
        book: &PolicyBook,
        repository: RepositoryId,
        after: Option<&(String, TagId)>,
    ) -> Result<Option<Vec<PagedTag>>, PolicyError> {
        let now = UnixMillis(server_clock(&mut self.session)?.timestamp_millis());
        let after = after.map(|(name, id)| (name.as_str(), *id));
        // An operation that is recovered may be in a database of any encoding.
        let narrowing = book
            .narrowing()
            .filter(|_| self.session.counts_characters());
        let session = &mut self.session;
        Ok(mutable_tags(
            session, repository, after, now, narrowing, FEW,
        )?)
    }

    /// Those rows of a page that the work is about.
    fn stretch(
        &self,
        work: Work,
        book: &PolicyBook,
        repository: RepositoryId,
        page: Vec<PagedTag>,
    ) -> Result<Stretch, PolicyError> {
        let namespace = Some(self.target.namespace);
        let last = self.operation.last_tag_id_before;
        let mut stretch = Stretch::default();
        for PagedTag { id, name, .. } in page {
            match book.decide(repository, namespace, &name) {
                Decision::Immutable(_) => {}
                Decision::Mutable => continue,
                Decision::Unknown(why) => {
                    return Err(PolicyError::refused(
                        format!("a tag cannot be decided: {why}"),
                        "write the pattern without that",
                    ));
                }
            }
            let old = work == Work::Sweep && i64::from(id.0) <= last;
            if old && !Safeguard::WholeSweep.is_on() {
                continue;
            }
            stretch.tags.push(id);
            stretch.end = Some((name, id));
        }
        Ok(stretch)
    }

    /// Sizes follow the measured time, and a batch that was too much is split.
    fn in_batches(
        &mut self,
        work: Work,
        repository: RepositoryId,
        stretch: &mut Stretch,
        rows: &mut usize,
        held: &mut Vec<(RepositoryId, TagId)>,
    ) -> Result<(), PolicyError> {
        let (mut next, mut attempts) = (0, 0);
        stretch.tags.sort_unstable();
        while next < stretch.tags.len() {
            if self.part != Part::Lead {
                self.crew.stand_aside();
            }
            if self.ends() {
                return Err(PolicyError::Interrupted);
            }
            self.wait_for_calm()?;
            let end = stretch.tags.len().min(next + *rows);
            let batch = &stretch.tags[next..end];
            // Names before the end of the stretch are done when all of it is.
            let done = stretch.end.as_ref().filter(|_| end == stretch.tags.len());
            let cursor = done.map(|(name, tag)| Cursor {
                repository,
                name: name.clone(),
                tag: *tag,
            });
            let begun = Instant::now();
            match self.batch(
                work,
                &Batch {
                    repository,
                    tags: batch,
                    cursor,
                },
            ) {
                Ok(dealt) => {
                    held.extend(dealt.held.into_iter().map(|id| (repository, id)));
                    next += dealt.rows;
                    attempts = 0;
                    *rows = self.fitting(*rows, dealt.rows, begun.elapsed());
                    self.tell();
                }
                Err(error)
                    if error.fault() == Some(FaultClass::StatementTimeout)
                        && batch.len() > 1
                        && Safeguard::SplitBatch.is_on() =>
                {
                    *rows = (batch.len() / 2).max(FEWEST);
                }
                Err(error) if error.passes() && attempts < ATTEMPTS => {
                    attempts += 1;
                    sleep(back_off(attempts));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fitting(&self, rows: usize, done: usize, took: Duration) -> usize {
        let a_row = took.as_secs_f64() / done.max(1) as f64;
        let fitting = (self.options.batch_time.as_secs_f64() / a_row.max(1e-9)) as usize;
        fitting.min(rows + rows / 2 + 1).clamp(FEWEST, MOST)
    }

    /// Rows that somebody else held are tried again before the phase ends, with nothing locked
    /// while we wait.
    fn go_back_for(
        &mut self,
        work: Work,
        mut held: Vec<(RepositoryId, TagId)>,
    ) -> Result<(), PolicyError> {
        let mut round = 0;
        while !held.is_empty() {
            round += 1;
            if round > ATTEMPTS {
                return Err(PolicyError::Held {
                    rows: held.len() as u64,
                });
            }
            sleep(back_off(round));
            if self.ends() {
                return Err(PolicyError::Interrupted);
            }
            held.sort_unstable();
            let mut still = Vec::new();
            for of_repository in held.chunk_by(|a, b| a.0 == b.0) {
                let Some((repository, _)) = of_repository.first() else {
                    continue;
                };
                for few in of_repository.chunks(FIRST) {
                    let tags: Vec<TagId> = few.iter().map(|(_, id)| *id).collect();
                    let batch = Batch {
                        repository: *repository,
                        tags: &tags,
                        cursor: None,
                    };
                    match self.batch(work, &batch) {
                        Ok(dealt) => {
                            still.extend(dealt.held.into_iter().map(|id| (*repository, id)));
                            still.extend(&few[dealt.rows..]);
                        }
                        Err(error) if error.passes() => still.extend_from_slice(few),
                        Err(error) => return Err(error),
                    }
                }
            }
            held = still;
        }
        Ok(())
    }

    fn batch(&mut self, work: Work, batch: &Batch<'_>) -> Result<Dealt, PolicyError> {
        match work {
            Work::Mark | Work::MarkAgain | Work::Sweep => self.mark_batch(work, batch),
            Work::Release => self.release_batch(batch),
        }
    }
}

//! The walk over a scope: page by page, batch by batch, to the last row that somebody else holds.

use std::sync::Arc;
use std::time::Duration;

use super::PolicyError;
use super::worker::Worker;
use crate::batch::{
    Action, BatchSize, Changed, MOST_REPOSITORIES, Patience, Throttle, change_rows, come_back,
};
use crate::crew::Crew;
use crate::evaluate::{Decision, PolicyBook};
use crate::journal::{Cursor, Part};
use crate::pg::{FaultClass, WriteSession};
use crate::quay::{Immutability, PolicyText, RepositoryId, TagId};
use crate::relations::{
    Clocks, Page, PagedTag, held_tags, mutable_tags, page_of_tags, repositories_of,
};
use crate::report::harmless;

/// Rows that are read, and matched by name, before any lock is taken.
pub(super) const PAGE: u32 = 5_000;
/// Matching rows that are gathered before they are taken in batches, in id order: 8 bytes each.
const STRETCH: usize = 250_000;
/// Rows that a sweep takes all at once.
const FEW: u32 = 20_000;
/// Attempts at a step that others are in the way of.
pub(super) const ATTEMPTS: u32 = 8;
/// Rows that others hold and that are named.
const NAMED: usize = 10;

/// How long a walk comes back for rows that others hold, in rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounds {
    /// A later walk finds them again: only those are waited for that a push holds for a moment.
    Few,
    /// There is no later walk.
    All,
}

impl Rounds {
    fn number(self) -> u32 {
        match self {
            Self::Few => 3,
            Self::All => 8,
        }
    }

    /// How long a batch is tried. What is cancelled is tried again phase by phase.
    fn patience(self) -> Patience {
        Patience {
            in_the_way: match self {
                Self::Few => Duration::from_secs(6),
                Self::All => Duration::from_secs(12),
            },
            too_much: ATTEMPTS,
            cancelled: 0,
        }
    }
}

/// A row that a walk changes.
pub(super) type WalkedRow = (RepositoryId, TagId);

/// Rows that somebody else holds.
pub(super) type HeldRows = Vec<WalkedRow>;

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

impl Work {
    /// What the tags are that it is about.
    pub(super) fn meets(self) -> Immutability {
        match self {
            Self::Mark | Self::MarkAgain | Self::Sweep => Immutability::Mutable,
            Self::Release => Immutability::Immutable,
        }
    }
}

/// Rows of repositories that lie together by name, and are changed in id order.
///
/// They are read by name, since that is an index's order and so a cursor's; and changed by id,
/// since a batch that has committed leaves dead versions behind, which the next look at their page
/// prunes. In an order that scatters over the heap each row's change prunes a page: a third of the
/// whole cost where names lie in random order (docs/benchmarks.md).
#[derive(Default)]
pub(super) struct Stretch {
    tags: Vec<WalkedRow>,
    /// The last of them by repository and name.
    end: Option<Cursor>,
}

impl Stretch {
    fn append(&mut self, more: Self) {
        self.tags.extend(more.tags);
        self.end = more.end.or(self.end.take());
    }
}

impl Worker<'_> {
    /// Walks the scope from where the operation is, and does its work on every live tag that the
    /// text makes immutable; the rows that it left, since somebody else holds them.
    pub(super) fn walk(
        &mut self,
        work: Work,
        text: &PolicyText,
        rounds: Rounds,
    ) -> Result<HeldRows, PolicyError> {
        let work = match work {
            Work::Mark if self.again || self.operation.sums.changed > 0 => Work::MarkAgain,
            work => work,
        };
        self.rounds = rounds;
        let from = self.operation.cursor.clone();
        let left = |repository: &RepositoryId| {
            from.as_ref()
                .is_none_or(|cursor| cursor.repository <= *repository)
        };
        let repositories = repositories_of(&mut self.session, self.operation.scope)?;
        self.crew = Arc::new(Crew::new(repositories.into_iter().filter(left), self.jobs));
        self.share_out(work, text, from.as_ref())
    }

    /// An error where rows are left that somebody else holds, each named with its holder.
    pub(super) fn nothing_is_held(&mut self, held: &HeldRows) -> Result<(), PolicyError> {
        if held.is_empty() {
            return Ok(());
        }
        let first: Vec<TagId> = held.iter().take(NAMED).map(|(_, tag)| *tag).collect();
        let named = held_tags(&mut self.session, &first)?;
        let clocks = Clocks::read(&mut self.session)?;
        let nobody = named.iter().any(|held| held.holder.is_none());
        if nobody && clocks.are_apart(self.options.clock_margin) {
            return Err(PolicyError::ClocksDisagree {
                rows: held.len() as u64,
                clocks,
                examples: named.iter().map(|held| harmless(&held.name)).collect(),
            });
        }
        let mut examples: Vec<String> = named
            .into_iter()
            .map(|held| {
                let holder = held.holder.as_deref().unwrap_or("somebody unknown");
                harmless(&format!("{} by {holder}", held.name))
            })
            .collect();
        if held.len() > first.len() {
            examples.push(format!("and {} more", held.len() - first.len()));
        }
        Err(PolicyError::Held {
            rows: held.len() as u64,
            examples,
        })
    }

    /// Walks repositories as they are shared out, to the last row that somebody else holds.
    pub(super) fn walk_each(
        &mut self,
        work: Work,
        text: &PolicyText,
        from: Option<&Cursor>,
    ) -> Result<HeldRows, PolicyError> {
        let book = self.book(text);
        let mut held = Vec::new();
        loop {
            let repositories = self.next();
            let Some((first, others)) = repositories.split_first() else {
                break;
            };
            self.beat_if_due()?;
            if self.ends() {
                return Err(PolicyError::Interrupted);
            }
            let start = from
                .filter(|cursor| cursor.repository == *first)
                .map(|cursor| (cursor.name.clone(), cursor.tag));
            if start.is_some() || others.is_empty() {
                self.walk_repository(work, &book, *first, start, &mut held)?;
                self.walk_several(work, &book, others, &mut held)?;
            } else {
                self.walk_several(work, &book, &repositories, &mut held)?;
            }
        }
        let rounds = self.rounds.number();
        come_back(&mut Pass::over(self, work), rounds, held)
    }

    /// The repositories that are walked next, by id.
    fn next(&self) -> Vec<RepositoryId> {
        match self.part {
            Part::Lead => self.crew.first_few(MOST_REPOSITORIES),
            Part::HandOf(_) => self.crew.last_few(MOST_REPOSITORIES),
        }
    }

    /// Whether the walk is to end: somebody wants it, or another of the crew has failed.
    pub(super) fn ends(&self) -> bool {
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

    pub(super) fn walk_repository(
        &mut self,
        work: Work,
        book: &PolicyBook,
        repository: RepositoryId,
        start: Option<(String, TagId)>,
        held: &mut HeldRows,
    ) -> Result<(), PolicyError> {
        let mut after = start;
        if work == Work::Sweep
            && let Some(left) = self.few_left(book, &[repository], after.as_ref())?
        {
            self.dealt(left.len());
            let stretch = self.stretch(book, left)?;
            return self.in_batches(work, stretch, held);
        }
        let mut stretch = Stretch::default();
        loop {
            self.beat_if_due()?;
            let now = Clocks::read(&mut self.session)?.ended_by_both(self.options.clock_margin);
            let (page, limit) = self.paged(|worker, limit| {
                let page = Page {
                    repository,
                    after: after.as_ref().map(|(name, id)| (name.as_str(), *id)),
                    immutability: work.meets(),
                    now,
                    limit,
                };
                Ok(page_of_tags(&mut worker.session, &page)?)
            })?;
            self.dealt(if page.next.is_some() {
                limit as usize
            } else {
                page.tags.len()
            });
            let tags = page.tags.into_iter().map(|tag| (repository, tag));
            stretch.append(self.stretch(book, tags.collect())?);
            after = page.next;
            if after.is_none() || stretch.tags.len() >= STRETCH {
                let gathered = std::mem::take(&mut stretch);
                self.in_batches(work, gathered, held)?;
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
    pub(super) fn dealt(&self, rows: usize) {
        if self.part == Part::Lead {
            self.crew.dealt(rows as u64);
        }
    }

    /// What a sweep finds is little, unless the pattern leaves most of a large repository mutable.
    pub(super) fn few_left(
        &mut self,
        book: &PolicyBook,
        repositories: &[RepositoryId],
        after: Option<&(String, TagId)>,
    ) -> Result<Option<Vec<(RepositoryId, PagedTag)>>, PolicyError> {
        let now = Clocks::read(&mut self.session)?.ended_by_both(self.options.clock_margin);
        let after = after.map(|(name, id)| (name.as_str(), *id));
        // An operation that is recovered may be in a database of any encoding.
        let narrowing = book
            .narrowing()
            .filter(|_| self.session.counts_characters());
        let session = &mut self.session;
        match mutable_tags(session, repositories, after, now, narrowing, FEW) {
            // Page by page, of which each can be made small enough.
            Err(error) if error.class() == FaultClass::StatementTimeout => Ok(None),
            few => Ok(few?),
        }
    }

    /// Those rows of a page that the work is about.
    pub(super) fn stretch(
        &self,
        book: &PolicyBook,
        page: Vec<(RepositoryId, PagedTag)>,
    ) -> Result<Stretch, PolicyError> {
        let namespace = Some(self.target.namespace);
        let mut stretch = Stretch::default();
        for (repository, PagedTag { id, name, .. }) in page {
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
            stretch.tags.push((repository, id));
            stretch.end = Some(Cursor {
                repository,
                name,
                tag: id,
            });
        }
        Ok(stretch)
    }

    pub(super) fn in_batches(
        &mut self,
        work: Work,
        mut stretch: Stretch,
        held: &mut HeldRows,
    ) -> Result<(), PolicyError> {
        stretch.tags.sort_unstable();
        let patience = self.rounds.patience();
        let mut pass = Pass::over(self, work);
        // Names before the end of the stretch are done when all of it is.
        pass.end = stretch.end;
        held.extend(change_rows(&mut pass, patience, &stretch.tags)?);
        Ok(())
    }
}

/// What a walk does with the rows that it comes by.
struct Pass<'w, 'a> {
    worker: &'w mut Worker<'a>,
    work: Work,
    /// Where the walk is when all rows are done; none where they are done out of turn.
    end: Option<Cursor>,
}

impl<'w, 'a> Pass<'w, 'a> {
    fn over(worker: &'w mut Worker<'a>, work: Work) -> Self {
        Self {
            worker,
            work,
            end: None,
        }
    }
}

impl Action for Pass<'_, '_> {
    type Row = WalkedRow;
    type Error = PolicyError;

    fn repository(row: &WalkedRow) -> RepositoryId {
        row.0
    }

    fn repositories(&self) -> usize {
        MOST_REPOSITORIES
    }

    fn prepare(&mut self, repositories: &[RepositoryId]) -> Result<(), PolicyError> {
        match self.work {
            Work::Release => self.worker.read_ahead(repositories),
            Work::Mark | Work::MarkAgain | Work::Sweep => Ok(()),
        }
    }

    fn go_on(&mut self) -> Result<(), PolicyError> {
        if self.worker.part != Part::Lead {
            self.worker.crew.stand_aside();
        }
        if self.worker.crew.is_ended() {
            return Err(PolicyError::Interrupted);
        }
        self.worker.go_on()
    }

    fn change(
        &mut self,
        _repository: RepositoryId,
        rows: &[WalkedRow],
        last: bool,
    ) -> Result<Changed<WalkedRow>, PolicyError> {
        self.worker.tried = rows.len();
        let end = self.end.clone().filter(|_| last);
        let changed = match self.work {
            Work::Release => self.worker.release_batch(rows, end),
            work => self.worker.mark_batch(work, rows, end),
        }?;
        self.worker.tell();
        Ok(changed)
    }

    fn leave(&mut self, row: &WalkedRow) -> Result<(), PolicyError> {
        self.worker.leave(row.0, row.1)
    }

    fn was_wanted(&mut self) {
        if self.worker.part == Part::Lead {
            self.worker.crew.somebody_waits();
        }
    }

    fn size(&mut self) -> &mut BatchSize {
        &mut self.worker.size
    }

    fn throttle(&mut self) -> (&mut Throttle, &mut WriteSession) {
        (&mut self.worker.throttle, &mut self.worker.session)
    }
}

//! One batch of corrections.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::guard::Guard;
use super::run::{OfTag, Site, add};
use super::{ApplyError, PastExpiry};
use crate::actions::released;
use crate::batch::{Changed, Yielding, in_slices};
use crate::correction::Correction;
use crate::evaluate::{Registry, Stated, TagRow};
use crate::ground::{Memory, Protection};
use crate::journal::{
    FixTotals, Phase, TagChange, TagImage, carry_images, liveness_held, record_kept,
};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::{Expiry, Immutability, RepositoryId, TagId, UnixMillis};
use crate::relations::{LastChange, RowLock, last_changes, names_alive_twice, tags_by_id};
use crate::report::Exceptions;

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    /// The sums.
    pub(super) totals: FixTotals,
    /// Tags that could not be changed as asked.
    pub(super) exceptions: Exceptions,
    /// Tags that were skipped since somebody else holds them, each with its holder; the first of them.
    pub(super) named: Vec<String>,
}

/// What becomes of one correction, now that its row is locked.
enum Step {
    Change(TagChange),
    Keep(RepositoryId, TagId),
    Skip,
    Held,
}

/// Carries a batch out, or its first corrections where somebody waits for a repository, in a transaction of its own.
pub(super) fn carry_out<'p>(
    session: &mut WriteSession,
    site: &Site<'_>,
    (memory, yielding): (&mut Memory, &mut Yielding),
    planned: &[OfTag<'p>],
) -> Result<(BatchOutcome, Changed<OfTag<'p>>), ApplyError> {
    let begun = Instant::now();
    let mut repositories: Vec<RepositoryId> = planned.iter().map(|of| of.repository).collect();
    repositories.dedup();
    let mut tx = session.begin()?;
    let guard = enter(&mut tx, site, memory, &repositories, planned)?;
    let is_locked = |of: &&OfTag<'p>| !guard.refused().contains(&of.repository);
    let entering = begun.elapsed();
    let (mut outcome, mut held) = (BatchOutcome::default(), Vec::new());
    let sliced = in_slices(&mut tx, &repositories, yielding, planned, |tx, slice| {
        let locked: Vec<OfTag<'p>> = slice.iter().filter(is_locked).copied().collect();
        let more = correct(tx, site, &guard, memory, &locked, &mut held)?;
        add(&mut outcome.totals, &more.totals);
        outcome.exceptions.append(more.exceptions);
        Ok::<(), ApplyError>(())
    })?;
    if !liveness_held(&mut tx, site.run.id, site.part)? {
        return Err(ApplyError::LivenessLost(site.run.id));
    }
    let totals = &mut outcome.totals;
    totals.batches = 1;
    totals.longest_batch_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    site.run.advance(&mut tx, Phase::Applying, totals)?;
    tx.commit()?;
    let changed = Changed {
        rows: sliced.rows,
        held,
        refused: guard.refused().to_vec(),
        entering,
        wanted: sliced.wanted,
    };
    Ok((outcome, changed))
}

/// Carries corrections of a repository out in a transaction that is already open; whoever calls it commits. Also
/// how many rows somebody else holds.
pub(super) fn in_transaction(
    tx: &mut WriteTransaction<'_>,
    site: &Site<'_>,
    memory: &mut Memory,
    repository: RepositoryId,
    planned: &[OfTag<'_>],
) -> Result<(BatchOutcome, u64), ApplyError> {
    let guard = enter(tx, site, memory, &[repository], planned)?;
    let mut held = Vec::new();
    let outcome = correct(tx, site, &guard, memory, planned, &mut held)?;
    Ok((outcome, held.len() as u64))
}

/// Takes the locks that corrections need.
fn enter<'a>(
    tx: &mut WriteTransaction<'_>,
    site: &Site<'a>,
    memory: &mut Memory,
    repositories: &[RepositoryId],
    planned: &[OfTag<'_>],
) -> Result<Guard<'a>, ApplyError> {
    let takes_away = |of: &OfTag<'_>| of.planned.correction.takes_protection_away();
    let protection = if planned.iter().any(takes_away) {
        Protection::TakenAway
    } else {
        Protection::OnlyGiven
    };
    Guard::enter(
        tx,
        repositories,
        protection,
        site.schema,
        site.run,
        site.options,
        memory,
    )
}

/// Looks again, journals, changes and judges the rows once more, under their repositories' locks.
fn correct<'p>(
    tx: &mut WriteTransaction<'_>,
    site: &Site<'_>,
    guard: &Guard<'_>,
    memory: &mut Memory,
    planned: &[OfTag<'p>],
    in_others_hands: &mut Vec<OfTag<'p>>,
) -> Result<BatchOutcome, ApplyError> {
    let mut outcome = BatchOutcome::default();
    if planned.is_empty() {
        return Ok(outcome);
    }
    let ids: Vec<TagId> = planned
        .iter()
        .filter_map(|of| of.planned.correction.tag().map(|tag| tag.id()))
        .collect();
    let locked = tags_by_id(tx, &ids, RowLock::SkipLocked)?;
    let held = held(tx, &ids, &locked)?;
    let accounts = guard.accounts(tx, &locked, memory)?;
    let violated = guard.violated(site.rules, &locked, &accounts);
    let look = Look {
        site,
        registry: guard.registry(),
        now: UnixMillis(guard.moment.now.timestamp_millis()),
        held,
        twins: names_alive_twice(tx, &losing_their_end(planned), guard.moment.millis())?,
        last: last_changes(tx, &without_an_end(planned))?,
        rows: locked.into_iter().map(|row| (row.id, row)).collect(),
    };

    let (mut changes, mut kept) = (Vec::new(), Vec::new());
    for of in planned {
        let planned = of.planned;
        let still = planned.correction.tag().is_some_and(|tag| {
            violated
                .get(&tag.id())
                .is_some_and(|rules| rules.contains(&planned.rule))
        });
        match look.step(&planned.correction, still, &mut outcome.exceptions) {
            Step::Change(change) => changes.push(change),
            Step::Keep(repository, tag) => kept.push((repository, tag)),
            Step::Skip => outcome.totals.skipped += 1,
            Step::Held => in_others_hands.push(*of),
        }
    }
    let written = guard.write(tx, &look.rows, &changes)?;
    carry_images(tx, &look.images(&written.changes))?;
    guard.name(&written, &look.rows, &mut outcome.exceptions);
    for of in kept.chunk_by(|(a, _), (b, _)| a == b) {
        let tags: Vec<TagId> = of.iter().map(|(_, tag)| *tag).collect();
        record_kept(tx, site.run.id, of[0].0, &tags, &site.options.who)?;
    }
    guard.judge_again(site.rules, &written, &violated, &accounts)?;
    let totals = &mut outcome.totals;
    totals.applied = (written.as_asked().count() + kept.len()) as u64;
    totals.skipped += written.refused.len() as u64;
    totals.expirations_cleared = written.expirations_cleared();
    Ok(outcome)
}

/// Rows that are there and were not locked: somebody else holds them.
pub(super) fn held(
    tx: &mut WriteTransaction<'_>,
    ids: &[TagId],
    locked: &[TagRow],
) -> Result<HashSet<TagId>, ApplyError> {
    if locked.len() == ids.len() {
        return Ok(HashSet::new());
    }
    let had: HashSet<TagId> = locked.iter().map(|row| row.id).collect();
    let missing: Vec<TagId> = ids.iter().copied().filter(|id| !had.contains(id)).collect();
    let there = tags_by_id(tx, &missing, RowLock::None)?;
    Ok(there.into_iter().map(|row| row.id).collect())
}

/// The tags that are to be released and have no end: the journal may know one.
fn without_an_end(planned: &[OfTag<'_>]) -> Vec<TagId> {
    let released = planned
        .iter()
        .filter_map(|of| match &of.planned.correction {
            Correction::Release(tag) if tag.subject.ends().is_none() => Some(tag.id()),
            _ => None,
        });
    released.collect()
}

/// The tags whose end may be cleared.
fn losing_their_end(planned: &[OfTag<'_>]) -> Vec<TagId> {
    let losing = planned.iter().filter_map(|of| {
        let correction = &of.planned.correction;
        let tag = correction.tag()?;
        let released = correction.takes_protection_away();
        (!released && tag.subject.ends().is_some()).then(|| tag.id())
    });
    losing.collect()
}

/// What is known about a batch's rows under lock.
struct Look<'a> {
    site: &'a Site<'a>,
    registry: &'a Registry,
    now: UnixMillis,
    held: HashSet<TagId>,
    twins: HashSet<TagId>,
    last: HashMap<TagId, LastChange>,
    rows: HashMap<TagId, TagRow>,
}

impl Look<'_> {
    /// Decides on one correction; `still` says whether its violation still holds.
    fn step(&self, correction: &Correction, still: bool, exceptions: &mut Exceptions) -> Step {
        let Some(target) = correction.tag() else {
            return Step::Skip;
        };
        let Some(row) = self.rows.get(&target.id()) else {
            // Gone for good, or in somebody else's hands for now.
            return if self.held.contains(&target.id()) {
                Step::Held
            } else {
                Step::Skip
            };
        };
        // Judged anew and still wrong, but not the row that somebody looked at: a plan is carried
        // out for what it expects.
        if !still || *row != target.subject.row {
            return Step::Skip;
        }
        let after = match correction {
            Correction::Release(_) => Some(image(
                Immutability::Mutable,
                self.expiry_restored(row, exceptions),
            )),
            Correction::Protect(..) => self
                .expiry_protected(row)
                .map(|expiry| image(Immutability::Immutable, expiry)),
            // A flag that was stated otherwise meanwhile leaves the expiry as it is.
            Correction::ClearExpiry(..) => self
                .expiry_protected(row)
                .filter(|expiry| *expiry != row.expiry)
                .map(|expiry| image(row.immutability, expiry)),
            Correction::Keep(_) => return Step::Keep(row.repository, row.id),
            _ => None,
        };
        after.map_or(Step::Skip, |after| {
            Step::Change(TagChange {
                tag: row.id,
                repository: row.repository,
                before: image(row.immutability, row.expiry),
                after,
            })
        })
    }

    /// The expiry of a tag that is released: its own, or the one that was cleared.
    fn expiry_restored(&self, row: &TagRow, exceptions: &mut Exceptions) -> Expiry {
        let restore_past = self.site.options.past_expiry == PastExpiry::Restore;
        let restored = released(row, self.last.get(&row.id), self.now, restore_past);
        restored.tell(self.registry, row, exceptions);
        restored.expiry
    }

    /// The entries that these changes went back to, or would have but for the time that has passed: they
    /// are as good as now once the change is undone.
    fn images(&self, changes: &[TagChange]) -> Vec<(TagId, i64)> {
        let mut images = Vec::new();
        for last in changes
            .iter()
            .filter_map(|change| self.last.get(&change.tag))
        {
            if last.is_current && last.change.before.expiry.0.is_some() {
                images.extend(last.entries().map(|entry| (last.change.tag, entry)));
            }
        }
        images
    }

    /// The expiry of a tag that is protected, or `None` where the tag has to be left alone: it
    /// ends within the clocks' margin, may have been ended by a push already, or nobody has said
    /// whether immutable tags may expire.
    fn expiry_protected(&self, row: &TagRow) -> Option<Expiry> {
        let Some(end) = row.expiry.0 else {
            return Some(Expiry(None));
        };
        match self.site.options.features.can_expire {
            Stated::On => Some(row.expiry),
            Stated::Off => {
                let margin = i64::try_from(self.site.options.clock_margin.as_millis()).ok()?;
                let safe = end.0 > self.now.0.saturating_add(margin);
                (safe && !self.twins.contains(&row.id)).then_some(Expiry(None))
            }
            Stated::Unknown => None,
        }
    }
}

fn image(immutability: Immutability, expiry: Expiry) -> TagImage {
    TagImage {
        immutability,
        expiry,
    }
}

//! Turning back: the policy row goes first, then whoever read it is waited for, then the journal
//! is undone, newest change first.

use std::collections::{BTreeMap, HashSet};
use std::thread::sleep;

use super::activate::forward;
use super::exempt::Older;
use super::identity::restores_past_expiry;
use super::release::{is_evident, is_held, lock_rows, write};
use super::walk::HeldRows;
use super::worker::{Worker, not_written};
use super::{PolicyError, UndoRule};
use crate::actions;
use crate::evaluate::{Activity, Decision, Found, TagRow};
use crate::ground::{Ground, Protection};
use crate::journal::{
    Kind, PartOf, Phase, PolicyOperation, Step, Sums, TagChange, TagImage, changed_policies,
    changed_tags, kept_since, mark_policy_undone, mark_undone, record_tag_changes, was_activated,
};
use crate::pg::WriteTransaction;
use crate::quay::{Immutability, PolicyText, PolicyUuid, RepositoryId, TagId};
use crate::relations::{
    Clocks, LastChange, OwnRow, delete_policy, hold_policy, last_changes, made_immutable_at_push,
    pushed_since,
};
use crate::report::{Exceptions, NamedTags};
use crate::retry::back_off;

/// Rows of the journal that are read at once, and rows of a batch.
const PAGE: u32 = 2_000;
const BATCH: usize = 500;
/// Attempts at a batch that others are in the way of.
const ATTEMPTS: u32 = 8;

/// A change to take back, with its journal entry.
type Entry = (i64, TagChange);

impl Worker<'_> {
    /// Begins to turn back: deletes the row that was to become a policy, and says so in the journal.
    pub(super) fn begin_undo(&mut self, error: &str) -> Result<(), PolicyError> {
        self.patiently(|worker| worker.begin_undo_once(error))
    }

    fn begin_undo_once(&mut self, error: &str) -> Result<(), PolicyError> {
        let mut tx = self.session.begin()?;
        delete_pending(&mut tx, &self.operation)?;
        let mut step = forward(Phase::Undoing);
        step.error = Some(error.to_owned());
        Self::finish(self.part, &mut self.operation, tx, step)?;
        Ok(())
    }

    /// Undoes the journal until a whole pass finds nothing; then looks at what was pushed meanwhile.
    pub(super) fn undo(&mut self) -> Result<(), PolicyError> {
        self.settle()?;
        let mut round = 0;
        loop {
            let (restored, held) = self.undo_pass()?;
            if held.is_empty() && restored == 0 {
                break;
            }
            round = if restored > 0 { 0 } else { round + 1 };
            if round > ATTEMPTS {
                self.nothing_is_held(&held)?;
            }
            if !held.is_empty() {
                sleep(back_off(round));
            }
        }
        let waiting = self.pushed_meanwhile()?;
        self.patiently(|worker| {
            let tx = worker.session.begin()?;
            let mut step = forward(Phase::RolledBack);
            step.sums.skipped = worker.not_written.count();
            Self::finish(worker.part, &mut worker.operation, tx, step)
        })?;
        self.skip_not_written();
        if waiting.is_empty() {
            return Ok(());
        }
        Err(PolicyError::PushedMeanwhile {
            operation: self.operation.id,
            tags: waiting.len() as u64,
            examples: waiting
                .iter()
                .take(3)
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// One pass over the journal; how many rows were restored, and which somebody else holds.
    fn undo_pass(&mut self) -> Result<(u64, HeldRows), PolicyError> {
        let (mut cursor, mut restored, mut held) = (None, 0, Vec::new());
        self.not_written = NamedTags::default();
        loop {
            let (mut page, _) = self.paged(|worker, limit| {
                let (id, whole) = (worker.operation.id, PartOf::WHOLE);
                let limit = limit.min(PAGE);
                Ok(changed_tags(&mut worker.session, id, whole, cursor, limit)?)
            })?;
            let Some((last, _)) = page.last() else {
                return Ok((restored, held));
            };
            cursor = Some(*last);
            page.sort_by_key(|(entry, change)| (change.repository, -*entry));
            for of_repository in page.chunk_by(|a, b| a.1.repository == b.1.repository) {
                let (some, others) = self.in_undo_batches(of_repository)?;
                restored += some;
                held.extend(others);
            }
        }
    }

    /// Undoes entries of a repository; a batch that was too much is split, and rows that somebody else holds are left
    /// for another pass.
    fn in_undo_batches(&mut self, entries: &[Entry]) -> Result<(u64, HeldRows), PolicyError> {
        let (mut next, mut restored, mut held) = (0, 0, Vec::new());
        while next < entries.len() {
            if self.wants_end() {
                return Err(PolicyError::Interrupted);
            }
            self.beat_if_due()?;
            let rows = self.rows.min(BATCH);
            let batch = &entries[next..entries.len().min(next + rows)];
            self.tried = batch.len();
            let undone = self.patiently(|worker| match worker.undo_batch(batch) {
                Err(error) if error.is_too_much() && batch.len() > 1 => Ok(None),
                undone => undone.map(Some),
            })?;
            match undone {
                Some((some, others)) => {
                    restored += some;
                    held.extend(others);
                    next += batch.len();
                    self.rows = rows + rows / 2 + 1;
                }
                None => self.rows = batch.len() / 2,
            }
        }
        Ok((restored, held))
    }

    /// Undoes a batch; how many rows were restored, and which somebody else holds.
    fn undo_batch(&mut self, entries: &[Entry]) -> Result<(u64, HeldRows), PolicyError> {
        let Some((_, first)) = entries.first() else {
            return Ok((0, Vec::new()));
        };
        let repository = first.repository;
        let mut tx = self.session.begin()?;
        let ground = Ground::enter(
            &mut tx,
            first.repository,
            Protection::TakenAway,
            self.schema,
        )?;
        let tags: Vec<TagId> = entries.iter().map(|(_, change)| change.tag).collect();
        let (rows, mut held) = lock_rows(&mut tx, &tags)?;
        let mut accounts = ground.accounts(&mut tx, &rows, self.operation.id)?;
        // A declaration that is older than the mark was none about this tag: it was mutable then.
        let declared = kept_since(&mut tx, &tags, self.operation.started)?;
        for (_, account) in accounts
            .iter_mut()
            .filter(|(tag, _)| !declared.contains(tag))
        {
            account.retain(|found| !matches!(found, Found::Kept { .. }));
        }
        let last = last_changes(&mut tx, &tags)?;
        let older = Older::than(&mut tx, &self.operation, &ground, &rows, &accounts)?;
        let now = ground.now_millis();
        let (mut changes, mut marks) = (Vec::new(), Vec::new());
        let mut exceptions = Exceptions::default();
        let mut done: HashSet<TagId> = HashSet::new();
        for (entry, change) in entries {
            let Some(row) = rows.iter().find(|row| row.id == change.tag) else {
                continue;
            };
            let is = TagImage {
                immutability: row.immutability,
                expiry: row.expiry,
            };
            // Another operation has written it since: what it looks like is that one's doing, and
            // its before-image tells how the tag was.
            let ours = |last: &&LastChange| last.operation == self.operation.id;
            let Some(last) = last.get(&change.tag).filter(ours) else {
                continue;
            };
            // Newest first: what an older change of ours left is past.
            if done.contains(&change.tag) {
                marks.push((change.tag, *entry));
                continue;
            }
            let as_we_left_it = last.entry == *entry && is == change.after;
            // What it released stays released: the policy that made the tag immutable is gone.
            let gave = change.before.immutability == Immutability::Mutable
                || change.after.immutability == Immutability::Immutable;
            let was_exempt = change.before.immutability == Immutability::Mutable
                && older.exempted(&ground, row, &accounts);
            // Somebody asked for the tag to be as it was, whatever another policy says of it. Not of one
            // that somebody has written since: it may have been a pass of Quay's by that policy.
            let stays = match self.options.undo {
                UndoRule::AsAsked if last.is_current => is_evident(row, &accounts) && !was_exempt,
                _ => is_held(&ground, row, &accounts) && !was_exempt,
            };
            if !as_we_left_it || !gave || stays {
                continue;
            }
            let known = change.before.expiry.0;
            // Written back or left out: which is right depends on the clock.
            let margin = self.options.clock_margin;
            if known.is_some_and(|end| ground.clocks.disagree_on(end, margin)) {
                held.push(row.id);
                continue;
            }
            let restore_past = restores_past_expiry(&self.operation, self.options);
            let restored = actions::released(row, Some(last), now, restore_past);
            restored.tell(&ground.registry, row, &mut exceptions);
            let after = TagImage {
                immutability: change.before.immutability,
                expiry: restored.expiry,
            };
            changes.push(TagChange {
                before: is,
                after,
                ..*change
            });
            marks.push((change.tag, *entry));
            done.insert(change.tag);
        }
        let written = write(&mut tx, &self.operation, &ground, &rows, &changes)?;
        let refused = written.refused.iter().copied();
        let not_written = not_written(&mut tx, first.repository, refused, Immutability::Immutable)?;
        let marks: Vec<i64> = marks
            .into_iter()
            .filter(|(tag, _)| !written.refused.contains(tag))
            .map(|(_, entry)| entry)
            .collect();
        mark_undone(&mut tx, self.operation.id, &marks)?;
        record_tag_changes(&mut tx, self.operation.id, &written.altered())?;
        let step = Step {
            phase: Phase::Undoing,
            cursor: None,
            sums: Sums {
                batches: 1,
                skipped: not_written.altered.count(),
                ..Sums::default()
            },
            error: None,
        };
        Self::finish(self.part, &mut self.operation, tx, step)?;
        self.exceptions.append(exceptions);
        self.remember(not_written);
        let held = held.into_iter().map(|tag| (repository, tag)).collect();
        Ok((marks.len() as u64, held))
    }

    /// Rows that were pushed since the operation began and are immutable although nothing that is
    /// there now makes them so: a Quay that does not know `active` enforced the pending policy.
    /// The same where the policy was in force before it was taken back. They are released only where
    /// that is certain; the others are named.
    fn pushed_meanwhile(&mut self) -> Result<Vec<String>, PolicyError> {
        let Some(text) = self.operation.after.clone() else {
            return Ok(Vec::new());
        };
        let was_in_force = was_activated(&mut self.session, self.operation.id)?;
        let knows_active = self.operation.options.quay_knows_active;
        if knows_active == Some(true) && !was_in_force {
            return Ok(Vec::new());
        }
        let enforced = was_in_force || knows_active == Some(false);
        let by_policy = made_immutable_at_push(
            &mut self.session,
            self.target.namespace,
            self.operation.started,
        )?;
        let mut since = self.operation.last_tag_id_before;
        let (mut waiting, mut held) = (Vec::new(), Vec::new());
        loop {
            let now = Clocks::read(&mut self.session)?.ended_by_both(self.options.clock_margin);
            let (pushed, _) = self.paged(|worker, limit| {
                let (scope, limit) = (worker.operation.scope, limit.min(PAGE));
                Ok(pushed_since(&mut worker.session, scope, since, now, limit)?)
            })?;
            let Some((last, ..)) = pushed.last() else {
                // Not judged yet: this is not the end.
                self.nothing_is_held(&held)?;
                return Ok(waiting);
            };
            since = i64::from(last.0);
            let mut by_repository: BTreeMap<RepositoryId, Vec<TagId>> = BTreeMap::new();
            for (tag, repository, _) in &pushed {
                by_repository.entry(*repository).or_default().push(*tag);
            }
            for (repository, tags) in by_repository {
                let mut rest = tags;
                for round in 0..=ATTEMPTS {
                    if round > 0 {
                        sleep(back_off(round));
                    }
                    let (mut still, mut todo) = (Vec::new(), &rest[..]);
                    while !todo.is_empty() {
                        if self.wants_end() {
                            return Err(PolicyError::Interrupted);
                        }
                        self.beat_if_due()?;
                        let few = &todo[..todo.len().min(self.rows).min(BATCH)];
                        let by = (enforced, &by_policy);
                        let looked = self.patiently(|worker| {
                            match worker.pushed_batch(repository, few, &text, by) {
                                Err(error) if error.is_too_much() && few.len() > 1 => Ok(None),
                                looked => looked.map(Some),
                            }
                        })?;
                        match looked {
                            Some((named, others)) => {
                                waiting.extend(named);
                                still.extend(others);
                                todo = &todo[few.len()..];
                            }
                            None => self.rows = few.len() / 2,
                        }
                    }
                    rest = still;
                    if rest.is_empty() {
                        break;
                    }
                }
                held.extend(rest.into_iter().map(|tag| (repository, tag)));
            }
        }
    }

    fn pushed_batch(
        &mut self,
        repository: RepositoryId,
        tags: &[TagId],
        text: &PolicyText,
        (enforced, by_policy): (bool, &HashSet<String>),
    ) -> Result<(Vec<String>, Vec<TagId>), PolicyError> {
        let book = self.book(text);
        let namespace = Some(self.target.namespace);
        let mut tx = self.session.begin()?;
        let ground = Ground::enter(&mut tx, repository, Protection::TakenAway, self.schema)?;
        let (rows, held) = lock_rows(&mut tx, tags)?;
        let accounts = ground.accounts(&mut tx, &rows, self.operation.id)?;
        let (mut changes, mut waiting) = (Vec::new(), Vec::new());
        for row in &rows {
            let pending = book.decide(repository, namespace, &row.name) != Decision::Mutable;
            let immutable = row.immutability == Immutability::Immutable;
            if !pending || !immutable || is_held(&ground, row, &accounts) {
                continue;
            }
            if enforced && by_policy.contains(&row.name) {
                changes.push(released(row));
            } else {
                waiting.push(row.name.clone());
            }
        }
        let written = write(&mut tx, &self.operation, &ground, &rows, &changes)?;
        record_tag_changes(&mut tx, self.operation.id, &written.changes)?;
        let refused = written.refused;
        let not_written = not_written(&mut tx, repository, refused, Immutability::Immutable)?;
        let mut step = forward(Phase::Undoing);
        step.sums.skipped = not_written.altered.count();
        Self::finish(self.part, &mut self.operation, tx, step)?;
        self.remember(not_written);
        Ok((waiting, held))
    }
}

/// A push by a Quay that enforced the pending policy: the row never was anything but immutable.
fn released(row: &TagRow) -> TagChange {
    TagChange {
        tag: row.id,
        repository: row.repository,
        before: TagImage {
            immutability: row.immutability,
            expiry: row.expiry,
        },
        after: TagImage {
            immutability: Immutability::Mutable,
            expiry: row.expiry,
        },
    }
}

/// Deletes the row that was to become a policy. Gone already is as good; changed is not ours to
/// delete.
pub(super) fn delete_pending(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
) -> Result<(), PolicyError> {
    let pending: Option<&PolicyUuid> = match operation.kind {
        Kind::Create => Some(&operation.policy),
        Kind::Update => operation.options.staged.as_ref(),
        _ => None,
    };
    let (Some(uuid), Some(text)) = (pending, &operation.after) else {
        return Ok(());
    };
    let table = operation.scope.table();
    let expected = OwnRow {
        text: text.clone(),
        activity: Activity::Inactive,
    };
    if delete_policy(tx, table, uuid, &expected)?.is_none()
        && let Some(row) = hold_policy(tx, table, uuid)?
    {
        return Err(PolicyError::Changed {
            operation: operation.id,
            policy: uuid.clone(),
            difference: format!("its text is {}, and it may be active", row.text.0),
        });
    }
    for (entry, _) in changed_policies(tx, operation.id)? {
        mark_policy_undone(tx, entry)?;
    }
    Ok(())
}

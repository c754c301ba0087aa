//! Turning back: the policy row goes first, then whoever read it is waited for, then the journal
//! is undone, newest change first.

use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::Duration;

use super::activate::forward;
use super::batch::{About, Done};
use super::exempt::Older;
use super::identity::restores_past_expiry;
use super::release::{is_evident, is_held, lock_rows, taking_away, write};
use super::walk::HeldRows;
use super::worker::Worker;
use super::{PolicyError, PolicyOptions, UndoRule};
use crate::actions;
use crate::batch::{Action, BatchSize, Changed, Patience, Throttle, change_rows};
use crate::evaluate::{Activity, Found, TagRow};
use crate::ground::{Ground, Memory};
use crate::journal::{
    Kind, PartOf, Phase, PolicyOperation, TagChange, TagImage, changed_policies, changed_tags,
    kept_since, mark_policy_undone, mark_undone, record_tag_changes,
};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::{Immutability, PolicyUuid, RepositoryId, TagId};
use crate::relations::{OwnRow, delete_policy, hold_policy, last_changes};
use crate::report::{Exceptions, NamedTags};
use crate::retry::back_off;

/// Rows of the journal that are read at once.
pub(super) const PAGE: u32 = 5_000;
/// Rounds over rows that others hold.
pub(super) const ATTEMPTS: u32 = 8;
/// What is cancelled is tried again phase by phase.
pub(super) const PATIENCE: Patience = Patience {
    in_the_way: Duration::from_secs(20),
    too_much: ATTEMPTS,
    cancelled: 0,
};

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
            let mut action = TakingBack {
                worker: self,
                restored: 0,
            };
            let others = change_rows(&mut action, PATIENCE, &page)?;
            restored += action.restored;
            held.extend(others.iter().map(|(_, of)| (of.repository, of.tag)));
        }
    }

    /// Undoes a batch of entries, or its first ones where somebody waits for the repository; how many were
    /// undone.
    fn undo_batch(&mut self, entries: &[Entry]) -> Result<(u64, Changed<Entry>), PolicyError> {
        let about = About {
            met: Immutability::Immutable,
            compares_own_row: false,
            end: None,
        };
        let options = self.options;
        let mut undone = 0;
        let changed = self.batch(
            entries,
            about,
            taking_away(self.schema),
            |tx, ground, operation, entries| {
                let (marks, done) = undo(tx, ground, operation, options, entries)?;
                undone += marks;
                Ok(done)
            },
        )?;
        Ok((undone, changed))
    }
}

/// Undoes entries of a repository whose locks are held, newest first, where the tag is as the entry left it; how many.
fn undo(
    tx: &mut WriteTransaction<'_>,
    (ground, memory): (&Ground, &mut Memory),
    operation: &PolicyOperation,
    options: &PolicyOptions,
    entries: &[Entry],
) -> Result<(u64, Done), PolicyError> {
    let tags: Vec<TagId> = entries.iter().map(|(_, change)| change.tag).collect();
    let (rows, held) = lock_rows(tx, &tags)?;
    let mut held: HashSet<TagId> = held.into_iter().collect();
    let mut accounts = ground.accounts(tx, &rows, operation.id, memory)?;
    // A declaration that is older than the mark was none about this tag: it was mutable then.
    let declared = kept_since(tx, &tags, operation.started)?;
    for (_, account) in accounts
        .iter_mut()
        .filter(|(tag, _)| !declared.contains(tag))
    {
        account.retain(|found| !matches!(found, Found::Kept { .. }));
    }
    let last = last_changes(tx, &tags)?;
    let older = Older::than(tx, operation, ground, &rows, &accounts)?;
    let now = ground.now_millis();
    let by_id: HashMap<TagId, &TagRow> = rows.iter().map(|row| (row.id, row)).collect();
    let (mut changes, mut marks) = (Vec::new(), Vec::new());
    let mut exceptions = Exceptions::default();
    let mut done: HashSet<TagId> = HashSet::new();
    for (entry, change) in entries {
        let Some(&row) = by_id.get(&change.tag) else {
            continue;
        };
        let is = TagImage {
            immutability: row.immutability,
            expiry: row.expiry,
        };
        let Some(last) = last.get(&change.tag) else {
            continue;
        };
        // Newest first: what an older change of ours left is past.
        if done.contains(&change.tag) {
            marks.push((change.tag, *entry));
            continue;
        }
        // Where another operation has written it since, what it looks like is that one's doing, and its before-image
        // tells how the tag was.
        let is_newest = last.entry == *entry;
        let as_we_left_it = is_newest && is == change.after;
        // What it released stays released: the policy that made the tag immutable is gone.
        let gave = change.before.immutability == Immutability::Mutable
            || change.after.immutability == Immutability::Immutable;
        let was_exempt = change.before.immutability == Immutability::Mutable
            && older.exempted(ground, row, &accounts);
        // Somebody asked for the tag to be as it was, whatever another policy says of it. Not of one
        // that somebody has written since: it may have been a pass of Quay's by that policy.
        let stays = match options.undo {
            UndoRule::AsAsked if last.is_current => is_evident(row, &accounts) && !was_exempt,
            _ => is_held(ground, row, &accounts) && !was_exempt,
        };
        if !as_we_left_it || !gave || stays {
            continue;
        }
        let known = change.before.expiry.0;
        // Written back or left out: which is right depends on the clock.
        let margin = options.clock_margin;
        if known.is_some_and(|end| ground.clocks.disagree_on(end, margin)) {
            held.insert(row.id);
            continue;
        }
        let restore_past = restores_past_expiry(operation, options);
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
    let written = write(tx, operation, ground, &rows, &changes)?;
    let marks: Vec<i64> = marks
        .into_iter()
        .filter(|(tag, _)| !written.refused.contains(tag))
        .map(|(_, entry)| entry)
        .collect();
    mark_undone(tx, operation.id, &marks)?;
    record_tag_changes(tx, operation.id, &written.altered())?;
    let done = Done {
        held: held.into_iter().collect(),
        refused: written.refused.into_iter().collect(),
        exceptions,
        ..Done::default()
    };
    Ok((marks.len() as u64, done))
}

/// The journal of an operation undone.
struct TakingBack<'w, 'a> {
    worker: &'w mut Worker<'a>,
    restored: u64,
}

impl Action for TakingBack<'_, '_> {
    type Row = Entry;
    type Error = PolicyError;

    fn repository(row: &Entry) -> RepositoryId {
        row.1.repository
    }

    fn prepare(&mut self, repositories: &[RepositoryId]) -> Result<(), PolicyError> {
        self.worker.read_ahead(repositories)
    }

    fn go_on(&mut self) -> Result<(), PolicyError> {
        self.worker.go_on()
    }

    fn change(
        &mut self,
        _repository: RepositoryId,
        rows: &[Entry],
        _last: bool,
    ) -> Result<Changed<Entry>, PolicyError> {
        self.worker.tried = rows.len();
        let (restored, changed) = self.worker.undo_batch(rows)?;
        self.restored += restored;
        Ok(changed)
    }

    fn leave(&mut self, (_, change): &Entry) -> Result<(), PolicyError> {
        self.worker.leave(change.repository, change.tag)
    }

    /// Nobody works beside it who would have to stand aside.
    fn was_wanted(&mut self) {}

    fn size(&mut self) -> &mut BatchSize {
        &mut self.worker.size
    }

    fn throttle(&mut self) -> (&mut Throttle, &mut WriteSession) {
        (&mut self.worker.throttle, &mut self.worker.session)
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

//! Releasing tags that a policy no longer covers: one batch.

use std::collections::{HashMap, HashSet};

use super::batch::{About, Done, Entered};
use super::identity::restores_past_expiry;
use super::walk::{Rounds, WalkedRow, Work};
use super::worker::Worker;
use super::{PolicyError, PolicyOptions};
use crate::actions::released;
use crate::batch::Changed;
use crate::evaluate::{Account, Decision, Found, TagRow};
use crate::ground::{Ground, Memory, Protection};
use crate::journal::{
    Cursor, Phase, PolicyOperation, Sums, TagChange, TagImage, record_tag_changes,
};
use crate::pg::WriteTransaction;
use crate::quay::{Immutability, PolicyText, RepositoryId, TagId, UnixMillis, is_alive};
use crate::relations::{
    MarkedChange, PolicySchema, RowLock, Written, last_changes, tags_by_id, write_marked_changes,
    write_tags,
};
use crate::report::Exceptions;

/// Walks over the scope at most; the last one of them finds nothing, unless somebody keeps marking.
const PASSES: u32 = 10;

impl Worker<'_> {
    /// Releases what only the policy as it was made immutable; then the operation is done.
    pub(super) fn release(&mut self) -> Result<(), PolicyError> {
        self.settle()?;
        let text: PolicyText = self.operation.before.clone().ok_or_else(|| {
            crate::journal::JournalError::Unreadable(format!(
                "operation {} has no text to release by",
                self.operation.id
            ))
        })?;
        let mut held = Vec::new();
        for _ in 0..PASSES {
            // What others held when an earlier worker was cut off is behind its cursor, and a pass
            // of Quay's that was running when the policy went may still be marking.
            let (whole, before) = (self.operation.cursor.is_none(), self.operation.sums.changed);
            held = self.walk(Work::Release, &text, Rounds::Few)?;
            if whole && self.operation.sums.changed == before {
                break;
            }
            self.restart_in(Phase::Releasing)?;
        }
        if !held.is_empty() {
            self.restart_in(Phase::Releasing)?;
            let still = self.walk(Work::Release, &text, Rounds::All)?;
            self.nothing_is_held(&still)?;
        }
        self.done()
    }

    /// Releases a batch, or its first rows where somebody waits for a repository.
    pub(super) fn release_batch(
        &mut self,
        rows: &[WalkedRow],
        end: Option<Cursor>,
    ) -> Result<Changed<WalkedRow>, PolicyError> {
        let about = About {
            met: Immutability::Immutable,
            compares_own_row: true,
            end,
        };
        let options = self.options;
        self.batch(
            rows,
            about,
            taking_away(self.schema),
            |tx, ground, operation, rows| {
                let tags: Vec<TagId> = rows.iter().map(|(_, tag)| *tag).collect();
                release(tx, ground, operation, options, &tags)
            },
        )
    }
}

/// Enters the ground of a batch that takes protection away.
pub(super) fn taking_away(
    schema: PolicySchema,
) -> impl FnOnce(
    &mut WriteTransaction<'_>,
    &[RepositoryId],
    &mut Memory,
) -> Result<Entered<Ground>, PolicyError> {
    move |tx, repositories, memory| {
        let mut ground = Ground::enter(tx, repositories, Protection::TakenAway, schema, memory)?;
        let refused = std::mem::take(&mut ground.refused);
        Ok((ground, refused))
    }
}

/// Releases rows of a repository whose locks are held, where nothing that is there now makes them immutable.
fn release(
    tx: &mut WriteTransaction<'_>,
    (ground, memory): (&Ground, &mut Memory),
    operation: &PolicyOperation,
    options: &PolicyOptions,
    tags: &[TagId],
) -> Result<Done, PolicyError> {
    let (rows, mut held) = lock_rows(tx, tags)?;
    let accounts = ground.accounts(tx, &rows, operation.id, memory)?;
    let ids: Vec<TagId> = rows.iter().map(|row| row.id).collect();
    let last = last_changes(tx, &ids)?;
    let now = ground.now_millis();
    let mut exceptions = Exceptions::default();
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        let immutable = row.immutability == Immutability::Immutable;
        let last = last.get(&row.id);
        let known = last.and_then(|last| last.change.before.expiry.0);
        let ends = [row.expiry.0, known];
        let unclear = |end: UnixMillis| ground.clocks.disagree_on(end, options.clock_margin);
        if immutable && !row.hidden && ends.into_iter().flatten().any(unclear) {
            held.push(row.id);
            continue;
        }
        if !immutable || !is_alive(row.hidden, row.expiry, now) || is_held(ground, row, &accounts) {
            continue;
        }
        let restore_past = restores_past_expiry(operation, options);
        let restored = released(row, last, now, restore_past);
        restored.tell(&ground.registry, row, &mut exceptions);
        changes.push(TagChange {
            tag: row.id,
            repository: row.repository,
            before: TagImage {
                immutability: row.immutability,
                expiry: row.expiry,
            },
            after: TagImage {
                immutability: Immutability::Mutable,
                expiry: restored.expiry,
            },
        });
    }
    let written = write(tx, operation, ground, &rows, &changes)?;
    record_tag_changes(tx, operation.id, &written.changes)?;
    Ok(Done {
        sums: Sums {
            matched: rows.len() as u64,
            changed: written.as_asked().count() as u64,
            ..Sums::default()
        },
        held,
        refused: written.refused.into_iter().collect(),
        exceptions,
    })
}

/// Writes rows and, where that is wanted, a marked audit entry for each that was written; what became
/// of them. An undo makes nothing that Quay's log has not been told of: it writes none.
pub(super) fn write(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    ground: &Ground,
    rows: &[TagRow],
    changes: &[TagChange],
) -> Result<Written, PolicyError> {
    let written = write_tags(tx, changes, rows)?;
    if operation.options.audit && operation.phase != Phase::Undoing {
        let rows: HashMap<TagId, &TagRow> = rows.iter().map(|row| (row.id, row)).collect();
        let entries: Vec<MarkedChange> = written
            .as_asked()
            .filter_map(|change| ground.entry(rows.get(&change.tag)?, change))
            .collect();
        write_marked_changes(tx, operation.id, &operation.actor, &entries)?;
    }
    Ok(written)
}

/// Locks rows without waiting; those that were had, and those that somebody else holds.
pub(super) fn lock_rows(
    tx: &mut WriteTransaction<'_>,
    tags: &[TagId],
) -> Result<(Vec<TagRow>, Vec<TagId>), PolicyError> {
    let locked = tags_by_id(tx, tags, RowLock::SkipLocked)?;
    if locked.len() == tags.len() {
        return Ok((locked, Vec::new()));
    }
    let had: HashSet<TagId> = locked.iter().map(|row| row.id).collect();
    let there = tags_by_id(tx, tags, RowLock::None)?;
    let held = there
        .iter()
        .map(|row| row.id)
        .filter(|id| !had.contains(id))
        .collect();
    Ok((locked, held))
}

/// Whether something that is there now makes the tag immutable, or may: an active policy, a label,
/// a user's act, a declaration. What cannot be decided holds. An operation at work holds nothing:
/// its policy is not active yet, and once it is, its sweep walks over every tag of the scope.
pub(super) fn is_held(ground: &Ground, row: &TagRow, accounts: &HashMap<TagId, Account>) -> bool {
    let namespace = ground.registry.namespace_of(row.repository);
    let by_policy = !matches!(
        ground.policies.decide(row.repository, namespace, &row.name),
        Decision::Mutable
    );
    by_policy || is_evident(row, accounts)
}

/// Whether a label, a user's act or a declaration makes the tag immutable.
pub(super) fn is_evident(row: &TagRow, accounts: &HashMap<TagId, Account>) -> bool {
    accounts.get(&row.id).into_iter().flatten().any(|found| {
        matches!(
            found,
            Found::Label | Found::SetByUser(_) | Found::Kept { .. }
        )
    })
}

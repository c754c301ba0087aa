//! Marking tags immutable: one batch.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::batch::{About, Done};
use super::identity::clock_margin_ms;
use super::walk::{WalkedRow, Work};
use super::worker::Worker;
use super::{PolicyError, PolicyOptions};
use crate::batch::{BatchError as _, Changed};
use crate::evaluate::TagRow;
use crate::ground::{Protection, lock_repositories};
use crate::journal::{
    Cursor, PolicyOperation, Sums, TagChange, TagImage, newest_changes, record_tag_changes,
};
use crate::pg::{FaultClass, WriteTransaction};
use crate::quay::{Expiry, Immutability, OperationId, RepositoryId, TagId, UnixMillis, is_alive};
use crate::relations::{
    Clocks, RowLock, TakenOff, lock_repository, lock_repository_limiting_waits, mark_at_once,
    mark_plain, names_alive_twice, tags_by_id, write_tags,
};

/// How long a batch that locks nothing first waits for a lock: of a row that somebody took hold of
/// since it was looked at, or of our policy's. Far below the `deadlock_timeout` of a server (a second):
/// whoever waits for us meanwhile is not ended for it.
const MOMENT: Duration = Duration::from_millis(100);

/// How plain rows are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the UPDATE alone, where nobody holds them.
    AtOnce,
    /// With a lock before.
    LockFirst,
}

impl Worker<'_> {
    /// Marks a batch, or its first rows where somebody waits for a repository.
    pub(super) fn mark_batch(
        &mut self,
        work: Work,
        rows: &[WalkedRow],
        end: Option<Cursor>,
    ) -> Result<Changed<WalkedRow>, PolicyError> {
        // A row may be waited for only by who holds nothing that others wait for meanwhile but one repository.
        let way = match (rows.first(), rows.last()) {
            (Some((first, _)), Some((last, _))) if first != last => Way::LockFirst,
            _ => self.way,
        };
        match self.mark_batch_by(way, work, rows, end.clone()) {
            Err(error) if way == Way::AtOnce && error.fault() == Some(FaultClass::LockTimeout) => {
                // Where that happens once it may happen in every batch.
                self.way = Way::LockFirst;
                self.mark_batch_by(self.way, work, rows, end)
            }
            other => other,
        }
    }

    fn mark_batch_by(
        &mut self,
        way: Way,
        work: Work,
        rows: &[WalkedRow],
        end: Option<Cursor>,
    ) -> Result<Changed<WalkedRow>, PolicyError> {
        let about = About {
            met: Immutability::Mutable,
            compares_own_row: true,
            end,
        };
        let options = self.options;
        self.batch(
            rows,
            about,
            |tx, repositories, _| {
                let refused = match (way, repositories) {
                    (Way::AtOnce, [one]) => {
                        lock_repository_limiting_waits(tx, *one, MOMENT)?;
                        Vec::new()
                    }
                    _ => lock_repositories(tx, repositories, Protection::OnlyGiven)?,
                };
                Ok(((), refused))
            },
            |tx, _, operation, rows| {
                let tags: Vec<TagId> = rows.iter().map(|(_, tag)| *tag).collect();
                mark(tx, operation, options, (work, way), &tags)
            },
        )
    }
}

/// Marks rows in a transaction that holds their repository's lock. Plain ones are marked as they are
/// locked; where there is something to decide, before-images are written after a look at each row.
pub(super) fn mark(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    options: &PolicyOptions,
    (work, way): (Work, Way),
    tags: &[TagId],
) -> Result<Done, PolicyError> {
    if tags.is_empty() {
        return Ok(Done::default());
    }
    let newer: Vec<TagId>;
    let tags = match operation.options.only_after {
        None => tags,
        Some(last) => {
            let later = |tag: &&TagId| i64::from(tag.0) > last;
            newer = tags.iter().filter(later).copied().collect();
            &newer
        }
    };
    let left: Vec<TagId>;
    let tags = if work == Work::MarkAgain {
        // A page has mutable rows alone: what we marked and find there somebody took off since.
        let newest = newest_changes(tx, tags)?;
        let taken_off = |tag: &&TagId| is_marked_by(operation, newest.get(tag));
        left = tags.iter().filter(|tag| !taken_off(tag)).copied().collect();
        &left
    } else {
        tags
    };
    // Whether an administrator took a tag off is asked in the sweep, of every row; before, of those
    // that were pushed since the operation began, or that we may have marked already.
    if work == Work::Sweep {
        return mark_one_by_one(tx, operation, options, work, tags);
    }
    let last = operation.last_tag_id_before;
    let (mut old, mut others): (Vec<TagId>, Vec<TagId>) =
        tags.iter().partition(|id| i64::from(id.0) <= last);
    let (mut plain, mut refused) = (0, Vec::new());
    if way == Way::AtOnce && !old.is_empty() {
        let (marked, altered) = mark_at_once(tx, operation.id, &old)?;
        plain += marked.len() as u64;
        let done: HashSet<TagId> = marked.into_iter().chain(altered.iter().copied()).collect();
        refused.extend(altered);
        old.retain(|id| !done.contains(id));
    }
    let rest = mark_plain(tx, operation.id, &old)?;
    plain += rest.marked.len() as u64;
    refused.extend(rest.refused);
    others.extend(&rest.expiring);
    let mut marked = mark_one_by_one(tx, operation, options, work, &others)?;
    marked.sums.matched += plain;
    marked.sums.changed += plain;
    marked.held.extend(held(tx, &old, &rest.locked)?);
    marked.refused.extend(refused);
    Ok(marked)
}

/// Marks rows after a look at each: locks them, looks again, writes their before-images and then
/// the rows.
fn mark_one_by_one(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    options: &PolicyOptions,
    work: Work,
    tags: &[TagId],
) -> Result<Done, PolicyError> {
    if tags.is_empty() {
        return Ok(Done::default());
    }
    let locked = tags_by_id(tx, tags, RowLock::SkipLocked)?;
    let had: Vec<TagId> = locked.iter().map(|row| row.id).collect();
    let held = held(tx, tags, &had)?;
    let clocks = Clocks::read(tx)?;
    let now = UnixMillis(clocks.later().timestamp_millis());
    let left = left_by_clocks(&clocks, options, &locked);
    let locked = locked.into_iter().filter(|row| !left.contains(&row.id));
    let mutable: Vec<TagRow> = locked
        .filter(|row| {
            row.immutability == Immutability::Mutable && is_alive(row.hidden, row.expiry, now)
        })
        .collect();
    let ids: Vec<TagId> = mutable.iter().map(|row| row.id).collect();
    let expiring: Vec<TagId> = mutable
        .iter()
        .filter(|row| row.expiry.0.is_some())
        .map(|row| row.id)
        .collect();
    let last = operation.last_tag_id_before;
    let mut log = HashMap::new();
    if let Some(entry) = operation.options.last_entry_before {
        for row in &mutable {
            // While the policy is applied only a Quay that enforces it already can have made a tag
            // immutable that an administrator then took off; and it must have pushed it.
            let asked = work == Work::Sweep || i64::from(row.id.0) > last;
            if asked && !log.contains_key(&row.repository) {
                let taken_off = TakenOff::since(tx, row.repository, entry)?;
                log.insert(row.repository, taken_off);
            }
        }
    }
    let look = Look {
        operation,
        now,
        margin: clock_margin_ms(operation, options),
        twins: if expiring.is_empty() {
            HashSet::new()
        } else {
            names_alive_twice(tx, &expiring, now)?
        },
        newest: if work == Work::Sweep {
            newest_changes(tx, &ids)?
        } else {
            HashMap::new()
        },
        log,
        work,
    };
    let mut changes = Vec::with_capacity(mutable.len());
    for row in &mutable {
        if let Some(change) = look.change(row)? {
            changes.push(change);
        }
    }
    let written = write_tags(tx, &changes, &mutable)?;
    record_tag_changes(tx, operation.id, &written.changes)?;
    Ok(Done {
        sums: Sums {
            matched: mutable.len() as u64,
            changed: written.as_asked().count() as u64,
            expirations_cleared: written.expirations_cleared(),
            ..Sums::default()
        },
        held: held.into_iter().chain(left).collect(),
        refused: written.refused.into_iter().collect(),
        ..Done::default()
    })
}

/// Mutable rows whose end lies between the clocks of the server and of this host.
fn left_by_clocks(clocks: &Clocks, options: &PolicyOptions, rows: &[TagRow]) -> Vec<TagId> {
    let unclear = |row: &&TagRow| {
        let end = row.expiry.0;
        row.immutability == Immutability::Mutable
            && !row.hidden
            && end.is_some_and(|end| clocks.disagree_on(end, options.clock_margin))
    };
    rows.iter().filter(unclear).map(|row| row.id).collect()
}

/// Rows that are there and were not had: somebody else holds them.
fn held(
    tx: &mut WriteTransaction<'_>,
    tags: &[TagId],
    had: &[TagId],
) -> Result<Vec<TagId>, PolicyError> {
    if had.len() == tags.len() {
        return Ok(Vec::new());
    }
    let had: HashSet<TagId> = had.iter().copied().collect();
    let there = tags_by_id(tx, tags, RowLock::None)?;
    Ok(there
        .iter()
        .map(|row| row.id)
        .filter(|id| !had.contains(id))
        .collect())
}

/// Whether the newest change of a row is that we made it immutable.
fn is_marked_by(operation: &PolicyOperation, newest: Option<&(OperationId, Immutability)>) -> bool {
    newest.is_some_and(|(by, left)| *by == operation.id && *left == Immutability::Immutable)
}

/// What is known about a batch's rows under lock.
struct Look<'a> {
    operation: &'a PolicyOperation,
    now: UnixMillis,
    margin: i64,
    twins: HashSet<TagId>,
    newest: HashMap<TagId, (OperationId, Immutability)>,
    log: HashMap<RepositoryId, TakenOff>,
    work: Work,
}

impl Look<'_> {
    /// The change that makes a row immutable; none where it has to be left alone for now.
    fn change(&self, row: &TagRow) -> Result<Option<TagChange>, PolicyError> {
        if self.was_taken_off(row.id) {
            return Ok(None);
        }
        let was_there = i64::from(row.id.0) <= self.operation.last_tag_id_before;
        let asked = self.work == Work::Sweep || !was_there;
        let log = self.log.get(&row.repository);
        if asked && log.is_some_and(|log| log.says(&row.name, was_there)) {
            return Ok(None);
        }
        let Some(expiry) = self.expiry(row)? else {
            return Ok(None);
        };
        Ok(Some(TagChange {
            tag: row.id,
            repository: row.repository,
            before: TagImage {
                immutability: row.immutability,
                expiry: row.expiry,
            },
            after: TagImage {
                immutability: Immutability::Immutable,
                expiry,
            },
        }))
    }

    /// A row that our own journal says we marked, and that is mutable now: an administrator took
    /// it off. Unless an operation of ours released it since.
    fn was_taken_off(&self, tag: TagId) -> bool {
        is_marked_by(self.operation, self.newest.get(&tag))
    }

    /// The expiry of the row when it is immutable; `None` where it ends within the clocks' margin,
    /// or may have been ended by a push already: with skewed clocks it would be brought back.
    fn expiry(&self, row: &TagRow) -> Result<Option<Expiry>, PolicyError> {
        let Some(end) = row.expiry.0 else {
            return Ok(Some(Expiry(None)));
        };
        match self.operation.options.can_expire {
            Some(true) => Ok(Some(row.expiry)),
            Some(false) => {
                let soon = end.0 <= self.now.0.saturating_add(self.margin);
                let leave = soon || self.twins.contains(&row.id);
                Ok((!leave).then_some(Expiry(None)))
            }
            None => Err(PolicyError::ExpiryNotStated { tags: 1 }),
        }
    }
}

/// Locks every repository of an atomic operation in id order; their rows are never waited for.
pub(super) fn lock_all(
    tx: &mut WriteTransaction<'_>,
    repositories: &[RepositoryId],
) -> Result<(), PolicyError> {
    for repository in repositories {
        lock_repository(tx, *repository)?;
    }
    Ok(())
}

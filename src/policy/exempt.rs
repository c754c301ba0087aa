//! Tags that an administrator had exempted from a policy before an operation marked them.
//!
//! Whoever turns back leaves a tag immutable that an active policy covers, or a label. Not one that
//! was mutable in spite of them, since an administrator had taken its immutability off: it would be
//! immutable again by an operation that never was. That the policy was there before is asked of its
//! date, of Quay's log and of our journal; in doubt it holds. A label has no date; Quay itself marks
//! the tags of a manifest that gets one.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;

use super::PolicyError;
use crate::evaluate::{Account, Activity, Decision, Found, PolicyRow, TagRow};
use crate::ground::Ground;
use crate::journal::{PolicyOperation, changed_since};
use crate::pg::WriteTransaction;
use crate::quay::{PolicyUuid, TagId};
use crate::relations::policies_changed_since;

/// A policy's date is when its transaction began; it may have been seen only later.
const UNSEEN: TimeDelta = TimeDelta::seconds(10);

/// Which active policies of a ground are as they were before an operation began.
pub(super) struct Older(HashSet<PolicyUuid>);

impl Older {
    /// Asked only where it matters: of a batch with a tag that an administrator has taken off.
    pub(super) fn than(
        tx: &mut WriteTransaction<'_>,
        operation: &PolicyOperation,
        ground: &Ground,
        rows: &[TagRow],
        accounts: &HashMap<TagId, Account>,
    ) -> Result<Self, PolicyError> {
        let none = Self(HashSet::new());
        let (Some(row), Some(entry)) = (
            rows.iter().find(|row| was_taken_off(row, accounts)),
            operation.options.last_entry_before,
        ) else {
            return Ok(none);
        };
        let Some(namespace) = ground.registry.namespace_of(row.repository) else {
            return Ok(none);
        };
        if policies_changed_since(tx, namespace, entry)? {
            return Ok(none);
        }
        let old = |row: &&PolicyRow| {
            row.activity == Activity::Active
                && row
                    .created
                    .is_none_or(|created| created + UNSEEN < operation.started)
        };
        let mut older: HashSet<PolicyUuid> = ground
            .policies
            .rows()
            .iter()
            .filter(old)
            .map(|row| row.uuid.clone())
            .collect();
        for changed in changed_since(tx, operation.id, operation.started)? {
            older.remove(&changed);
        }
        Ok(Self(older))
    }

    /// Whether an administrator had exempted the tag from every active policy that covers it. Not
    /// one that somebody has declared to be meant since.
    pub(super) fn exempted(
        &self,
        ground: &Ground,
        row: &TagRow,
        accounts: &HashMap<TagId, Account>,
    ) -> bool {
        let namespace = ground.registry.namespace_of(row.repository);
        let newer = |policy: &PolicyRow| !self.0.contains(&policy.uuid);
        let kept = |found: &Found| matches!(found, Found::Kept { .. });
        was_taken_off(row, accounts)
            && !accounts.get(&row.id).into_iter().flatten().any(kept)
            && ground
                .policies
                .decide_by(row.repository, namespace, &row.name, newer)
                == Decision::Mutable
    }
}

fn was_taken_off(row: &TagRow, accounts: &HashMap<TagId, Account>) -> bool {
    let mut found = accounts.get(&row.id).into_iter().flatten();
    found.any(|found| matches!(found, Found::TakenOffByAdministrator(_)))
}

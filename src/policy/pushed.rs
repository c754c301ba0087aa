//! What was pushed while an operation that turns back was under way.

use std::collections::HashSet;

use super::PolicyError;
use super::batch::{About, Done};
use super::release::{is_held, lock_rows, taking_away, write};
use super::roll_back::{ATTEMPTS, PAGE, PATIENCE};
use super::walk::WalkedRow;
use super::worker::Worker;
use crate::batch::{Action, BatchSize, Changed, Throttle, change_rows, come_back};
use crate::evaluate::{Decision, TagRow};
use crate::journal::{TagChange, TagImage, record_tag_changes, was_activated};
use crate::pg::WriteSession;
use crate::quay::{Immutability, PolicyText, RepositoryId, TagId};
use crate::relations::{Clocks, made_immutable_at_push, pushed_since};

impl Worker<'_> {
    /// Rows that were pushed since the operation began and are immutable although nothing that is
    /// there now makes them so: a Quay that does not know `active` enforced the pending policy.
    /// The same where the policy was in force before it was taken back. They are released only where
    /// that is certain; the others are named.
    pub(super) fn pushed_meanwhile(&mut self) -> Result<Vec<String>, PolicyError> {
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
            let mut rows: Vec<WalkedRow> = pushed
                .iter()
                .map(|(tag, repository, _)| (*repository, *tag))
                .collect();
            rows.sort_unstable();
            let mut action = Pushed {
                worker: self,
                text: &text,
                by_policy: enforced.then_some(&by_policy),
                waiting: Vec::new(),
            };
            let others = change_rows(&mut action, PATIENCE, &rows)?;
            held.extend(come_back(&mut action, ATTEMPTS, others)?);
            waiting.append(&mut action.waiting);
        }
    }

    /// Looks at a batch of pushed rows; which of them wait for a decision.
    fn pushed_batch(
        &mut self,
        rows: &[WalkedRow],
        text: &PolicyText,
        by_policy: Option<&HashSet<String>>,
    ) -> Result<(Vec<String>, Changed<WalkedRow>), PolicyError> {
        let book = self.book(text);
        let namespace = Some(self.target.namespace);
        let about = About {
            met: Immutability::Immutable,
            compares_own_row: false,
            end: None,
        };
        let mut waiting = Vec::new();
        let changed = self.batch(
            rows,
            about,
            taking_away(self.schema),
            |tx, (ground, memory), operation, rows| {
                let tags: Vec<TagId> = rows.iter().map(|(_, tag)| *tag).collect();
                let (rows, held) = lock_rows(tx, &tags)?;
                let accounts = ground.accounts(tx, &rows, operation.id, memory)?;
                let mut changes = Vec::new();
                for row in &rows {
                    let pending = book.decide(row.repository, namespace, &row.name);
                    let immutable = row.immutability == Immutability::Immutable;
                    let is_pending = pending != Decision::Mutable;
                    if !is_pending || !immutable || is_held(ground, row, &accounts) {
                        continue;
                    }
                    if by_policy.is_some_and(|names| names.contains(&row.name)) {
                        changes.push(released(row));
                    } else {
                        waiting.push(row.name.clone());
                    }
                }
                let written = write(tx, operation, ground, &rows, &changes)?;
                record_tag_changes(tx, operation.id, &written.changes)?;
                Ok(Done {
                    held,
                    refused: written.refused.into_iter().collect(),
                    ..Done::default()
                })
            },
        )?;
        Ok((waiting, changed))
    }
}

/// Rows that were pushed while the policy was pending, released where that is certain.
struct Pushed<'w, 'a> {
    worker: &'w mut Worker<'a>,
    text: &'w PolicyText,
    /// Names that were pushed immutable by a policy, where Quay enforced the pending one.
    by_policy: Option<&'w HashSet<String>>,
    /// Names that wait for a decision.
    waiting: Vec<String>,
}

impl Action for Pushed<'_, '_> {
    type Row = WalkedRow;
    type Error = PolicyError;

    fn repository(row: &WalkedRow) -> RepositoryId {
        row.0
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
        rows: &[WalkedRow],
        _last: bool,
    ) -> Result<Changed<WalkedRow>, PolicyError> {
        self.worker.tried = rows.len();
        let (text, by_policy) = (self.text, self.by_policy);
        let (waiting, changed) = self.worker.pushed_batch(rows, text, by_policy)?;
        self.waiting.extend(waiting);
        Ok(changed)
    }

    fn leave(&mut self, row: &WalkedRow) -> Result<(), PolicyError> {
        self.worker.leave(row.0, row.1)
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

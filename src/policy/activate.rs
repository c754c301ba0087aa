//! Apply, activate, sweep, done: the phases of an operation that goes forward.

use super::walk::{Rounds, Work};
use super::worker::Worker;
use super::{PolicyError, own_row};
use crate::evaluate::Activity;
use crate::journal::{
    JournalError, Kind, Phase, PolicyChange, PolicyOperation, Step, Sums, TagsChoice,
    changed_policies, mark_policy_undone, record_kept_policy, record_policy_change,
};
use crate::pg::WriteTransaction;
use crate::quay::{AuditKind, PolicyText};
use crate::relations::{OwnRow, PolicyEntry, change_policy, delete_policy, write_policy_entry};

use super::target::Target;
use crate::report::NamedTags;

impl Worker<'_> {
    /// Marks what there is. New tags are not affected: the policy is inactive. Rows that somebody else holds are left to
    /// the sweep, which walks over everything again: however long they are held, nothing is taken back for them.
    pub(super) fn apply(&mut self) -> Result<(), PolicyError> {
        let text = brings(&self.operation)?;
        let held = self.walk(Work::Mark, &text, Rounds::Few)?;
        if !held.is_empty() {
            tracing::info!(rows = held.len(), "held by others, and left to the sweep");
        }
        Ok(())
    }

    /// Activates the policy, or swaps an updated one in: one transaction, from which on every push
    /// is decided by it.
    pub(super) fn activate(&mut self) -> Result<(), PolicyError> {
        self.patiently(Self::activate_once)
    }

    fn activate_once(&mut self) -> Result<(), PolicyError> {
        let text = brings(&self.operation)?;
        let mut tx = self.session.begin()?;
        own_row::compare(&mut tx, &self.operation)?;
        activate_in(
            &mut tx,
            &self.operation,
            &self.target,
            &text,
            self.operation.options.audit,
        )?;
        let step = forward(Phase::Sweeping);
        Self::finish(self.part, &mut self.operation, tx, step)?;
        Ok(())
    }

    /// Looks for what came while the policy was being applied, waits for whoever still decided by
    /// the policies as they were, and looks once more.
    pub(super) fn sweep(&mut self) -> Result<(), PolicyError> {
        let text = brings(&self.operation)?;
        self.walk(Work::Sweep, &text, Rounds::Few)?;
        self.settle()?;
        self.restart_in(Phase::Sweeping)?;
        let held = self.walk(Work::Sweep, &text, Rounds::All)?;
        self.nothing_is_held(&held)?;
        if self.operation.kind == Kind::Update
            && self.operation.options.tags == Some(TagsChoice::Release)
        {
            return self.restart_in(Phase::Releasing);
        }
        self.done()
    }

    /// Moves to a phase, or to the beginning of the walk.
    pub(super) fn restart_in(&mut self, phase: Phase) -> Result<(), PolicyError> {
        self.patiently(|worker| worker.restart_once(phase))
    }

    fn restart_once(&mut self, phase: Phase) -> Result<(), PolicyError> {
        let mut tx = self.session.begin()?;
        own_row::compare(&mut tx, &self.operation)?;
        let mut step = forward(phase);
        let next = self.operation.phase != phase;
        if self.operation.phase == Phase::Sweeping && phase == Phase::Releasing {
            account(&mut tx, &self.operation, &self.target)?;
        }
        step.sums.skipped = if next { self.not_written.count() } else { 0 };
        Self::finish(self.part, &mut self.operation, tx, step)?;
        if next {
            self.skip_not_written();
        } else {
            // The next walk meets them again.
            self.not_written = NamedTags::default();
        }
        Ok(())
    }

    /// Ends the operation as it was meant.
    pub(super) fn done(&mut self) -> Result<(), PolicyError> {
        self.patiently(Self::done_once)
    }

    fn done_once(&mut self) -> Result<(), PolicyError> {
        let mut tx = self.session.begin()?;
        own_row::compare(&mut tx, &self.operation)?;
        match self.operation.phase {
            Phase::Sweeping => account(&mut tx, &self.operation, &self.target)?,
            Phase::Releasing => own_row::is_there(&mut tx, &self.operation)?,
            _ => {}
        }
        let keeps = self.operation.kind == Kind::Update
            && self.operation.options.tags == Some(TagsChoice::Keep);
        if let (true, Some(before)) = (keeps, &self.operation.before) {
            record_kept_policy(
                &mut tx,
                self.operation.id,
                self.operation.scope,
                before,
                &self.options.who,
            )?;
        }
        let mut step = forward(Phase::Done);
        step.sums.skipped = self.not_written.count();
        Self::finish(self.part, &mut self.operation, tx, step)?;
        self.skip_not_written();
        Ok(())
    }
}

/// The entry that Quay writes when its pass is over: how many tags the policy made immutable.
fn account(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    target: &Target,
) -> Result<(), PolicyError> {
    if !operation.options.audit || operation.sums.changed == 0 {
        return Ok(());
    }
    let mut says = configuration(&brings(operation)?);
    says["count"] = operation.sums.changed.into();
    entry(
        tx,
        operation,
        target,
        AuditKind::TagsMadeImmutableByPolicy,
        says,
    )
}

/// The text that an operation brings.
fn brings(operation: &PolicyOperation) -> Result<PolicyText, PolicyError> {
    operation.after.clone().ok_or_else(|| {
        JournalError::Unreadable(format!("operation {} has no text to apply", operation.id)).into()
    })
}

/// A step to the beginning of a phase.
pub(super) fn forward(phase: Phase) -> Step {
    Step {
        phase,
        cursor: None,
        sums: Sums::default(),
        error: None,
    }
}

/// Sets the policy active where it is still as expected, or puts an update's text in its place.
pub(super) fn activate_in(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    target: &Target,
    text: &PolicyText,
    audit: bool,
) -> Result<(), PolicyError> {
    let table = operation.scope.table();
    let to = OwnRow {
        text: text.clone(),
        activity: Activity::Active,
    };
    let (from, kind) = match (operation.kind, &operation.before) {
        (Kind::Update, Some(before)) => (
            OwnRow {
                text: before.clone(),
                activity: Activity::Active,
            },
            AuditKind::UpdateImmutabilityPolicy,
        ),
        _ => (
            OwnRow {
                text: text.clone(),
                activity: Activity::Inactive,
            },
            AuditKind::CreateImmutabilityPolicy,
        ),
    };
    if let (Kind::Update, Some(staged)) = (operation.kind, &operation.options.staged) {
        let inactive = OwnRow {
            text: text.clone(),
            activity: Activity::Inactive,
        };
        if delete_policy(tx, table, staged, &inactive)?.is_none() {
            return Err(PolicyError::Gone(staged.clone()));
        }
        for (entry, _) in changed_policies(tx, operation.id)? {
            mark_policy_undone(tx, entry)?;
        }
    }
    let Some(images) = change_policy(tx, table, &operation.policy, &from, &to)? else {
        return Err(PolicyError::Gone(operation.policy.clone()));
    };
    own_row::kept_as_asked(&images.after, &operation.policy, text, Activity::Active)?;
    let change = PolicyChange {
        table,
        id: images.id,
        before: Some(images.before),
        after: Some(images.after),
    };
    record_policy_change(tx, operation.id, &change)?;
    if audit {
        entry(tx, operation, target, kind, configuration(text))?;
    }
    Ok(())
}

/// `tag_pattern` and `tag_pattern_matches`, as Quay logs them.
pub(super) fn configuration(text: &PolicyText) -> serde_json::Value {
    text.parse().map_or_else(
        |_| serde_json::json!({}),
        |policy| {
            serde_json::json!({
                "tag_pattern": policy.pattern,
                "tag_pattern_matches": policy.polarity.applies(true),
            })
        },
    )
}

/// Writes an audit entry about the operation's policy.
pub(super) fn entry(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
    target: &Target,
    kind: AuditKind,
    says: serde_json::Value,
) -> Result<(), PolicyError> {
    write_policy_entry(
        tx,
        operation.id,
        &PolicyEntry {
            kind,
            namespace: target.namespace,
            namespace_name: &target.namespace_name,
            repository: target.repository(),
            says,
        },
    )?;
    Ok(())
}

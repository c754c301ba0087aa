//! Old entries of the journal, taken out on request and never otherwise.

use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ApplyError;
use super::run::{again, go_on, open};
use crate::config::ConnectionSettings;
use crate::journal::SchemaState;
use crate::pg::{ReadSession, WriteSession};
use crate::quay::OperationId;
use crate::relations::{
    Prunable, ask_to_prune, hold_ended, prunable, prune_before, prune_operation, prune_tag_changes,
};
use crate::retry::back_off;

/// Entries that one transaction looks at.
const BATCH: u32 = 5_000;
/// Operations that are looked at in one statement.
const PAGE: u32 = 100;

/// What was pruned, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Entries of tags.
    pub tag_changes: u64,
    /// Operations that are gone altogether.
    pub operations: u64,
    /// Entries that stay, for their tags are immutable.
    pub immutable: u64,
    /// Declarations in force, which stay.
    pub kept: u64,
    /// Operations of which something stays.
    pub left: u64,
}

/// What a prune would take out; changes nothing. `told` is told of each operation.
///
/// # Errors
/// [`ApplyError`] where the database does not answer.
pub fn prune_preview(
    settings: &ConnectionSettings,
    older_than: Duration,
    told: &mut dyn FnMut(&Prunable),
) -> Result<Pruned, ApplyError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    SchemaState::read(&mut snapshot)?.needs_journal()?;
    let before = prune_before(&mut snapshot, older_than)?;
    let mut sum = Pruned::default();
    let mut after = None;
    loop {
        let page = prunable(&mut snapshot, before, after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(sum);
        };
        after = Some(last.operation);
        for found in &page {
            sum.tag_changes += found.tag_changes;
            sum.immutable += found.immutable;
            sum.kept += found.kept;
            sum.operations += u64::from(found.whole);
            sum.left += u64::from(!found.whole);
            told(found);
        }
    }
}

/// Prunes: a transaction a batch. `reached` is told how many entries are gone.
///
/// # Errors
/// [`ApplyError`]; what was pruned until then is gone, and the same command goes on.
pub fn prune(
    settings: &ConnectionSettings,
    older_than: Duration,
    reached: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Pruned, ApplyError> {
    let (mut session, _) = open(settings)?;
    let mut tx = session.begin()?;
    ask_to_prune(&mut tx)?;
    tx.commit()?;
    let before = prune_before(&mut session, older_than)?;
    let mut sum = Pruned::default();
    let mut after = None;
    let mut parents = Vec::new();
    loop {
        let page = prunable(&mut session, before, after, PAGE)?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.operation);
        for found in page {
            sum.immutable += found.immutable;
            sum.kept += found.kept;
            let mut work = Work {
                session: &mut session,
                before,
                reached,
                sum: &mut sum,
            };
            if work.entries(found.operation)? && !work.whole(found.operation)? {
                parents.push(found.operation);
            }
        }
    }
    // An operation began before those that belong to it; they are gone by now, if they may go.
    for operation in parents {
        let mut work = Work {
            session: &mut session,
            before,
            reached,
            sum: &mut sum,
        };
        if !work.whole(operation)? {
            sum.left += 1;
        }
    }
    Ok(sum)
}

struct Work<'a> {
    session: &'a mut WriteSession,
    before: DateTime<Utc>,
    reached: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    sum: &'a mut Pruned,
}

impl Work<'_> {
    /// Takes an operation's entries out; whether it was there, and ended, to the last of them.
    fn entries(&mut self, operation: OperationId) -> Result<bool, ApplyError> {
        let (mut after, mut attempts) = (0, 0);
        loop {
            match self.batch(operation, after) {
                Ok(None) => return Ok(false),
                Ok(Some((_, None))) => return Ok(true),
                Ok(Some((gone, Some(last)))) => {
                    self.sum.tag_changes += gone;
                    after = last;
                    attempts = 0;
                    go_on((self.reached)(self.sum.tag_changes))?;
                }
                Err(error) if again(&error, attempts) => {
                    attempts += 1;
                    sleep(back_off(attempts));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn batch(
        &mut self,
        operation: OperationId,
        after: i64,
    ) -> Result<Option<(u64, Option<i64>)>, ApplyError> {
        let mut tx = self.session.begin()?;
        if !hold_ended(&mut tx, operation, self.before)? {
            return Ok(None);
        }
        let gone = prune_tag_changes(&mut tx, operation, after, BATCH)?;
        tx.commit()?;
        Ok(Some(gone))
    }

    /// Takes the operation's own row out, where nothing of it has to stay.
    fn whole(&mut self, operation: OperationId) -> Result<bool, ApplyError> {
        let mut tx = self.session.begin()?;
        let gone =
            hold_ended(&mut tx, operation, self.before)? && prune_operation(&mut tx, operation)?;
        tx.commit()?;
        self.sum.operations += u64::from(gone);
        Ok(gone)
    }
}

//! An operation that a fix run conducted, taken back with the run, also after it was done.
//!
//! What came into force goes the way of a roll back: the policy's row first, then whoever read it
//! is waited for, then the marks. What went out of force comes back the way of an activation.

use std::time::Duration;

use serde_json::Value;

use super::change::activate_after;
use super::recover::{How, recover};
use super::target::target_of_scope;
use super::worker::{Watcher, Worker, open};
use super::{PolicyError, PolicyOptions, UndoRule};
use crate::batch::refuse_invisible;
use crate::config::ConnectionSettings;
use crate::evaluate::Activity;
use crate::journal::{
    Kind, Phase, PolicyOperation, TagsChoice, changed_policies, close_as_taken_back,
    hold_liveness_within, mark_policy_undone, open_again, operation, withdraw_kept,
};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::{OperationId, PolicyText};
use crate::relations::{
    OwnRow, change_policy, delete_policy, hold_policy, lock_scope, restore_policy,
};
use crate::report::Exceptions;

/// Takes an operation back; the tags that are not as before.
///
/// # Errors
/// [`PolicyError`]; what was begun is unfinished then, and taken back by the same call.
pub fn take_back(
    settings: &ConnectionSettings,
    id: OperationId,
    wait: Duration,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Exceptions, PolicyError> {
    let options = &PolicyOptions {
        undo: UndoRule::AsAsked,
        ..options.clone()
    };
    let (mut session, schema) = open(settings)?;
    refuse_invisible::<PolicyError>(&mut session, &options.limits)?;
    let Some(mut row) = operation(&mut session, id)? else {
        return Err(PolicyError::NeverBegun(id));
    };
    let mut exceptions = Exceptions::default();
    if !matches!(row.phase, Phase::Done | Phase::RolledBack) {
        if let Some(ended) = recover(settings, id, How::RollBack, wait, options, watcher)? {
            exceptions = ended.exceptions;
        }
        row = operation(&mut session, id)?.ok_or(PolicyError::NeverBegun(id))?;
    }
    if row.phase == Phase::RolledBack {
        return Ok(exceptions);
    }
    // The server may not have noticed yet that the worker before, our own perhaps, is gone.
    if !hold_liveness_within(&mut session, id, wait)? {
        return Err(PolicyError::Live {
            operation: id,
            worker: row.worker,
        });
    }
    match (row.kind, row.options.tags) {
        (Kind::Create | Kind::Activate, _) => {
            row.fence = withdraw(&mut session, &row, options)?;
            row.phase = Phase::Undoing;
            row.cursor = None;
            let target = target_of_scope(&mut session, row.scope)?;
            let opened = (session, schema);
            let worker = Worker::new(settings, opened, row, target, options, watcher);
            Ok(worker.drive()?.exceptions)
        }
        (Kind::Delete | Kind::Deactivate, Some(TagsChoice::Keep)) => {
            put_back(&mut session, &row)?;
            if is_to_be_activated(&mut session, &row)? {
                let alone = PolicyOptions {
                    parent: None,
                    ..options.clone()
                };
                let last = row.last_tag_id_before;
                activate_after(settings, &row.policy, last, &alone, watcher)?;
            }
            close(&mut session, &row)?;
            Ok(exceptions)
        }
        _ => Err(PolicyError::refused(
            format!(
                "operation {id} ({}) cannot be taken back once it is done, for pushes since were decided by \
                 what it left: do the opposite by `quay-doctor policy`",
                row.kind.as_column()
            ),
            "`quay-doctor history` shows what the policy was before",
        )),
    }
}

/// Takes a policy out of force that the operation brought in, and opens the operation again: one
/// transaction. A row that somebody has changed is not ours to take away; one that is gone is as
/// good.
fn withdraw(
    session: &mut WriteSession,
    row: &PolicyOperation,
    options: &PolicyOptions,
) -> Result<uuid::Uuid, PolicyError> {
    let mut tx = session.begin()?;
    lock_scope(&mut tx, row.scope)?;
    let table = row.scope.table();
    let text = row.after.clone().unwrap_or(PolicyText(String::new()));
    let inactive = OwnRow {
        text: text.clone(),
        activity: Activity::Inactive,
    };
    let left = if row.options.inactive {
        inactive.clone()
    } else {
        OwnRow {
            text,
            activity: Activity::Active,
        }
    };
    let done = if row.kind == Kind::Create {
        delete_policy(&mut tx, table, &row.policy, &left)?.is_some()
    } else {
        change_policy(&mut tx, table, &row.policy, &left, &inactive)?.is_some()
    };
    if !done && let Some(there) = hold_policy(&mut tx, table, &row.policy)? {
        return Err(PolicyError::Changed {
            operation: row.id,
            policy: row.policy.clone(),
            difference: format!("its text is {}, or it is no longer active", there.text.0),
        });
    }
    undo_images(&mut tx, row)?;
    let fence = open_again(&mut tx, row, &options.who)?;
    tx.commit()?;
    Ok(fence)
}

/// Puts a deleted row back, inactive for now: nobody is decided by it before it is applied to what
/// was pushed meanwhile.
fn put_back(session: &mut WriteSession, row: &PolicyOperation) -> Result<(), PolicyError> {
    let mut tx = session.begin()?;
    lock_scope(&mut tx, row.scope)?;
    let table = row.scope.table();
    if row.kind != Kind::Delete || hold_policy(&mut tx, table, &row.policy)?.is_some() {
        return Ok(());
    }
    let Some(mut image) = image_before(&mut tx, row)? else {
        return Err(PolicyError::Gone(row.policy.clone()));
    };
    image["active"] = Value::Bool(false);
    if !restore_policy(&mut tx, table, &image)? {
        return Err(PolicyError::Gone(row.policy.clone()));
    }
    tx.commit()?;
    Ok(())
}

/// Whether the row that was put back, or is there still, has to come into force again.
fn is_to_be_activated(
    session: &mut WriteSession,
    row: &PolicyOperation,
) -> Result<bool, PolicyError> {
    let mut tx = session.begin()?;
    let image = image_before(&mut tx, row)?;
    let Some(there) = hold_policy(&mut tx, row.scope.table(), &row.policy)? else {
        return Err(PolicyError::Gone(row.policy.clone()));
    };
    if row.before.as_ref() != Some(&there.text) {
        return Err(PolicyError::Changed {
            operation: row.id,
            policy: row.policy.clone(),
            difference: format!("its text is {}", there.text.0),
        });
    }
    let was_active = image.is_some_and(|image| image["active"] != Value::Bool(false));
    Ok(was_active && there.activity == Activity::Inactive)
}

/// Withdraws what the operation declared, once its policy holds the tags again.
fn close(session: &mut WriteSession, row: &PolicyOperation) -> Result<(), PolicyError> {
    let mut tx = session.begin()?;
    withdraw_kept(&mut tx, row.id)?;
    undo_images(&mut tx, row)?;
    close_as_taken_back(&mut tx, row)?;
    tx.commit()?;
    Ok(())
}

fn image_before(
    tx: &mut WriteTransaction<'_>,
    row: &PolicyOperation,
) -> Result<Option<Value>, PolicyError> {
    let changes = changed_policies(tx, row.id)?;
    Ok(changes.into_iter().find_map(|(_, change)| change.before))
}

fn undo_images(tx: &mut WriteTransaction<'_>, row: &PolicyOperation) -> Result<(), PolicyError> {
    for (entry, _) in changed_policies(tx, row.id)? {
        mark_policy_undone(tx, entry)?;
    }
    Ok(())
}

//! Ending a policy's force: deleting it, setting it inactive.

use uuid::Uuid;

use super::activate::entry;
use super::attempt::{First, Opened, carry_out};
use super::begin::{Begin, commit_begin, stated, unowned};
use super::identity::same_request;
use super::outcome::Outcome;
use super::own_row::kept_as_asked;
use super::target::find_policy;
use super::worker::Watcher;
use super::{PolicyError, PolicyOptions};
use crate::config::ConnectionSettings;
use crate::evaluate::{Activity, PolicyRow};
use crate::journal::{
    Kind, Phase, PolicyChange, TagsChoice, record_kept_policy, record_policy_change,
};
use crate::pg::WriteTransaction;
use crate::quay::{AuditKind, PolicyUuid};
use crate::relations::{OwnRow, change_policy, delete_policy, last_tag_id, lock_scope};

/// Deletes a policy; its tags stay immutable, or are released where nothing else holds them.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn delete(
    settings: &ConnectionSettings,
    uuid: &PolicyUuid,
    tags: TagsChoice,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    carry_out(settings, options, watcher, |opened, fence, _| {
        begin_end(opened, fence, Kind::Delete, uuid, tags, options)
    })
}

/// Sets a policy inactive; its tags stay immutable, or are released where nothing else holds them.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn deactivate(
    settings: &ConnectionSettings,
    uuid: &PolicyUuid,
    tags: TagsChoice,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    carry_out(settings, options, watcher, |opened, fence, _| {
        begin_end(opened, fence, Kind::Deactivate, uuid, tags, options)
    })
}

/// Ends a policy's force. The row goes, or goes inactive, first; then whoever read it is waited
/// for; then tags are released. Keeping them is written down as evidence instead.
fn begin_end(
    (session, schema): &mut Opened,
    fence: Uuid,
    kind: Kind,
    uuid: &PolicyUuid,
    tags: TagsChoice,
    options: &PolicyOptions,
) -> Result<First, PolicyError> {
    let mut chosen = stated(options);
    chosen.tags = Some(tags);
    if let Some(ours) = unowned(session, uuid, |op| op.kind == kind)? {
        same_request(&ours, &chosen)?;
        return Ok(First::Left(ours));
    }
    let (row, target) = find_policy(session, *schema, uuid)?;
    if kind == Kind::Deactivate && row.activity == Activity::Inactive {
        return Err(PolicyError::refused(
            format!("policy {uuid} is inactive"),
            "nothing is to be done",
        ));
    }
    let phase = match tags {
        TagsChoice::Keep => Phase::Done,
        TagsChoice::Release => Phase::Releasing,
    };
    let begin = Begin {
        kind,
        phase,
        policy: uuid,
        before: Some(&row.text),
        after: None,
        options: &chosen,
        fence,
    };
    let mut tx = session.begin()?;
    lock_scope(&mut tx, target.scope)?;
    unowned(&mut tx, uuid, |_| false)?;
    let last = last_tag_id(&mut tx)?;
    let created = begin.write(&mut tx, &target, last, options)?;
    let change = end_row(&mut tx, kind, &row)?;
    record_policy_change(&mut tx, created.id, &change)?;
    if tags == TagsChoice::Keep {
        record_kept_policy(&mut tx, created.id, target.scope, &row.text, &options.who)?;
    }
    if options.audit && kind == Kind::Delete {
        let says = serde_json::json!({ "policy_uuid": uuid });
        entry(
            &mut tx,
            &created,
            &target,
            AuditKind::DeleteImmutabilityPolicy,
            says,
        )?;
    }
    commit_begin(tx)?;
    Ok(First::Begun(created, target))
}

/// Deletes the row, or sets it inactive, where it is as it was read.
fn end_row(
    tx: &mut WriteTransaction<'_>,
    kind: Kind,
    row: &PolicyRow,
) -> Result<PolicyChange, PolicyError> {
    let table = row.scope.table();
    let from = OwnRow {
        text: row.text.clone(),
        activity: row.activity,
    };
    let change = if kind == Kind::Delete {
        delete_policy(tx, table, &row.uuid, &from)?.map(|(id, before)| PolicyChange {
            table,
            id,
            before: Some(before),
            after: None,
        })
    } else {
        let to = OwnRow {
            text: row.text.clone(),
            activity: Activity::Inactive,
        };
        match change_policy(tx, table, &row.uuid, &from, &to)? {
            None => None,
            Some(images) => {
                kept_as_asked(&images.after, &row.uuid, &row.text, Activity::Inactive)?;
                Some(PolicyChange {
                    table,
                    id: images.id,
                    before: Some(images.before),
                    after: Some(images.after),
                })
            }
        }
    };
    change.ok_or_else(|| {
        PolicyError::refused(
            format!(
                "policy {} was changed at the same moment by somebody else",
                row.uuid
            ),
            "look at it again: `quay-doctor policy show`",
        )
    })
}

//! Operations on a policy that is there: activating an inactive one, updating an active one.

use uuid::Uuid;

use super::attempt::{First, Opened, carry_out};
use super::begin::{Begin, commit_begin, expiry_is_stated, only, stated, unowned};
use super::identity::same_request;
use super::outcome::Outcome;
use super::own_row::kept_as_asked;
use super::target::find_policy;
use super::validate::validate;
use super::view::glance;
use super::worker::Watcher;
use super::{PolicyError, PolicyOptions, Update};
use crate::config::ConnectionSettings;
use crate::evaluate::{Activity, PolicyRow};
use crate::journal::{Kind, Phase, PolicyChange, record_policy_change};
use crate::pg::Statements;
use crate::quay::{PolicyUuid, StoredPolicy};
use crate::relations::{PolicySchema, insert_policy, last_tag_id, lock_scope, policies};

/// Applies an inactive policy to its tags, and activates it.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn activate(
    settings: &ConnectionSettings,
    uuid: &PolicyUuid,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    carry_out(settings, options, watcher, |opened, fence, watcher| {
        begin_activation(opened, fence, uuid, None, options, watcher)
    })
}

/// Activates a policy again that was in force: only what was pushed after this tag is marked.
pub(super) fn activate_after(
    settings: &ConnectionSettings,
    uuid: &PolicyUuid,
    last_tag: i64,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    carry_out(settings, options, watcher, |opened, fence, watcher| {
        begin_activation(opened, fence, uuid, Some(last_tag), options, watcher)
    })
}

fn begin_activation(
    (session, schema): &mut Opened,
    fence: Uuid,
    uuid: &PolicyUuid,
    only_after: Option<i64>,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<First, PolicyError> {
    let (row, target) = find_policy(session, *schema, uuid)?;
    let mut chosen = stated(options);
    chosen.only_after = only_after;
    if let Some(ours) = unowned(session, uuid, |op| op.kind == Kind::Activate)? {
        same_request(&ours, &chosen)?;
        return Ok(First::Left(ours));
    }
    if row.activity == Activity::Active {
        return Err(PolicyError::refused(
            format!("policy {uuid} is active"),
            "nothing is to be done",
        ));
    }
    if only_after.is_none() {
        let impact = glance(session, &target, &row.text, 0, chosen.can_expire)?;
        expiry_is_stated(&impact, chosen.can_expire)?;
        watcher.expected(impact.become_immutable);
    }
    let begin = Begin {
        kind: Kind::Activate,
        phase: Phase::Applying,
        policy: uuid,
        before: None,
        after: Some(&row.text),
        options: &chosen,
        fence,
    };
    let mut tx = session.begin()?;
    lock_scope(&mut tx, target.scope)?;
    unowned(&mut tx, uuid, |_| false)?;
    let last = last_tag_id(&mut tx)?;
    let created = begin.write(&mut tx, &target, last, options)?;
    super::own_row::compare(&mut tx, &created)?;
    commit_begin(tx)?;
    Ok(First::Begun(created, target))
}

/// Changes a policy; its uuid stays. The new configuration is staged as an inactive row, applied,
/// and swapped in.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn update(
    settings: &ConnectionSettings,
    request: &Update,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    let policy = validate(&request.new)?;
    carry_out(settings, options, watcher, |opened, fence, watcher| {
        begin_update(opened, fence, request, &policy, options, watcher)
    })
}

fn begin_update(
    (session, schema): &mut Opened,
    fence: Uuid,
    request: &Update,
    policy: &StoredPolicy,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<First, PolicyError> {
    let schema = *schema;
    let text = policy.to_text();
    let uuid = &request.policy;
    let (row, target) = find_policy(session, schema, uuid)?;
    let ours = unowned(session, uuid, |op| {
        op.kind == Kind::Update && op.after.as_ref() == Some(&text)
    })?;
    let mut chosen = stated(options);
    chosen.tags = Some(request.unmatched);
    if let Some(ours) = ours {
        same_request(&ours, &chosen)?;
        return Ok(First::Left(ours));
    }
    if row.activity == Activity::Inactive {
        return Err(PolicyError::refused(
            format!("policy {uuid} is inactive"),
            "activate it first, or delete it and create the other",
        ));
    }
    if row.text.parse().as_ref() == Ok(policy) {
        return Err(PolicyError::refused(
            format!("policy {uuid} is like that already"),
            "nothing is to be done",
        ));
    }
    refuse_duplicate(session, schema, &row, policy)?;
    let impact = glance(session, &target, &text, 0, chosen.can_expire)?;
    expiry_is_stated(&impact, chosen.can_expire)?;
    watcher.expected(impact.become_immutable);
    let staged = PolicyUuid(Uuid::new_v4().to_string());
    chosen.staged = Some(staged.clone());
    let begin = Begin {
        kind: Kind::Update,
        phase: Phase::Applying,
        policy: uuid,
        before: Some(&row.text),
        after: Some(&text),
        options: &chosen,
        fence,
    };
    let mut tx = session.begin()?;
    lock_scope(&mut tx, target.scope)?;
    unowned(&mut tx, uuid, |_| false)?;
    refuse_duplicate(&mut tx, schema, &row, policy)?;
    let last = last_tag_id(&mut tx)?;
    let (id, image) = insert_policy(
        &mut tx,
        target.scope,
        target.namespace,
        &staged,
        &text,
        Activity::Inactive,
    )?;
    kept_as_asked(&image, &staged, &text, Activity::Inactive)?;
    let created = begin.write(&mut tx, &target, last, options)?;
    let change = PolicyChange {
        table: target.scope.table(),
        id,
        before: None,
        after: Some(image),
    };
    record_policy_change(&mut tx, created.id, &change)?;
    super::own_row::compare(&mut tx, &created)?;
    commit_begin(tx)?;
    Ok(First::Begun(created, target))
}

/// Another policy of the scope with the new pattern; a change of polarity alone is none.
fn refuse_duplicate(
    pg: &mut impl Statements,
    schema: PolicySchema,
    row: &PolicyRow,
    policy: &StoredPolicy,
) -> Result<(), PolicyError> {
    let other = policies(pg, schema, &only(row.scope))?
        .into_iter()
        .find(|there| {
            there.uuid != row.uuid
                && there
                    .text
                    .parse()
                    .is_ok_and(|p| p.pattern == policy.pattern)
        });
    match other {
        None => Ok(()),
        Some(other) => Err(PolicyError::refused(
            format!(
                "policy {} has the pattern `{}` already",
                other.uuid, policy.pattern
            ),
            "Quay refuses two policies with one pattern in one scope",
        )),
    }
}

//! How operations begin: one transaction each, with the row in the journal.

use uuid::Uuid;

use super::activate::{activate_in, entry, forward};
use super::mark::{lock_all, mark};
use super::outcome::{Ended, Outcome};
use super::safeguard::point;
use super::target::{Target, find, find_policy};
use super::validate::validate;
use super::view::{Impact, impact};
use super::walk::Work;
use super::worker::{Watcher, Worker, open};
use super::{Create, PolicyError, PolicyOptions, Strategy, Update};
use crate::config::ConnectionSettings;
use crate::evaluate::{Activity, PolicyRow, Stated};
use crate::journal::{
    Kind, NewOperation, OperationOptions, Phase, PolicyChange, PolicyOperation, TagsChoice,
    begin_operation, hold_liveness, operation, operation_by_fence, owner_of, record_kept_policy,
    record_policy_change, take_over,
};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::{AuditKind, PolicyText, PolicyUuid, Scope, StoredPolicy};
use crate::relations::{
    OwnRow, PoliciesOf, PolicySchema, change_policy, delete_policy, insert_policy, last_tag_id,
    lock_scope, policies,
};

/// Up to so many tags are marked in one transaction, where the choice is left to us.
const ATOMIC_UP_TO: u64 = 500;

type Opened = (WriteSession, PolicySchema);

/// Creates a policy. The same command started again goes on with its own unfinished operation.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn create(
    settings: &ConnectionSettings,
    request: &Create,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    let policy = validate(&request.new)?;
    let (mut session, schema) = open(settings)?;
    let target = find(&mut session, &request.pick)?;
    match standing(&mut session, schema, target.scope, &policy)? {
        Standing::Free => {}
        Standing::Taken(row) => return taken(&row, &policy, request),
        Standing::Owned(operation) => {
            let text = operation.after.clone();
            let ours = operation.kind == Kind::Create && text == Some(policy.to_text());
            if !ours {
                return Err(owned(&operation));
            }
            return go_on(settings, (session, schema), operation, options, watcher);
        }
    }
    let text = policy.to_text();
    let uuid = PolicyUuid(Uuid::new_v4().to_string());
    let fence = Uuid::new_v4();
    let stated = stated(options);
    let mut impact = Impact::default();
    if !request.inactive {
        impact = self::impact(&mut session, &target, &text)?;
        expiry_is_stated(&impact, stated.can_expire)?;
    }
    let atomic = !request.inactive && is_atomic(options.strategy, &impact);
    let mut operation_options = stated;
    operation_options.inactive = request.inactive;
    operation_options.strategy = if atomic {
        Strategy::Atomic
    } else {
        Strategy::Phased
    }
    .name()
    .to_owned();
    let begin = Begin {
        kind: Kind::Create,
        phase: if request.inactive {
            Phase::Done
        } else {
            Phase::Applying
        },
        policy: &uuid,
        before: None,
        after: Some(&text),
        options: &operation_options,
        fence,
    };
    let started = (|| {
        let mut tx = session.begin()?;
        lock_scope(&mut tx, target.scope)?;
        if let Standing::Taken(_) | Standing::Owned(_) =
            standing(&mut tx, schema, target.scope, &policy)?
        {
            return Err(PolicyError::refused(
                "the same policy was created at the same moment by somebody else",
                "`quay-doctor policy list` shows it",
            ));
        }
        let last = last_tag_id(&mut tx)?;
        let (id, row) = insert_policy(
            &mut tx,
            target.scope,
            target.namespace,
            &uuid,
            &text,
            Activity::Inactive,
        )?;
        let created = begin.write(&mut tx, &target, last, options)?;
        let change = PolicyChange {
            table: target.scope.table(),
            id,
            before: None,
            after: Some(row),
        };
        record_policy_change(&mut tx, created.id, &change)?;
        let created = if atomic {
            apply_at_once(&mut tx, created, &target, &text, options)?
        } else {
            created
        };
        point("before-begin-commits");
        tx.commit()?;
        point("after-begin");
        Ok(created)
    })();
    let created = begun(settings, &mut session, started, fence, request.inactive)?;
    drive(settings, (session, schema), created, options, watcher)
}

/// What there is already of a configuration.
enum Standing {
    Free,
    /// A row with the same pattern, that no operation owns.
    Taken(PolicyRow),
    Owned(Box<PolicyOperation>),
}

/// Quay's duplicate: the same pattern in the same scope, whatever `matches` says
/// (immutability.py:278-312). An operation's own leftover is no duplicate but an operation.
fn standing(
    pg: &mut impl crate::pg::Statements,
    schema: PolicySchema,
    scope: Scope,
    policy: &StoredPolicy,
) -> Result<Standing, PolicyError> {
    let same = policies(pg, schema, &only(scope))?.into_iter().find(|row| {
        row.text
            .parse()
            .is_ok_and(|there| there.pattern == policy.pattern)
    });
    let Some(row) = same else {
        return Ok(Standing::Free);
    };
    Ok(match owner_of(pg, &row.uuid)? {
        Some(operation) => Standing::Owned(Box::new(operation)),
        None => Standing::Taken(row),
    })
}

fn only(scope: Scope) -> PoliciesOf {
    match scope {
        Scope::Namespace(id) => PoliciesOf::Scopes {
            repositories: vec![],
            namespaces: vec![id],
        },
        Scope::Repository(id) => PoliciesOf::Scopes {
            repositories: vec![id],
            namespaces: vec![],
        },
    }
}

fn taken(row: &PolicyRow, policy: &StoredPolicy, request: &Create) -> Result<Outcome, PolicyError> {
    let equal = row.text.parse().as_ref() == Ok(policy);
    if request.if_absent && equal && row.activity == Activity::Active {
        return Ok(Outcome {
            operation: None,
            policy: row.uuid.clone(),
            ended: Ended::AlreadyThere,
            strategy: String::new(),
            sums: crate::journal::Sums::default(),
            past_expiries: 0,
            seconds: 0.0,
        });
    }
    let (is, help) = match (row.activity, equal) {
        (Activity::Active, true) => ("is active", "with --if-absent that is as good".to_owned()),
        (Activity::Active, false) => (
            "is active the other way round",
            format!("change it: `quay-doctor policy update {}`", row.uuid),
        ),
        (Activity::Inactive, _) => (
            "is inactive",
            format!("activate it: `quay-doctor policy activate {}`", row.uuid),
        ),
    };
    Err(PolicyError::refused(
        format!(
            "policy {} has the pattern `{}` there already, and {is}",
            row.uuid, policy.pattern
        ),
        help,
    ))
}

fn owned(operation: &PolicyOperation) -> PolicyError {
    PolicyError::refused(
        format!(
            "operation {} has not ended and owns this policy",
            operation.id
        ),
        "`quay-doctor recover` finishes it or takes it back",
    )
}

/// Refuses a policy that an unfinished operation owns; lets the same command go on with its own.
fn unowned(
    pg: &mut impl crate::pg::Statements,
    uuid: &PolicyUuid,
    ours: impl Fn(&PolicyOperation) -> bool,
) -> Result<Option<PolicyOperation>, PolicyError> {
    match owner_of(pg, uuid)? {
        None => Ok(None),
        Some(operation) if ours(&operation) => Ok(Some(operation)),
        Some(operation) => Err(owned(&operation)),
    }
}

/// Goes on with an unfinished operation of the same command: its worker must be gone.
fn go_on(
    settings: &ConnectionSettings,
    (mut session, schema): Opened,
    found: impl Into<PolicyOperation>,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    let mut found: PolicyOperation = found.into();
    if !hold_liveness(&mut session, found.id)? {
        return Err(PolicyError::Live {
            operation: found.id,
            worker: found.worker,
        });
    }
    let mut tx = session.begin()?;
    found.fence = take_over(&mut tx, &found, &options.who.worker)?;
    tx.commit()?;
    let Some(fresh) = operation(&mut session, found.id)? else {
        return Err(PolicyError::NeverBegun(found.id));
    };
    drive(settings, (session, schema), fresh, options, watcher)
}

impl From<Box<PolicyOperation>> for PolicyOperation {
    fn from(boxed: Box<PolicyOperation>) -> Self {
        *boxed
    }
}

pub(super) fn drive(
    settings: &ConnectionSettings,
    opened: Opened,
    operation: PolicyOperation,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    Worker::new(settings, opened, operation, options, watcher)?.drive()
}

/// The row that an operation begins with.
struct Begin<'a> {
    kind: Kind,
    phase: Phase,
    policy: &'a PolicyUuid,
    before: Option<&'a PolicyText>,
    after: Option<&'a PolicyText>,
    options: &'a OperationOptions,
    fence: Uuid,
}

impl Begin<'_> {
    /// Writes the row, and holds the liveness lock from before it can be seen.
    fn write(
        &self,
        tx: &mut WriteTransaction<'_>,
        target: &Target,
        last_tag_id_before: i64,
        options: &PolicyOptions,
    ) -> Result<PolicyOperation, PolicyError> {
        let new = NewOperation {
            kind: self.kind,
            phase: self.phase,
            scope: target.scope,
            names: target.names(),
            policy: self.policy,
            before: self.before,
            after: self.after,
            options: self.options,
            last_tag_id_before,
            fence: self.fence,
        };
        let id = begin_operation(tx, &new, &options.who)?;
        if !hold_liveness(tx, id)? {
            return Err(PolicyError::LivenessLost(id));
        }
        operation(tx, id)?.ok_or(PolicyError::NeverBegun(id))
    }
}

/// Settles a lost answer to the first COMMIT: the row is there, or the operation never began.
fn begun(
    settings: &ConnectionSettings,
    session: &mut WriteSession,
    started: Result<PolicyOperation, PolicyError>,
    fence: Uuid,
    ended: bool,
) -> Result<PolicyOperation, PolicyError> {
    let error = match started {
        Err(error) if error.is_connection() => error,
        other => return other,
    };
    let (mut fresh, _) = open(settings)?;
    match operation_by_fence(&mut fresh, fence)? {
        None => Err(error),
        Some(found) if ended => Ok(found),
        Some(found) => {
            for attempt in 0..50 {
                if hold_liveness(&mut fresh, found.id)? {
                    *session = fresh;
                    return Ok(found);
                }
                std::thread::sleep(super::worker::back_off(attempt));
            }
            Err(error)
        }
    }
}

/// Everything up to activation in the transaction that begins the operation.
fn apply_at_once(
    tx: &mut WriteTransaction<'_>,
    mut operation: PolicyOperation,
    target: &Target,
    text: &PolicyText,
    options: &PolicyOptions,
) -> Result<PolicyOperation, PolicyError> {
    let matching = super::view::matching(tx, target, text)?;
    let repositories: Vec<_> = matching.iter().map(|(repository, _)| *repository).collect();
    lock_all(tx, &repositories)?;
    let mut step = forward(Phase::Sweeping);
    for (_, tags) in &matching {
        let marked = mark(tx, &operation, options, Work::Mark, tags)?;
        step.sums.matched += marked.sums.matched;
        step.sums.changed += marked.sums.changed;
        step.sums.expirations_cleared += marked.sums.expirations_cleared;
    }
    step.sums.batches = 1;
    activate_in(tx, &operation, target, text, operation.options.audit)?;
    crate::journal::advance(tx, &operation, &step)?;
    operation.phase = step.phase;
    operation.sums = step.sums;
    Ok(operation)
}

fn is_atomic(strategy: Strategy, impact: &Impact) -> bool {
    match strategy {
        Strategy::Atomic => true,
        Strategy::Phased => false,
        Strategy::Auto => impact.become_immutable <= ATOMIC_UP_TO,
    }
}

fn stated(options: &PolicyOptions) -> OperationOptions {
    OperationOptions {
        can_expire: match options.features.can_expire {
            Stated::On => Some(true),
            Stated::Off => Some(false),
            Stated::Unknown => None,
        },
        quay_knows_active: options.quay_knows_active,
        audit: options.audit,
        strategy: Strategy::Phased.name().to_owned(),
        ..OperationOptions::default()
    }
}

fn expiry_is_stated(impact: &Impact, can_expire: Option<bool>) -> Result<(), PolicyError> {
    if impact.expiring > 0 && can_expire.is_none() {
        return Err(PolicyError::ExpiryNotStated {
            tags: impact.expiring,
        });
    }
    Ok(())
}

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
    let (mut session, schema) = open(settings)?;
    let (row, target) = find_policy(&mut session, schema, uuid)?;
    if let Some(ours) = unowned(&mut session, uuid, |op| op.kind == Kind::Activate)? {
        return go_on(settings, (session, schema), ours, options, watcher);
    }
    if row.activity == Activity::Active {
        return Err(PolicyError::refused(
            format!("policy {uuid} is active"),
            "nothing is to be done",
        ));
    }
    let impact = impact(&mut session, &target, &row.text)?;
    let chosen = stated(options);
    expiry_is_stated(&impact, chosen.can_expire)?;
    let fence = Uuid::new_v4();
    let begin = Begin {
        kind: Kind::Activate,
        phase: Phase::Applying,
        policy: uuid,
        before: None,
        after: Some(&row.text),
        options: &chosen,
        fence,
    };
    let started = (|| {
        let mut tx = session.begin()?;
        lock_scope(&mut tx, target.scope)?;
        unowned(&mut tx, uuid, |_| false)?;
        let last = last_tag_id(&mut tx)?;
        let created = begin.write(&mut tx, &target, last, options)?;
        super::own_row::compare(&mut tx, &created)?;
        point("before-begin-commits");
        tx.commit()?;
        point("after-begin");
        Ok(created)
    })();
    let created = begun(settings, &mut session, started, fence, false)?;
    drive(settings, (session, schema), created, options, watcher)
}

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
    end_policy(settings, Kind::Delete, uuid, tags, options, watcher)
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
    end_policy(settings, Kind::Deactivate, uuid, tags, options, watcher)
}

/// Ends a policy's force. The row goes, or goes inactive, first; then whoever read it is waited
/// for; then tags are released. Keeping them is written down as evidence instead.
fn end_policy(
    settings: &ConnectionSettings,
    kind: Kind,
    uuid: &PolicyUuid,
    tags: TagsChoice,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    let (mut session, schema) = open(settings)?;
    if let Some(ours) = unowned(&mut session, uuid, |op| op.kind == kind)? {
        return go_on(settings, (session, schema), ours, options, watcher);
    }
    let (row, target) = find_policy(&mut session, schema, uuid)?;
    if kind == Kind::Deactivate && row.activity == Activity::Inactive {
        return Err(PolicyError::refused(
            format!("policy {uuid} is inactive"),
            "nothing is to be done",
        ));
    }
    let mut chosen = stated(options);
    chosen.tags = Some(tags);
    let fence = Uuid::new_v4();
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
    let started = (|| {
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
        point("before-begin-commits");
        tx.commit()?;
        point("after-begin");
        Ok(created)
    })();
    let created = begun(settings, &mut session, started, fence, phase == Phase::Done)?;
    drive(settings, (session, schema), created, options, watcher)
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
        change_policy(tx, table, &row.uuid, &from, &to)?.map(|images| PolicyChange {
            table,
            id: images.id,
            before: Some(images.before),
            after: Some(images.after),
        })
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
    let text = policy.to_text();
    let uuid = &request.policy;
    let (mut session, schema) = open(settings)?;
    let (row, target) = find_policy(&mut session, schema, uuid)?;
    let ours = unowned(&mut session, uuid, |op| {
        op.kind == Kind::Update && op.after.as_ref() == Some(&text)
    })?;
    if let Some(ours) = ours {
        return go_on(settings, (session, schema), ours, options, watcher);
    }
    if row.activity == Activity::Inactive {
        return Err(PolicyError::refused(
            format!("policy {uuid} is inactive"),
            "activate it first, or delete it and create the other",
        ));
    }
    if row.text.parse().as_ref() == Ok(&policy) {
        return Err(PolicyError::refused(
            format!("policy {uuid} is like that already"),
            "nothing is to be done",
        ));
    }
    refuse_duplicate(&mut session, schema, &row, &policy)?;
    let impact = impact(&mut session, &target, &text)?;
    let mut chosen = stated(options);
    expiry_is_stated(&impact, chosen.can_expire)?;
    let staged = PolicyUuid(Uuid::new_v4().to_string());
    chosen.staged = Some(staged.clone());
    chosen.tags = Some(request.unmatched);
    let fence = Uuid::new_v4();
    let begin = Begin {
        kind: Kind::Update,
        phase: Phase::Applying,
        policy: uuid,
        before: Some(&row.text),
        after: Some(&text),
        options: &chosen,
        fence,
    };
    let started = (|| {
        let mut tx = session.begin()?;
        lock_scope(&mut tx, target.scope)?;
        unowned(&mut tx, uuid, |_| false)?;
        refuse_duplicate(&mut tx, schema, &row, &policy)?;
        let last = last_tag_id(&mut tx)?;
        let (id, image) = insert_policy(
            &mut tx,
            target.scope,
            target.namespace,
            &staged,
            &text,
            Activity::Inactive,
        )?;
        let created = begin.write(&mut tx, &target, last, options)?;
        let change = PolicyChange {
            table: target.scope.table(),
            id,
            before: None,
            after: Some(image),
        };
        record_policy_change(&mut tx, created.id, &change)?;
        super::own_row::compare(&mut tx, &created)?;
        point("before-begin-commits");
        tx.commit()?;
        point("after-begin");
        Ok(created)
    })();
    let created = begun(settings, &mut session, started, fence, false)?;
    drive(settings, (session, schema), created, options, watcher)
}

/// Another policy of the scope with the new pattern; a change of polarity alone is none.
fn refuse_duplicate(
    pg: &mut impl crate::pg::Statements,
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

//! How operations begin: one transaction each, with the row in the journal.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::outcome::{Ended, Outcome};
use super::safeguard::point;
use super::target::{Target, target_of_scope};
use super::view::Impact;
use super::worker::{Watcher, Worker, back_off, open};
use super::{PolicyError, PolicyOptions, Strategy};
use crate::config::ConnectionSettings;
use crate::evaluate::Stated;
use crate::journal::{
    Kind, NewOperation, OperationOptions, Phase, PolicyOperation, begin_operation, hold_liveness,
    operation, operation_by_fence, owner_of, take_over,
};
use crate::pg::{Statements, WriteSession, WriteTransaction};
use crate::quay::{PolicyText, PolicyUuid, Scope};
use crate::relations::{PoliciesOf, PolicySchema};

pub(super) type Opened = (WriteSession, PolicySchema);

pub(super) fn only(scope: Scope) -> PoliciesOf {
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

pub(super) fn owned(operation: &PolicyOperation) -> PolicyError {
    PolicyError::refused(
        format!(
            "operation {} has not ended and owns this policy",
            operation.id
        ),
        "`quay-doctor recover` finishes it or takes it back",
    )
}

/// Refuses a policy that an unfinished operation owns; lets the same command go on with its own.
pub(super) fn unowned(
    pg: &mut impl Statements,
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
pub(super) fn go_on(
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
    point("before-take-over-commits");
    tx.commit()?;
    point("after-take-over");
    let Some(fresh) = operation(&mut session, found.id)? else {
        return Err(PolicyError::NeverBegun(found.id));
    };
    let target = target_of_scope(&mut session, fresh.scope)?;
    drive(
        settings,
        (session, schema),
        (fresh, target),
        options,
        watcher,
    )
}

impl From<Box<PolicyOperation>> for PolicyOperation {
    fn from(boxed: Box<PolicyOperation>) -> Self {
        *boxed
    }
}

pub(super) fn drive(
    settings: &ConnectionSettings,
    opened: Opened,
    (operation, target): (PolicyOperation, Target),
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    Worker::new(settings, opened, operation, target, options, watcher).drive()
}

/// Commits the transaction that begins an operation.
pub(super) fn commit_begin(tx: WriteTransaction<'_>) -> Result<(), PolicyError> {
    point("before-begin-commits");
    tx.commit()?;
    point("after-begin");
    Ok(())
}

/// Goes on from the transaction that began an operation, once it is known whether it did.
pub(super) fn carry_on(
    settings: &ConnectionSettings,
    (mut session, schema): Opened,
    started: Result<PolicyOperation, PolicyError>,
    (fence, target): (Uuid, Target),
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    let patience = options.reconnect_for;
    let created = begun(settings, &mut session, started, fence, patience)?;
    drive(
        settings,
        (session, schema),
        (created, target),
        options,
        watcher,
    )
}

/// Once more where an earlier run of the same command was being taken back, and is now.
pub(super) fn anew(
    mut once: impl FnMut() -> Result<Outcome, PolicyError>,
) -> Result<Outcome, PolicyError> {
    let outcome = once()?;
    if outcome.ended == Ended::RolledBack {
        return once();
    }
    Ok(outcome)
}

/// The row that an operation begins with.
pub(super) struct Begin<'a> {
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    pub(super) policy: &'a PolicyUuid,
    pub(super) before: Option<&'a PolicyText>,
    pub(super) after: Option<&'a PolicyText>,
    pub(super) options: &'a OperationOptions,
    pub(super) fence: Uuid,
}

impl Begin<'_> {
    /// Writes the row, and holds the liveness lock from before it can be seen.
    pub(super) fn write(
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
            parent: options.parent,
            fence: self.fence,
        };
        let id = begin_operation(tx, &new, &options.who)?;
        if !hold_liveness(tx, id)? {
            return Err(PolicyError::LivenessLost(id));
        }
        operation(tx, id)?.ok_or(PolicyError::NeverBegun(id))
    }
}

/// Settles a lost answer to the first COMMIT: the row is there, or the operation never began. For
/// as long as the server does not say which, nobody knows.
fn begun(
    settings: &ConnectionSettings,
    session: &mut WriteSession,
    started: Result<PolicyOperation, PolicyError>,
    fence: Uuid,
    patience: Duration,
) -> Result<PolicyOperation, PolicyError> {
    let mut error = match started {
        Err(error) if error.is_connection() => error,
        other => return other,
    };
    let begun = Instant::now();
    let mut attempt = 0;
    while begun.elapsed() < patience {
        attempt += 1;
        std::thread::sleep(back_off(attempt));
        match find_begun(settings, fence) {
            Ok(None) => return Err(error),
            Ok(Some((fresh, found))) => {
                *session = fresh;
                return Ok(found);
            }
            Err(again) if again.is_connection() => error = again,
            Err(other) => return Err(other),
        }
    }
    Err(error)
}

fn find_begun(
    settings: &ConnectionSettings,
    fence: Uuid,
) -> Result<Option<(WriteSession, PolicyOperation)>, PolicyError> {
    let (mut fresh, _) = open(settings)?;
    let Some(found) = operation_by_fence(&mut fresh, fence)? else {
        return Ok(None);
    };
    let ended = matches!(found.phase, Phase::Done | Phase::RolledBack);
    // The lost connection holds the lock until the server notices.
    if !ended && !hold_liveness(&mut fresh, found.id)? {
        return Err(PolicyError::LivenessLost(found.id));
    }
    Ok(Some((fresh, found)))
}

pub(super) fn stated(options: &PolicyOptions) -> OperationOptions {
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

pub(super) fn expiry_is_stated(
    impact: &Impact,
    can_expire: Option<bool>,
) -> Result<(), PolicyError> {
    if impact.expiring > 0 && can_expire.is_none() {
        return Err(PolicyError::ExpiryNotStated {
            tags: impact.expiring,
        });
    }
    Ok(())
}

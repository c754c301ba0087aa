//! How operations begin: one transaction each, with the row in the journal.

use uuid::Uuid;

use super::target::Target;
use super::view::Impact;
use super::{PolicyError, PolicyOptions, Strategy};
use crate::evaluate::Stated;
use crate::journal::{
    Kind, NewOperation, OperationOptions, Phase, PolicyOperation, begin_operation, hold_liveness,
    operation, owner_of,
};
use crate::pg::{Statements, WriteTransaction};
use crate::quay::{PolicyText, PolicyUuid, Scope};
use crate::relations::{PoliciesOf, last_log_entry};

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

/// Commits the transaction that begins an operation.
pub(super) fn commit_begin(tx: WriteTransaction<'_>) -> Result<(), PolicyError> {
    tx.commit()?;
    Ok(())
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
        let mut chosen = self.options.clone();
        chosen.last_entry_before = last_log_entry(tx)?;
        let new = NewOperation {
            kind: self.kind,
            phase: self.phase,
            scope: target.scope,
            names: target.names(),
            policy: self.policy,
            before: self.before,
            after: self.after,
            options: &chosen,
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

pub(super) fn stated(options: &PolicyOptions) -> OperationOptions {
    OperationOptions {
        can_expire: match options.features.can_expire {
            Stated::On => Some(true),
            Stated::Off => Some(false),
            Stated::Unknown => None,
        },
        quay_knows_active: options.quay_knows_active,
        audit: options.audit,
        restore_past_expiry: Some(options.restore_past_expiry),
        clock_margin_ms: i64::try_from(options.clock_margin.as_millis()).ok(),
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

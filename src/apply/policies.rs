//! Corrections of policy rows: one transaction a row.

use super::ApplyError;
use super::run::Site;
use crate::correction::{Correction, Planned};
use crate::evaluate::{
    Evaluator, Moment, PolicyBook, PolicySubject, Registry, Strictness, Subject,
};
use crate::journal::{
    FixTotals, Phase, PolicyChange, liveness_held, policy_standings, record_policy_change,
    unfinished_operations,
};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::Scope;
use crate::relations::{PoliciesOf, delete_inactive_policy, policies, server_clock};

/// Corrects a policy's row where its precondition still holds; what the run's sums gain.
pub(super) fn correct(
    session: &mut WriteSession,
    site: &Site<'_>,
    planned: &Planned,
) -> Result<FixTotals, ApplyError> {
    let mut totals = FixTotals {
        batches: 1,
        ..FixTotals::default()
    };
    let mut tx = session.begin()?;
    match change(&mut tx, site, planned)? {
        Some(change) => {
            record_policy_change(&mut tx, site.run.id, &change)?;
            totals.applied = 1;
        }
        None => {
            // What was tried on the row goes with the transaction.
            drop(tx);
            tx = session.begin()?;
            totals.skipped = 1;
        }
    }
    if !liveness_held(&mut tx, site.run.id)? {
        return Err(ApplyError::LivenessLost(site.run.id));
    }
    site.run.advance(&mut tx, Phase::Applying, &totals)?;
    tx.commit()?;
    Ok(totals)
}

/// Makes the change. `None` where the precondition does not hold: the transaction is then of no
/// use any more.
pub(super) fn change(
    tx: &mut WriteTransaction<'_>,
    site: &Site<'_>,
    planned: &Planned,
) -> Result<Option<PolicyChange>, ApplyError> {
    let Correction::DeletePolicy(policy) = &planned.correction else {
        return Ok(None);
    };
    let table = policy.scope.table();
    // The row is deleted first and judged after: from here on nobody else can change it.
    let of = match policy.scope {
        Scope::Namespace(id) => PoliciesOf::Scopes {
            repositories: vec![],
            namespaces: vec![id],
        },
        Scope::Repository(id) => PoliciesOf::Scopes {
            repositories: vec![id],
            namespaces: vec![],
        },
    };
    let rows = policies(tx, site.schema, &of)?;
    let before = delete_inactive_policy(tx, table, policy.id, &policy.uuid)?;
    let operations = unfinished_operations(tx)?;
    let standings = policy_standings(tx, &operations)?;
    let moment = Moment {
        now: server_clock(tx)?,
        stale_after: site.options.stale_after,
        features: site.options.features,
        strictness: Strictness::Lenient,
    };
    let registry = Registry::default();
    let book = PolicyBook::new(rows);
    let mut evaluator = Evaluator::new(site.rules.rules(), &registry, &book, moment);
    let stale = evaluator
        .policies(|row| standings.get(&row.uuid).cloned().unwrap_or_default())
        .iter()
        .any(|violation| {
            violation.rule == planned.rule && is_as_expected(&violation.subject, policy)
        });
    let before = before.filter(|_| stale);
    Ok(before.map(|before| PolicyChange {
        table,
        id: policy.id,
        before: Some(before),
        after: None,
    }))
}

/// Whether a policy is still the one that somebody looked at.
fn is_as_expected(now: &Subject, expected: &PolicySubject) -> bool {
    matches!(now, Subject::Policy(now) if now.uuid == expected.uuid
        && now.scope == expected.scope && now.pattern == expected.pattern)
}

//! Corrections of policy rows: one transaction a row.

use super::ApplyError;
use super::run::Site;
use crate::evaluate::{
    Evaluator, Moment, PolicyBook, PolicySubject, Registry, Strictness, Subject,
};
use crate::journal::{
    FixTotals, Phase, PolicyChange, liveness_held, policy_standings, record_policy_change,
    unfinished_operations,
};
use crate::pg::WriteSession;
use crate::quay::Scope;
use crate::relations::{PoliciesOf, delete_inactive_policy, policies, server_clock};
use crate::rules::RuleId;

/// Whether a policy is still the one that somebody looked at.
fn is_as_expected(now: &Subject, expected: &PolicySubject) -> bool {
    matches!(now, Subject::Policy(now) if now.uuid == expected.uuid
        && now.scope == expected.scope && now.pattern == expected.pattern)
}

/// Deletes an inactive policy that still violates the rule; what the run's sums gain.
pub(super) fn delete(
    session: &mut WriteSession,
    site: &Site<'_>,
    rule: &RuleId,
    policy: &PolicySubject,
) -> Result<FixTotals, ApplyError> {
    let mut tx = session.begin()?;
    let table = policy.scope.table();
    // The row is deleted first and judged after: from here on nobody else can change it. Judged
    // sound, the transaction is dropped and the row was never gone.
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
    let rows = policies(&mut tx, site.schema, &of)?;
    let before = delete_inactive_policy(&mut tx, table, policy.id, &policy.uuid)?;
    let operations = unfinished_operations(&mut tx)?;
    let standings = policy_standings(&mut tx, &operations)?;
    let moment = Moment {
        now: server_clock(&mut tx)?,
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
        .any(|violation| violation.rule == *rule && is_as_expected(&violation.subject, policy));
    let mut totals = FixTotals {
        batches: 1,
        ..FixTotals::default()
    };
    let (Some(before), true) = (before, stale) else {
        drop(tx);
        totals.skipped = 1;
        let mut tx = session.begin()?;
        site.run.advance(&mut tx, Phase::Applying, &totals)?;
        tx.commit()?;
        return Ok(totals);
    };
    totals.applied = 1;
    let change = PolicyChange {
        table,
        id: policy.id,
        before: Some(before),
        after: None,
    };
    record_policy_change(&mut tx, site.run.id, &change)?;
    if !liveness_held(&mut tx, site.run.id)? {
        return Err(ApplyError::LivenessLost(site.run.id));
    }
    site.run.advance(&mut tx, Phase::Applying, &totals)?;
    tx.commit()?;
    Ok(totals)
}

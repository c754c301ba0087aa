//! Corrections of policy rows: one transaction a row.

use super::run::Site;
use super::{ApplyError, ApplyOptions};
use crate::evaluate::{
    Evaluator, Moment, PolicyBook, PolicyRow, PolicySubject, Registry, Strictness, Subject,
};
use crate::journal::{
    FixTotals, Phase, PolicyChange, liveness_held, policy_standings, record_policy_change,
    unfinished_operations,
};
use crate::pg::{Statements, WriteSession};
use crate::quay::Scope;
use crate::relations::{PoliciesOf, PolicySchema, delete_inactive_policy, policies, server_clock};
use crate::rules::{Catalogue, RuleId};

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
    let rows = policies(&mut tx, site.schema, &of_scope(policy.scope))?;
    let before = delete_inactive_policy(&mut tx, table, policy.id, &policy.uuid)?;
    let stale = judged(&mut tx, site.rules, site.options, rows, rule, policy)?;
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

/// Whether a policy still violates the rule, for whoever only looks.
pub(super) fn still_wrong(
    pg: &mut impl Statements,
    rules: &Catalogue,
    options: &ApplyOptions,
    schema: PolicySchema,
    rule: &RuleId,
    policy: &PolicySubject,
) -> Result<bool, ApplyError> {
    let rows = policies(pg, schema, &of_scope(policy.scope))?;
    judged(pg, rules, options, rows, rule, policy)
}

fn of_scope(scope: Scope) -> PoliciesOf {
    let (repositories, namespaces) = match scope {
        Scope::Namespace(id) => (vec![], vec![id]),
        // The column that is asked is the repository's.
        Scope::Repository(id) => (vec![id], vec![]),
    };
    PoliciesOf::Scopes {
        repositories,
        namespaces,
    }
}

/// Judges a policy among these rows, with the journal as it is now.
fn judged(
    pg: &mut impl Statements,
    rules: &Catalogue,
    options: &ApplyOptions,
    rows: Vec<PolicyRow>,
    rule: &RuleId,
    policy: &PolicySubject,
) -> Result<bool, ApplyError> {
    let operations = unfinished_operations(pg)?;
    let standings = policy_standings(pg, &operations)?;
    let moment = Moment {
        now: server_clock(pg)?,
        stale_after: options.stale_after,
        features: options.features,
        strictness: Strictness::Lenient,
    };
    let registry = Registry::default();
    let book = PolicyBook::new(rows);
    let mut evaluator = Evaluator::new(rules.rules(), &registry, &book, moment);
    Ok(evaluator
        .policies(|row| standings.get(&row.uuid).cloned().unwrap_or_default())
        .iter()
        .any(|violation| violation.rule == *rule && is_as_expected(&violation.subject, policy)))
}

//! Corrections of policy rows: one transaction a row.

use backon::BlockingRetryable as _;

use super::ApplyError;
use super::run::{ATTEMPTS, Site, again_each_time};
use crate::correction::{Correction, Planned};
use crate::evaluate::{
    Activity, Evaluator, Moment, Namespace, PolicyBook, PolicyRow, PolicySubject, Registry,
    Strictness, Subject,
};
use crate::journal::{
    FixTotals, Part, Phase, PolicyChange, liveness_held, policy_standings, record_policy_change,
    unfinished_operations,
};
use crate::pg::{PgError, WriteSession, WriteTransaction};
use crate::quay::Scope;
use crate::relations::{
    PoliciesOf, PolicySchema, hold_policies, move_policy, namespace_name, registry_of,
    remove_policy, server_clock,
};
use crate::retry::attempts;

/// Corrects a policy's row; what the run's sums gain. Whoever is in the way is waited for.
pub(super) fn correct(
    session: &mut WriteSession,
    site: &Site<'_>,
    planned: &Planned,
) -> Result<FixTotals, ApplyError> {
    let once = || attempt(session, site, planned);
    once.retry(attempts(ATTEMPTS))
        .when(again_each_time())
        .call()
}

fn attempt(
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
        None => totals.skipped = 1,
    }
    if !liveness_held(&mut tx, site.run.id, Part::Lead)? {
        return Err(ApplyError::LivenessLost(site.run.id));
    }
    site.run.advance(&mut tx, Phase::Applying, &totals)?;
    tx.commit()?;
    Ok(totals)
}

/// Makes the change where its precondition holds under lock; none where it does not.
pub(super) fn change(
    tx: &mut WriteTransaction<'_>,
    site: &Site<'_>,
    planned: &Planned,
) -> Result<Option<PolicyChange>, ApplyError> {
    let Some(expected) = planned.correction.policy() else {
        return Ok(None);
    };
    // The rows are held before operations are read: one that begins on them meanwhile holds its row
    // from before it can be seen.
    let held = Held::of(tx, expected.scope, site.schema)?;
    let Some((row, is)) = held.violating(tx, site, planned, expected)? else {
        return Ok(None);
    };
    if is.owner.is_some() || is.text != expected.text || is.activity != expected.activity {
        return Ok(None);
    }
    let (table, id) = (is.scope.table(), is.id);
    let gone = |before: Option<serde_json::Value>| {
        before.map(|before| PolicyChange {
            table,
            id,
            before: Some(before),
            after: None,
        })
    };
    Ok(match &planned.correction {
        Correction::DeletePolicy(_) if is.activity == Activity::Inactive => {
            gone(remove_policy(tx, table, id, &is.text)?)
        }
        Correction::Merge(..) | Correction::DeleteCovered(..) if is.stand_in().is_some() => {
            gone(remove_policy(tx, table, id, &is.text)?)
        }
        Correction::MendNamespace(_) => match held.namespace_wanted(is.scope) {
            Some(to) => move_policy(tx, id, &is.uuid, row.namespace, to)?.map(|(before, after)| {
                PolicyChange {
                    table,
                    id,
                    before: Some(before),
                    after: Some(after),
                }
            }),
            None => None,
        },
        _ => None,
    })
}

/// The policies that decide in a scope, held until the transaction ends, and its names.
pub(super) struct Held {
    registry: Registry,
    rows: Vec<PolicyRow>,
}

impl Held {
    pub(super) fn of(
        tx: &mut WriteTransaction<'_>,
        scope: Scope,
        schema: PolicySchema,
    ) -> Result<Self, PgError> {
        let (registry, of) = match scope {
            Scope::Namespace(id) => {
                let mut registry = Registry::default();
                let name = namespace_name(tx, id)?;
                registry.namespaces.insert(id, Namespace { name });
                let of = PoliciesOf::Scopes {
                    repositories: vec![],
                    namespaces: vec![id],
                };
                (registry, of)
            }
            Scope::Repository(id) => {
                let registry = registry_of(tx, &[id])?;
                let of = PoliciesOf::Scopes {
                    repositories: vec![id],
                    namespaces: registry.namespace_of(id).into_iter().collect(),
                };
                (registry, of)
            }
        };
        let rows = hold_policies(tx, schema, &of)?;
        Ok(Self { registry, rows })
    }

    /// The active policies among them.
    pub(super) fn active(&self) -> impl Iterator<Item = &PolicyRow> {
        let rows = self.rows.iter();
        rows.filter(|row| row.activity == Activity::Active)
    }

    /// The row as it is now, where it still violates the rule.
    fn violating(
        &self,
        tx: &mut WriteTransaction<'_>,
        site: &Site<'_>,
        planned: &Planned,
        expected: &PolicySubject,
    ) -> Result<Option<(&PolicyRow, PolicySubject)>, ApplyError> {
        let Some(row) = self.rows.iter().find(|row| row.uuid == expected.uuid) else {
            return Ok(None);
        };
        let operations = unfinished_operations(tx)?;
        let standings = policy_standings(tx, &operations)?;
        let moment = Moment {
            now: server_clock(tx)?,
            stale_after: site.options.stale_after,
            features: site.options.features,
            strictness: Strictness::Lenient,
        };
        let book = PolicyBook::new(self.rows.clone());
        let mut evaluator = Evaluator::new(site.rules.rules(), &self.registry, &book, moment);
        let found = evaluator.policies_where(
            |row| standings.get(&row.uuid).cloned().unwrap_or_default(),
            |judged| judged.uuid == row.uuid,
        );
        let subject = found
            .into_iter()
            .filter(|violation| violation.rule == planned.rule)
            .find_map(|violation| match violation.subject {
                Subject::Policy(policy) => Some(policy),
                _ => None,
            });
        Ok(subject.map(|subject| (row, subject)))
    }

    /// The namespace that a repository's policy has to have.
    fn namespace_wanted(&self, scope: Scope) -> Option<crate::quay::NamespaceId> {
        match scope {
            Scope::Repository(id) => self.registry.namespace_of(id),
            Scope::Namespace(_) => None,
        }
    }
}

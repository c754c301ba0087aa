//! The grounds of one batch: its locks, what is judged by under them, and the write itself.

use std::collections::{BTreeSet, HashMap};

use chrono::Utc;

use super::{ApplyError, ApplyOptions, AuditDetail};
use crate::evaluate::{Account, Evaluator, Moment, PolicyBook, Registry, Strictness, TagRow};
use crate::journal::{FixRun, OperationRow, TagChange, record_tag_changes, unfinished_operations};
use crate::pg::{Statements, WriteTransaction};
use crate::quay::{RepositoryId, TagId};
use crate::relations::{
    MarkedChange, PoliciesOf, PolicySchema, RowLock, accounts, lock_policy_tables, lock_repository,
    policies, registry_of, server_clock, tags_by_id, write_marked_changes, write_tags,
};
use crate::rules::{Catalogue, RuleId};

/// Whether a batch takes somebody's protection away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Some tag becomes mutable.
    TakenAway,
    /// Nothing but immutability is given.
    OnlyGiven,
}

/// What a batch is judged by, read under its locks.
pub(super) struct Guard {
    registry: Registry,
    policies: PolicyBook,
    operations: Vec<OperationRow>,
    pub(super) moment: Moment,
}

impl Guard {
    /// Takes the batch's locks, each in a statement of its own and before anything is read: both
    /// policy tables where protection is taken away, then Quay's lock on the repository. Then
    /// reads policies, operations and clock as they are now.
    pub(super) fn enter(
        tx: &mut WriteTransaction<'_>,
        repository: RepositoryId,
        protection: Protection,
        schema: PolicySchema,
        options: &ApplyOptions,
    ) -> Result<Self, ApplyError> {
        if protection == Protection::TakenAway {
            lock_policy_tables(tx)?;
        }
        lock_repository(tx, repository)?;
        let registry = registry_of(tx, repository)?;
        let of = PoliciesOf::Scopes {
            repositories: vec![repository],
            namespaces: registry.namespace_of(repository).into_iter().collect(),
        };
        let policies = PolicyBook::new(policies(tx, schema, &of)?);
        let operations = unfinished_operations(tx)?;
        // Of two clocks the later: what may already be dead is treated as dead.
        let now = server_clock(tx)?.max(Utc::now());
        Ok(Self {
            registry,
            policies,
            operations,
            moment: Moment {
                now,
                stale_after: options.stale_after,
                features: options.features,
                strictness: Strictness::Lenient,
            },
        })
    }

    /// The evidence about rows.
    pub(super) fn accounts(
        &self,
        pg: &mut impl Statements,
        rows: &[TagRow],
    ) -> Result<HashMap<TagId, Account>, ApplyError> {
        Ok(accounts(pg, &self.registry, rows, &self.operations, true)?)
    }

    /// The rules that each row violates, evidence considered.
    pub(super) fn violated(
        &self,
        rules: &Catalogue,
        rows: &[TagRow],
        accounts: &HashMap<TagId, Account>,
    ) -> HashMap<TagId, BTreeSet<RuleId>> {
        let mut evaluator =
            Evaluator::new(rules.rules(), &self.registry, &self.policies, self.moment);
        let mut violated: HashMap<TagId, BTreeSet<RuleId>> = HashMap::new();
        for row in rows {
            let candidates = evaluator.tag(row);
            for violation in evaluator.conclude(candidates, accounts) {
                violated.entry(row.id).or_default().insert(violation.rule);
            }
        }
        violated
    }

    /// Writes changes: before-images, the rows, marked audit entries. One transaction holds all.
    pub(super) fn write(
        &self,
        tx: &mut WriteTransaction<'_>,
        run: &FixRun,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
        options: &ApplyOptions,
        audit: AuditDetail,
    ) -> Result<(), ApplyError> {
        record_tag_changes(tx, run.id, changes)?;
        self.write_rows(tx, run, rows, changes, options, audit)
    }

    /// Writes the rows and their audit entries alone; an undo journals by marking.
    pub(super) fn write_rows(
        &self,
        tx: &mut WriteTransaction<'_>,
        run: &FixRun,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
        options: &ApplyOptions,
        audit: AuditDetail,
    ) -> Result<(), ApplyError> {
        write_tags(tx, changes)?;
        if audit == AuditDetail::PerTag {
            let entries: Vec<MarkedChange> = changes
                .iter()
                .filter_map(|change| self.entry(rows, change))
                .collect();
            write_marked_changes(tx, run.id, &options.who.actor, &entries)?;
        }
        Ok(())
    }

    fn entry(&self, rows: &HashMap<TagId, TagRow>, change: &TagChange) -> Option<MarkedChange> {
        let row = rows.get(&change.tag)?;
        let (namespace_name, repository_name) = self.registry.repository_names(row.repository);
        Some(MarkedChange {
            tag: row.name.clone(),
            repository: row.repository,
            repository_name: repository_name.to_owned(),
            namespace: self.registry.namespace_of(row.repository)?,
            namespace_name: namespace_name.to_owned(),
            before: change.before.immutability,
            after: change.after.immutability,
        })
    }

    /// Judges the rows that were touched once more; an error where one violates a rule that it did
    /// not violate before. The transaction is then dropped, and with it the batch.
    pub(super) fn judge_again(
        &self,
        tx: &mut WriteTransaction<'_>,
        rules: &Catalogue,
        changes: &[TagChange],
        before: &HashMap<TagId, BTreeSet<RuleId>>,
        accounts: &HashMap<TagId, Account>,
    ) -> Result<(), ApplyError> {
        let ids: Vec<TagId> = changes.iter().map(|change| change.tag).collect();
        let rows = tags_by_id(tx, &ids, RowLock::None)?;
        for (tag, rules_now) in self.violated(rules, &rows, accounts) {
            let was = before.get(&tag);
            let fresh = rules_now
                .iter()
                .find(|rule| was.is_none_or(|was| !was.contains(rule)));
            if let Some(rule) = fresh {
                let repository = rows.first().map(|row| row.repository);
                let (namespace, name) =
                    repository.map_or(("", ""), |id| self.registry.repository_names(id));
                return Err(ApplyError::WouldViolate {
                    repository: format!("{namespace}/{name}"),
                    rule: rule.0.clone(),
                });
            }
        }
        Ok(())
    }
}

//! The guard of one batch: the rules judged on its ground, before the write and after it.

use std::collections::{BTreeSet, HashMap};

use super::{ApplyError, ApplyOptions, AuditDetail};
use crate::evaluate::{Account, Evaluator, Moment, Strictness, TagRow};
use crate::ground::{Ground, Protection};
use crate::journal::{FixRun, TagChange, record_tag_changes};
use crate::pg::WriteTransaction;
use crate::quay::{RepositoryId, TagId};
use crate::relations::{
    MarkedChange, PolicySchema, RowLock, tags_by_id, write_marked_changes, write_tags,
};
use crate::rules::{Catalogue, RuleId};

/// A batch's ground, and the moment as of which it is judged.
pub(super) struct Guard<'a> {
    ground: Ground,
    pub(super) moment: Moment,
    run: &'a FixRun,
    options: &'a ApplyOptions,
}

impl<'a> Guard<'a> {
    /// Enters the batch's ground.
    pub(super) fn enter(
        tx: &mut WriteTransaction<'_>,
        repository: RepositoryId,
        protection: Protection,
        schema: PolicySchema,
        run: &'a FixRun,
        options: &'a ApplyOptions,
    ) -> Result<Self, ApplyError> {
        let ground = Ground::enter(tx, repository, protection, schema)?;
        let moment = Moment {
            now: ground.now,
            stale_after: options.stale_after,
            features: options.features,
            strictness: Strictness::Lenient,
        };
        Ok(Self {
            ground,
            moment,
            run,
            options,
        })
    }

    /// The evidence about rows.
    pub(super) fn accounts(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &[TagRow],
    ) -> Result<HashMap<TagId, Account>, ApplyError> {
        Ok(self.ground.accounts(tx, rows, self.run.id)?)
    }

    /// The rules that each row violates, evidence considered.
    pub(super) fn violated(
        &self,
        rules: &Catalogue,
        rows: &[TagRow],
        accounts: &HashMap<TagId, Account>,
    ) -> HashMap<TagId, BTreeSet<RuleId>> {
        let (registry, policies) = (&self.ground.registry, &self.ground.policies);
        let mut evaluator = Evaluator::new(rules.rules(), registry, policies, self.moment);
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
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
    ) -> Result<(), ApplyError> {
        record_tag_changes(tx, self.run.id, changes)?;
        self.write_rows(tx, rows, changes)
    }

    /// Writes the rows and their audit entries alone; an undo journals by marking.
    pub(super) fn write_rows(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
    ) -> Result<(), ApplyError> {
        write_tags(tx, changes)?;
        if self.options.audit == AuditDetail::PerTag {
            let entries: Vec<MarkedChange> = changes
                .iter()
                .filter_map(|change| self.ground.entry(rows.get(&change.tag)?, change))
                .collect();
            write_marked_changes(tx, self.run.id, &self.options.who.actor, &entries)?;
        }
        Ok(())
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
                let registry = &self.ground.registry;
                let (namespace, name) =
                    repository.map_or(("", ""), |id| registry.repository_names(id));
                return Err(ApplyError::WouldViolate {
                    repository: format!("{namespace}/{name}"),
                    rule: rule.0.clone(),
                });
            }
        }
        Ok(())
    }
}

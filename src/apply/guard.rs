//! The guard of one batch: the rules judged on its ground, before the write and after it.

use std::collections::{BTreeSet, HashMap};

use super::{ApplyError, ApplyOptions, AuditDetail};
use crate::evaluate::{Account, Evaluator, Moment, Strictness, TagRow};
use crate::ground::{Ground, Memory, Protection};
use crate::journal::{FixRun, TagChange, record_tag_changes};
use crate::pg::WriteTransaction;
use crate::quay::{RepositoryId, TagId};
use crate::relations::{MarkedChange, PolicySchema, write_marked_changes, write_tags_and_read};
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
        memory: &mut Memory,
    ) -> Result<Self, ApplyError> {
        let ground = Ground::enter_with(tx, repository, protection, schema, memory)?;
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
        memory: &mut Memory,
    ) -> Result<HashMap<TagId, Account>, ApplyError> {
        Ok(self.ground.accounts_by(tx, rows, self.run.id, memory)?)
    }

    /// The rules that each row violates, evidence considered.
    pub(super) fn violated(
        &self,
        rules: &Catalogue,
        rows: &[TagRow],
        accounts: &HashMap<TagId, Account>,
    ) -> HashMap<TagId, BTreeSet<RuleId>> {
        violated(&self.ground, self.moment, rules, rows, accounts)
    }

    /// Writes changes: before-images, the rows, marked audit entries. One transaction holds all. The
    /// rows as they are then.
    pub(super) fn write(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
    ) -> Result<Vec<TagRow>, ApplyError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        record_tag_changes(tx, self.run.id, changes)?;
        self.write_rows(tx, rows, changes)
    }

    /// Writes the rows and their audit entries alone; an undo journals by marking.
    pub(super) fn write_rows(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
    ) -> Result<Vec<TagRow>, ApplyError> {
        let name = |tag| rows.get(&tag).map_or(0, |row| row.name.len());
        let written = write_tags_and_read(tx, changes, name)?;
        let mut entries: Vec<MarkedChange> = Vec::new();
        let of = |change: &TagChange| self.ground.entry(rows.get(&change.tag)?, change);
        match self.options.audit {
            AuditDetail::PerTag => entries.extend(changes.iter().filter_map(of)),
            AuditDetail::Summary => entries.extend(in_sum(changes, of)),
            AuditDetail::None => return Ok(written),
        }
        write_marked_changes(tx, self.run.id, &self.options.who.actor, &entries)?;
        Ok(written)
    }

    /// Judges the rows that were touched once more, as the write left them; an error where one
    /// violates a rule that it did not violate before. The transaction is then dropped, and with it
    /// the batch.
    pub(super) fn judge_again(
        &self,
        rules: &Catalogue,
        rows: &[TagRow],
        before: &HashMap<TagId, BTreeSet<RuleId>>,
        accounts: &HashMap<TagId, Account>,
    ) -> Result<(), ApplyError> {
        for (tag, rules_now) in self.violated(rules, rows, accounts) {
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

/// One entry for all changes of a kind, which names the first tag and counts the others.
fn in_sum(
    changes: &[TagChange],
    of: impl Fn(&TagChange) -> Option<MarkedChange>,
) -> Vec<MarkedChange> {
    let mut kinds: Vec<(MarkedChange, u64)> = Vec::new();
    for change in changes {
        let (before, after) = (change.before.immutability, change.after.immutability);
        let same =
            |(entry, _): &&mut (MarkedChange, u64)| (entry.before, entry.after) == (before, after);
        match kinds.iter_mut().find(same) {
            Some((_, others)) => *others += 1,
            None => kinds.extend(of(change).map(|entry| (entry, 0))),
        }
    }
    let told = kinds.into_iter().map(|(mut entry, others)| {
        if others > 0 {
            entry.tag.push_str(&format!(" and {others} more"));
        }
        entry
    });
    told.collect()
}

/// The rules that each row violates on this ground, evidence considered.
pub(super) fn violated(
    ground: &Ground,
    moment: Moment,
    rules: &Catalogue,
    rows: &[TagRow],
    accounts: &HashMap<TagId, Account>,
) -> HashMap<TagId, BTreeSet<RuleId>> {
    let mut evaluator = Evaluator::new(rules.rules(), &ground.registry, &ground.policies, moment);
    let mut violated: HashMap<TagId, BTreeSet<RuleId>> = HashMap::new();
    for row in rows {
        let candidates = evaluator.tag(row);
        for violation in evaluator.conclude(candidates, accounts) {
            violated.entry(row.id).or_default().insert(violation.rule);
        }
    }
    violated
}

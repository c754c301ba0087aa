//! The guard of one batch: the rules judged on its ground, before the write and after it.

use std::collections::{BTreeSet, HashMap};

use super::{ApplyError, ApplyOptions, AuditDetail};
use crate::evaluate::{Account, Decision, Evaluator, Found, Moment, Registry, Strictness, TagRow};
use crate::ground::{Ground, Memory, Protection};
use crate::journal::{FixRun, TagChange, record_tag_changes};
use crate::pg::WriteTransaction;
use crate::quay::{RepositoryId, TagId, UnixMillis};
use crate::relations::{MarkedChange, PolicySchema, Written, write_marked_changes, write_tags};
use crate::report::Exceptions;
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
        repositories: &[RepositoryId],
        protection: Protection,
        schema: PolicySchema,
        run: &'a FixRun,
        options: &'a ApplyOptions,
        memory: &mut Memory,
    ) -> Result<Self, ApplyError> {
        let ground = Ground::enter(tx, repositories, protection, schema, memory)?;
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

    /// Whether it depends on the clock if an end has passed: this host's and the server's are too far apart.
    pub(super) fn disagree_on(&self, end: UnixMillis) -> bool {
        let margin = self.options.clock_margin;
        self.ground.clocks.disagree_on(end, margin)
    }

    /// The evidence about rows.
    pub(super) fn accounts(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &[TagRow],
        memory: &mut Memory,
    ) -> Result<HashMap<TagId, Account>, ApplyError> {
        Ok(self.ground.accounts(tx, rows, self.run.id, memory)?)
    }

    /// Repositories whose locks somebody else has.
    pub(super) fn refused(&self) -> &[RepositoryId] {
        &self.ground.refused
    }

    /// The names of the repositories and their namespaces.
    pub(super) fn registry(&self) -> &Registry {
        &self.ground.registry
    }

    /// Whether a label, a user's act or a declaration makes a row immutable.
    pub(super) fn is_evident(&self, row: &TagRow, accounts: &HashMap<TagId, Account>) -> bool {
        accounts.get(&row.id).into_iter().flatten().any(|found| {
            matches!(
                found,
                Found::Label | Found::SetByUser(_) | Found::Kept { .. }
            )
        })
    }

    /// Whether an active policy makes a row immutable, or may.
    pub(super) fn is_covered(&self, row: &TagRow) -> bool {
        let namespace = self.ground.registry.namespace_of(row.repository);
        let decided = self
            .ground
            .policies
            .decide(row.repository, namespace, &row.name);
        decided != Decision::Mutable
    }

    /// Names the tags that were not written as asked.
    pub(super) fn name(
        &self,
        written: &Written,
        rows: &HashMap<TagId, TagRow>,
        exceptions: &mut Exceptions,
    ) {
        for row in written.refused.iter().filter_map(|tag| rows.get(tag)) {
            exceptions.not_written.add(&self.ground.registry, row);
        }
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

    /// Writes changes: the rows, marked audit entries, and the before-images of what was written. One
    /// transaction holds all.
    pub(super) fn write(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
    ) -> Result<Written, ApplyError> {
        let written = self.write_rows(tx, rows, changes)?;
        record_tag_changes(tx, self.run.id, &written.changes)?;
        Ok(written)
    }

    /// Writes the rows and their audit entries alone; an undo journals by marking.
    pub(super) fn write_rows(
        &self,
        tx: &mut WriteTransaction<'_>,
        rows: &HashMap<TagId, TagRow>,
        changes: &[TagChange],
    ) -> Result<Written, ApplyError> {
        let written = write_tags(tx, changes, rows.values())?;
        let mut entries: Vec<MarkedChange> = Vec::new();
        let of = |change: &TagChange| self.ground.entry(rows.get(&change.tag)?, change);
        match self.options.audit {
            AuditDetail::PerTag => entries.extend(written.as_asked().filter_map(of)),
            AuditDetail::Summary => entries.extend(in_sum(written.as_asked(), of)),
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
        written: &Written,
        before: &HashMap<TagId, BTreeSet<RuleId>>,
        accounts: &HashMap<TagId, Account>,
    ) -> Result<(), ApplyError> {
        let rows = &written.rows;
        for (tag, rules_now) in self.violated(rules, rows, accounts) {
            // What a trigger made of a row is skipped and named, and not our doing.
            if written.refused.contains(&tag) {
                continue;
            }
            let was = before.get(&tag);
            let fresh = rules_now
                .iter()
                .find(|rule| was.is_none_or(|was| !was.contains(rule)));
            if let Some(rule) = fresh {
                let repository = rows
                    .iter()
                    .find(|row| row.id == tag)
                    .map(|row| row.repository);
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
fn in_sum<'c>(
    changes: impl Iterator<Item = &'c TagChange>,
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

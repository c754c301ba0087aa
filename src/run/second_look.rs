//! The sink of a check: judges rows as they come, and looks at each suspicion a second time.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::{Progress, RunError};
use crate::evaluate::{
    Candidate, Evaluator, Moment, PolicyBook, Registry, TagRow, TagSink, Violation,
};
use crate::journal::unfinished_operations;
use crate::pg::ReadSession;
use crate::quay::{NamespaceId, RepositoryId, Scope, TagId};
use crate::relations::{PoliciesOf, PolicySchema, RowLock, accounts, policies, tags_by_id};
use crate::rules::Rule;
use crate::scan::Grounds;

/// Suspicions that are looked at together.
const AT_ONCE: usize = 2_000;

/// Judges tags by the first snapshot, and each suspicion again in a later one: work in progress is
/// not called a fault. Evidence is read at the second look, where it is newest.
pub(super) struct SecondLook<'a> {
    pub(super) evaluator: Evaluator<'a>,
    pub(super) violations: Vec<Violation>,
    pub(super) truncated: bool,
    rules: &'a [Rule],
    grounds: &'a Grounds,
    moment: Moment,
    session: &'a mut ReadSession,
    pending: Vec<Candidate>,
    limit: usize,
    seen: u64,
    progress: &'a mut dyn Progress,
}

impl<'a> SecondLook<'a> {
    pub(super) fn new(
        rules: &'a [Rule],
        grounds: &'a Grounds,
        moment: Moment,
        session: &'a mut ReadSession,
        limit: usize,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Self {
            evaluator: Evaluator::new(rules, &grounds.registry, &grounds.policies, moment),
            violations: Vec::new(),
            truncated: false,
            rules,
            grounds,
            moment,
            session,
            pending: Vec::new(),
            limit,
            seen: 0,
            progress,
        }
    }

    /// Keeps violations up to the limit; all of them are counted elsewhere.
    pub(super) fn keep(&mut self, found: Vec<Violation>) {
        let room = self.limit.saturating_sub(self.violations.len());
        self.truncated |= found.len() > room;
        self.violations.extend(found.into_iter().take(room));
    }

    /// Looks at the pending suspicions again.
    pub(super) fn look_again(&mut self) -> Result<(), RunError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<TagId> = pending.iter().map(|candidate| candidate.row.id).collect();
        ids.dedup();
        let mut snapshot = self.session.snapshot()?;
        let rows = tags_by_id(&mut snapshot, &ids, RowLock::None)?;
        let (repositories, namespaces) = scopes_of(&rows, &self.grounds.registry);
        let scopes: HashSet<Scope> = (repositories.iter().copied().map(Scope::Repository))
            .chain(namespaces.iter().copied().map(Scope::Namespace))
            .collect();
        let fresh = policies(
            &mut snapshot,
            PolicySchema::from(&self.grounds.schema),
            &PoliciesOf::Scopes {
                repositories,
                namespaces,
            },
        )?;
        let fresh_book;
        let book = if self.grounds.policies.holds(&scopes, &fresh) {
            &self.grounds.policies
        } else {
            fresh_book = PolicyBook::new(fresh);
            &fresh_book
        };
        let operations = if self.grounds.schema.has_journal() {
            unfinished_operations(&mut snapshot)?
        } else {
            Vec::new()
        };
        let registry = &self.grounds.registry;
        let mut again = Evaluator::new(self.rules, registry, book, self.moment);
        let still: Vec<Candidate> = rows.iter().flat_map(|row| again.tag(row)).collect();
        let found = accounts(
            &mut snapshot,
            registry,
            &rows,
            &operations,
            self.grounds.schema.has_journal(),
        )?;
        drop(snapshot);

        let by_tag = group(&still);
        let mut confirmed = Vec::with_capacity(pending.len());
        for candidate in &pending {
            let now = by_tag.get(&candidate.row.id);
            match now.and_then(|cases| cases.iter().find(|case| case.same_case(candidate))) {
                Some(case) => confirmed.push((*case).clone()),
                None => self.evaluator.was_in_progress(candidate),
            }
        }
        let violations = self.evaluator.conclude(confirmed, &found);
        self.keep(violations);
        Ok(())
    }
}

fn scopes_of(rows: &[TagRow], registry: &Registry) -> (Vec<RepositoryId>, Vec<NamespaceId>) {
    let mut repositories: Vec<RepositoryId> = rows.iter().map(|row| row.repository).collect();
    repositories.sort_unstable();
    repositories.dedup();
    let mut namespaces: Vec<NamespaceId> = repositories
        .iter()
        .filter_map(|id| registry.namespace_of(*id))
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    (repositories, namespaces)
}

fn group(candidates: &[Candidate]) -> HashMap<TagId, Vec<&Candidate>> {
    let mut by_tag: HashMap<TagId, Vec<&Candidate>> = HashMap::new();
    for candidate in candidates {
        by_tag.entry(candidate.row.id).or_default().push(candidate);
    }
    by_tag
}

impl TagSink for SecondLook<'_> {
    type Error = RunError;

    fn take(&mut self, batch: Vec<TagRow>) -> Result<ControlFlow<()>, RunError> {
        self.seen += batch.len() as u64;
        for row in &batch {
            let candidates = self.evaluator.tag(row);
            self.pending.extend(candidates);
            if self.pending.len() >= AT_ONCE {
                self.look_again()?;
            }
        }
        self.progress.reached(self.seen);
        if self.progress.interrupted() {
            return Err(RunError::Interrupted);
        }
        Ok(ControlFlow::Continue(()))
    }
}

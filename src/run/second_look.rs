//! The sink of a check: judges rows as they come, and looks at each suspicion a second time.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Instant;

use super::check::{Event, Told};
use super::kept::Kept;
use super::{CheckRequest, Progress, RunError};
use crate::evaluate::{
    Candidate, Evaluator, Grace, Moment, PolicyBook, Registry, RuleOutcome, TagRow, TagSink,
    Verdict, Violation,
};
use crate::journal::unfinished_operations;
use crate::pg::ReadSession;
use crate::quay::{NamespaceId, RepositoryId, Scope, TagId};
use crate::relations::{
    AuditLog, PoliciesOf, PolicySchema, RowLock, accounts, policies, tags_by_id,
};
use crate::report::Baseline;
use crate::scan::Grounds;

/// Suspicions that are looked at together: for each of these the audit log of their repositories is
/// walked once, which would be slow with few and would fill memory with many.
const AT_ONCE: usize = 10_000;

/// Judges tags by the first snapshot, and each suspicion again in a later one: work in progress is
/// not called a fault. Evidence is read at the second look, where it is newest.
pub(super) struct SecondLook<'a> {
    pub(super) evaluator: Evaluator<'a>,
    /// When the scan is to end, whatever is left.
    pub(super) deadline: Option<Instant>,
    /// Why the scan did not see everything.
    pub(super) cut_short: Option<String>,
    /// Known violations, and which were found again.
    pub(super) baseline: Baseline,
    kept: Kept,
    request: &'a CheckRequest,
    grounds: &'a Grounds,
    moment: Moment,
    session: &'a mut ReadSession,
    pending: Vec<Candidate>,
    seen: u64,
    progress: &'a mut dyn Progress,
    tell: &'a mut Told<'a>,
}

impl<'a> SecondLook<'a> {
    pub(super) fn new(
        request: &'a CheckRequest,
        grounds: &'a Grounds,
        moment: Moment,
        session: &'a mut ReadSession,
        progress: &'a mut dyn Progress,
        tell: &'a mut Told<'a>,
    ) -> Self {
        Self {
            evaluator: evaluator(request, grounds, &grounds.policies, moment),
            deadline: None,
            cut_short: None,
            baseline: request.baseline.clone(),
            kept: Kept::of(request.keep),
            request,
            grounds,
            moment,
            session,
            pending: Vec::new(),
            seen: 0,
            progress,
            tell,
        }
    }

    /// Tells violations, and keeps some up to the limit; all of them are counted elsewhere.
    pub(super) fn found(&mut self, found: Vec<Violation>) {
        for violation in found {
            if self.baseline.knows(&violation) {
                self.evaluator.was_known(&violation);
                continue;
            }
            if self.cut_short.is_none() && (self.tell)(Event::Found(&violation)).is_break() {
                self.cut_short = Some("what was found could not be told".to_owned());
            }
            self.kept.add(violation);
        }
    }

    /// The sums, what was kept, and whether that is not all.
    pub(super) fn into_parts(self) -> (Vec<RuleOutcome>, Vec<Violation>, bool) {
        let (violations, truncated) = self.kept.into_parts();
        (self.evaluator.into_outcomes(), violations, truncated)
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
            fresh_book = PolicyBook::new(fresh).accepting(&self.request.accepted);
            &fresh_book
        };
        let operations = if self.grounds.schema.has_journal() {
            unfinished_operations(&mut snapshot)?
        } else {
            Vec::new()
        };
        let registry = &self.grounds.registry;
        let mut again = evaluator(self.request, self.grounds, book, self.moment);
        let still: Vec<Candidate> = rows.iter().flat_map(|row| again.tag(row)).collect();
        let by_tag = group(&still);
        let mut confirmed = Vec::with_capacity(pending.len());
        for candidate in &pending {
            let now = by_tag.get(&candidate.row.id);
            match now.and_then(|cases| cases.iter().find(|case| case.same_case(candidate))) {
                Some(case) => confirmed.push((*case).clone()),
                None => {
                    let row = rows.iter().find(|row| row.id == candidate.row.id);
                    let verdict =
                        row.map_or(Verdict::NotASubject, |row| again.verdict_on(candidate, row));
                    self.evaluator.was_in_progress(candidate, &verdict);
                }
            }
        }
        let wanted: HashSet<TagId> = confirmed
            .iter()
            .filter(|candidate| self.evaluator.wants_evidence(candidate))
            .map(|candidate| candidate.row.id)
            .collect();
        if !wanted.is_empty() && self.grounds.audit == AuditLog::Unreadable {
            confirmed.retain(|candidate| {
                let wants = wanted.contains(&candidate.row.id);
                if wants {
                    self.evaluator.not_accounted(candidate, "the audit log");
                }
                !wants
            });
        }
        let wanting: Vec<TagRow> = rows
            .iter()
            .filter(|row| wanted.contains(&row.id))
            .cloned()
            .collect();
        let found = if self.grounds.audit == AuditLog::Unreadable {
            HashMap::new()
        } else {
            let journal = self.grounds.schema.has_journal();
            accounts(&mut snapshot, registry, &wanting, &operations, journal)?
        };
        drop(snapshot);
        let violations = self.evaluator.conclude(confirmed, &found);
        self.found(violations);
        Ok(())
    }
}

/// The same evaluator for the first look and the second.
fn evaluator<'e>(
    request: &'e CheckRequest,
    grounds: &'e Grounds,
    book: &'e PolicyBook,
    moment: Moment,
) -> Evaluator<'e> {
    Evaluator::new(request.rules.rules(), &grounds.registry, book, moment)
        .with_grace(Grace(request.grace))
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

impl SecondLook<'_> {
    /// About so many tags have been seen; breaks off where the time is over, or somebody
    /// wants it to end.
    pub(super) fn reached(&mut self, seen: u64) -> ControlFlow<()> {
        self.seen = seen;
        self.progress.reached(seen);
        if self.deadline.is_some_and(|end| Instant::now() >= end) {
            self.cut_short = Some(format!(
                "--timeout ended the scan after about {} tags",
                self.seen
            ));
        }
        if self.progress.interrupted() {
            self.cut_short = Some(format!("interrupted after about {} tags", self.seen));
        }
        match self.cut_short {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// Takes rows that a rule may complain of.
    pub(super) fn suspected(&mut self, rows: &[TagRow]) -> Result<ControlFlow<()>, RunError> {
        for row in rows {
            let candidates = self.evaluator.tag(row);
            self.pending.extend(candidates);
            if self.pending.len() >= AT_ONCE {
                self.look_again()?;
            }
        }
        Ok(self.reached(self.seen))
    }
}

impl TagSink for SecondLook<'_> {
    type Error = RunError;

    fn take(&mut self, batch: Vec<TagRow>) -> Result<ControlFlow<()>, RunError> {
        self.seen += batch.len() as u64;
        self.suspected(&batch)
    }
}

//! The plan: what would be corrected, what needs a decision, what is left to others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::once::{Wanted, once};
use super::orphans::{Orphans, is_about_orphans};
use super::remedy::{Answer, answer};
use super::{Choices, Correction, ExpiryChange, Operation, ScopeProposal};
use crate::evaluate::{Features, PolicySubject, Subject, Violation};
use crate::quay::OperationId;
use crate::rules::{Catalogue, Doer, RemedyKind, Rule, RuleId, Severity};

/// A correction with the rule that asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The rule.
    pub rule: RuleId,
    /// The correction.
    pub correction: Correction,
}

/// A question: violations of one rule in one repository (or one policy) that somebody decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenDecision {
    /// The rule.
    pub rule: RuleId,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: String,
    /// How many subjects wait for it.
    pub subjects: u64,
    /// What can be chosen.
    pub options: Vec<RemedyKind>,
    /// Those of them that `fix` carries out itself.
    pub doable: Vec<RemedyKind>,
    /// The names of the first few.
    pub examples: Vec<String>,
}

/// An unfinished operation, with the policy that it owns: `recover` finishes it or takes it back,
/// not `fix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftAlone {
    /// The policy, where a rule complains of it.
    pub policy: Option<PolicySubject>,
    /// The operation.
    pub operation: OperationId,
}

/// How many names a question shows.
const EXAMPLES: usize = 3;

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What would be done.
    pub corrections: Vec<Planned>,
    /// What somebody has to decide first.
    pub decisions: Vec<OpenDecision>,
    /// What is not ours to correct.
    pub left: Vec<LeftAlone>,
    /// Decisions by scope that decided nothing, a sentence each.
    pub idle_decisions: Vec<String>,
    /// How many violations there are beyond those that were kept; they are not in the plan.
    pub beyond: u64,
    /// For scopes whose orphans wait for a decision: which policy most likely made them.
    pub proposals: Vec<ScopeProposal>,
    /// Why something that was asked for is not in it, a sentence each.
    pub notes: Vec<String>,
}

impl Plan {
    /// Makes a plan. Tags are ordered by repository and name, which is the order of the batches;
    /// policies' rows come after tags, and operations last.
    pub fn new(
        violations: Vec<Violation>,
        catalogue: &Catalogue,
        choices: &Choices,
        features: Features,
    ) -> Self {
        let mut plan = Self::default();
        let mut used = BTreeSet::new();
        let mut open = Open::new();
        let orphans = Orphans::of(&violations, catalogue, choices);
        let mut wanted: Vec<Wanted> = Vec::new();
        for violation in violations {
            // A violation's rule is of this catalogue; another has no remedy here.
            let known = catalogue.get(&violation.rule.0).ok();
            let chosen = known.and_then(|rule| choices.remedy_on(rule, &violation.subject));
            let remedy = chosen.map(|(remedy, origin, by)| {
                used.extend(by);
                (remedy, origin)
            });
            if remedy.is_none() && violation.severity == Severity::Info {
                // Worth knowing, and nobody has to decide anything about it.
                continue;
            }
            let doable = known.map_or_else(Vec::new, doable);
            let Violation {
                rule,
                subject,
                remedies,
                ..
            } = violation;
            let answer = match (&subject, remedy) {
                (Subject::Policy(policy), _) if policy.owner.is_some() => {
                    if let Some((operation, _)) = policy.owner {
                        plan.leave(operation, Some(policy.clone()));
                    }
                    Answer::Settled
                }
                // What an interrupted operation left is decided with it, and not as if its policy were lost.
                (Subject::Tag(tag), _)
                    if tag.interrupted().is_some() && known.is_some_and(is_about_orphans) =>
                {
                    if let Some(operation) = tag.interrupted() {
                        plan.leave(operation, None);
                    }
                    Answer::Settled
                }
                (Subject::Operation(operation), None) => {
                    plan.leave(operation.id, None);
                    Answer::Settled
                }
                (_, Some(remedy)) => answer(&subject, remedy, &orphans, features),
                (_, None) => Answer::Ask,
            };
            match (answer, remedy) {
                (Answer::Do(correction), Some((_, origin))) => {
                    let correction = *correction;
                    wanted.push((Planned { rule, correction }, origin));
                }
                (Answer::Settled, _) => {}
                _ => {
                    let options = (possible(remedies, &subject), possible(doable, &subject));
                    ask(&mut open, rule, subject, options);
                }
            }
        }
        plan.corrections = once(wanted);
        plan.recreate(orphans, catalogue);
        plan.recovered();
        plan.order();
        plan.decisions = open.into_values().collect();
        plan.idle_decisions = choices.decisions().idle(&used);
        plan
    }

    /// Puts the corrections into the order of the batches: tags by repository and id. They lie in the
    /// heap in about that order; in the order of their names each change would find another page
    /// with something to prune (docs/benchmarks.md).
    pub(super) fn order(&mut self) {
        self.corrections
            .sort_by_key(|planned| place(&planned.correction));
    }

    /// What is created again, under the rule that asked for it.
    fn recreate(&mut self, orphans: Orphans, catalogue: &Catalogue) {
        let about_orphans = catalogue.rules().iter().find(|rule| is_about_orphans(rule));
        let Some(rule) = about_orphans else {
            return;
        };
        let planned = orphans.recreations.into_iter().map(|operation| Planned {
            rule: rule.id.clone(),
            correction: Correction::Operation(operation),
        });
        self.corrections.extend(planned);
    }

    /// Takes an operation out that would be refused, and says why: what it was to settle waits for
    /// another decision.
    pub fn refuse(&mut self, index: usize, why: String) {
        let planned = self.corrections.get(index);
        let Some(operation) = planned.and_then(|planned| planned.correction.operation()) else {
            return;
        };
        let (namespace, repository) = operation.place();
        let (namespace, repository) = (namespace.to_owned(), repository.to_owned());
        let subjects = match operation {
            Operation::Recreate(recreation) => recreation.explains,
            _ => 1,
        };
        let rule = self.corrections.remove(index).rule;
        self.notes.push(why);
        self.decisions.push(OpenDecision {
            rule,
            namespace,
            repository,
            subjects,
            options: Vec::new(),
            doable: Vec::new(),
            examples: Vec::new(),
        });
    }

    /// What is recovered is not left to `recover`.
    fn recovered(&mut self) {
        let corrections = &self.corrections;
        self.left.retain(|left| {
            !corrections.iter().any(|planned| {
                matches!(
                    planned.correction.operation(),
                    Some(Operation::Recover(operation, _)) if operation.id == left.operation
                )
            })
        });
    }

    /// Leaves an operation to `recover`; it is named once, whichever rules complain of it.
    fn leave(&mut self, operation: OperationId, policy: Option<PolicySubject>) {
        match self
            .left
            .iter_mut()
            .find(|left| left.operation == operation)
        {
            Some(left) => left.policy = left.policy.take().or(policy),
            None => self.left.push(LeftAlone { policy, operation }),
        }
    }

    /// Whether there is nothing to do and nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.corrections.is_empty() && self.decisions.is_empty() && self.left.is_empty()
    }

    /// How many rows it would change, as far as that was counted: one a correction, and what an
    /// operation does to existing tags.
    pub fn changes(&self) -> u64 {
        let by_operations = self
            .operations()
            .filter_map(Operation::impact)
            .map(|impact| impact.becomes_immutable)
            .sum::<u64>();
        self.corrections.len() as u64 + by_operations + self.beyond
    }

    /// The operations that it would conduct.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.corrections
            .iter()
            .filter_map(|planned| planned.correction.operation())
    }

    /// How many expiry dates would be cleared, and how many would be if it were known whether
    /// immutable tags may expire.
    pub fn expiries_at_stake(&self) -> (u64, u64) {
        let (mut cleared, mut not_known) = (0, 0);
        for planned in &self.corrections {
            match &planned.correction {
                Correction::Protect(_, ExpiryChange::Cleared(_)) | Correction::ClearExpiry(..) => {
                    cleared += 1;
                }
                Correction::Protect(_, ExpiryChange::NotKnown(_)) => not_known += 1,
                Correction::Operation(operation) => {
                    let impact = operation.impact().unwrap_or_default();
                    cleared += impact.expiries_cleared;
                    not_known += impact.expiries_not_stated;
                }
                _ => {}
            }
        }
        (cleared, not_known)
    }

    /// How many subjects wait for a decision.
    pub fn undecided(&self) -> u64 {
        self.decisions
            .iter()
            .map(|decision| decision.subjects)
            .sum()
    }
}

/// Questions by rule, namespace and repository.
type Open = BTreeMap<(RuleId, String, String), OpenDecision>;

/// Tags by repository and name, then policies' rows, then operations. Of one tag's corrections the
/// one that leaves its row alone is first: a batch may end between two, and the second still finds
/// the row that it expects.
fn place(correction: &Correction) -> (u8, i64, i64, bool) {
    if let Some(tag) = correction.tag() {
        let repository = i64::from(tag.repository().0);
        let writes = !matches!(correction, Correction::Keep(_));
        return (0, repository, i64::from(tag.id().0), writes);
    }
    let row = |policy: Option<&PolicySubject>| policy.map_or(0, |policy| i64::from(policy.id.0));
    let (kind, id) = match (correction, correction.policy()) {
        (Correction::Operation(Operation::Recover(operation, _)), _) => (2, operation.id.0),
        (Correction::Operation(_), policy) => (3, row(policy)),
        (_, policy) => (1, row(policy)),
    };
    (kind, id, 0, false)
}

/// Of some remedies those that the subject allows: only a policy with a stand-in can be merged.
fn possible(mut remedies: Vec<RemedyKind>, subject: &Subject) -> Vec<RemedyKind> {
    if let Subject::Policy(policy) = subject {
        remedies.retain(|remedy| *remedy != RemedyKind::Merge || policy.stand_in().is_some());
    }
    remedies
}

fn doable(rule: &Rule) -> Vec<RemedyKind> {
    let by_fix = rule.remedies.iter().filter(|remedy| remedy.by == Doer::Fix);
    by_fix.map(|remedy| remedy.name).collect()
}

fn ask(
    open: &mut Open,
    rule: RuleId,
    subject: Subject,
    (options, doable): (Vec<RemedyKind>, Vec<RemedyKind>),
) {
    let (namespace, repository) = subject.place();
    let (namespace, repository) = (namespace.to_owned(), repository.to_owned());
    let name = match subject {
        Subject::Tag(tag) => tag.row.name,
        Subject::Policy(policy) => policy.pattern,
        Subject::Operation(operation) => operation.id.to_string(),
        Subject::Row(row) => row.name,
    };
    let decision = open
        .entry((rule.clone(), namespace.clone(), repository.clone()))
        .or_insert_with(|| OpenDecision {
            rule,
            namespace,
            repository,
            subjects: 0,
            options,
            doable,
            examples: Vec::new(),
        });
    decision.subjects += 1;
    if decision.examples.len() < EXAMPLES {
        decision.examples.push(name);
    }
}

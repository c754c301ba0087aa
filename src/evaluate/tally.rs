//! The evaluator: facts of rows, candidates, and the sums of each rule.

use std::collections::HashMap;

use super::{
    Account, Decision, Moment, PolicyBook, PolicyRow, PolicyStanding, PolicySubject, Registry,
    RuleOutcome, Stated, Strictness, Subject, TagRow, TagSubject, Truth, Undecided, Verdict,
    Violation, Why, WorkerLife, judge,
};
use crate::quay::{TagId, is_alive};
use crate::rules::{Fact, Rule, SubjectKind};

/// Judges rows by rules and keeps the sums. What it judges by (policies, names, the moment) is of
/// one snapshot.
pub struct Evaluator<'a> {
    rules: &'a [Rule],
    registry: &'a Registry,
    policies: &'a PolicyBook,
    moment: Moment,
    outcomes: Vec<RuleOutcome>,
}

/// A tag that violates a rule unless evidence explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The rule's place in the evaluator.
    rule: usize,
    /// The row.
    pub row: TagRow,
}

impl Candidate {
    /// Whether both are about the same tag and the same rule.
    pub fn same_case(&self, other: &Self) -> bool {
        self.rule == other.rule && self.row.id == other.row.id
    }
}

impl<'a> Evaluator<'a> {
    /// An evaluator with empty sums.
    pub fn new(
        rules: &'a [Rule],
        registry: &'a Registry,
        policies: &'a PolicyBook,
        moment: Moment,
    ) -> Self {
        let outcomes = rules
            .iter()
            .map(|rule| empty_outcome(rule, moment))
            .collect();
        Self {
            rules,
            registry,
            policies,
            moment,
            outcomes,
        }
    }

    /// Judges a tag by every rule about tags; the rules that it violates but for evidence.
    pub fn tag(&mut self, row: &TagRow) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut matched = None;
        for (index, rule) in self.rules.iter().enumerate() {
            let outcome = &mut self.outcomes[index];
            if rule.subject != SubjectKind::Tag || outcome.skipped.is_some() {
                continue;
            }
            let verdict = judge(rule, |fact| {
                tag_fact(
                    fact,
                    row,
                    self.moment,
                    self.registry,
                    self.policies,
                    &mut matched,
                )
            });
            match verdict {
                Verdict::NotASubject => {}
                Verdict::Sound => outcome.subjects += 1,
                Verdict::Undecided(why) => outcome.undecided(&why),
                Verdict::Violated => candidates.push(Candidate {
                    rule: index,
                    row: row.clone(),
                }),
            }
        }
        candidates
    }

    /// Concludes on candidates, with the evidence that was found about their tags: the violations
    /// that count. What evidence explains is counted apart, unless the evaluation is strict.
    pub fn conclude(
        &mut self,
        candidates: Vec<Candidate>,
        accounts: &HashMap<TagId, Account>,
    ) -> Vec<Violation> {
        let mut violations = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let rule = &self.rules[candidate.rule];
            let outcome = &mut self.outcomes[candidate.rule];
            let evidence: Account = accounts
                .get(&candidate.row.id)
                .into_iter()
                .flatten()
                .filter(|found| rule.excused_by.contains(&found.evidence()))
                .cloned()
                .collect();
            outcome.subjects += 1;
            if !evidence.is_empty() && self.moment.strictness == Strictness::Lenient {
                outcome.explained += 1;
                continue;
            }
            outcome.violations += 1;
            let subject = tag_subject(candidate.row, self.registry);
            violations.push(violation(rule, Subject::Tag(subject), evidence));
        }
        violations
    }

    /// A candidate that was sound when it was looked at again counts as a sound subject.
    pub fn was_in_progress(&mut self, candidate: &Candidate) {
        self.outcomes[candidate.rule].subjects += 1;
    }

    /// Judges every policy by every rule about policies.
    pub fn policies(&mut self, standing: impl Fn(&PolicyRow) -> PolicyStanding) -> Vec<Violation> {
        let mut violations = Vec::new();
        for row in self.policies.rows() {
            let stands = standing(row);
            for (index, rule) in self.rules.iter().enumerate() {
                let outcome = &mut self.outcomes[index];
                if rule.subject != SubjectKind::Policy || outcome.skipped.is_some() {
                    continue;
                }
                match judge(rule, |fact| policy_fact(fact, row, &stands, self.moment)) {
                    Verdict::NotASubject => {}
                    Verdict::Sound => outcome.subjects += 1,
                    Verdict::Undecided(why) => outcome.undecided(&why),
                    Verdict::Violated => {
                        outcome.subjects += 1;
                        outcome.violations += 1;
                        let subject = policy_subject(row, &stands, self.registry);
                        violations.push(violation(rule, Subject::Policy(subject), Vec::new()));
                    }
                }
            }
        }
        violations
    }

    /// The sums.
    pub fn into_outcomes(self) -> Vec<RuleOutcome> {
        self.outcomes
    }
}

impl RuleOutcome {
    fn undecided(&mut self, why: &Why) {
        self.subjects += 1;
        self.undecided.subjects += 1;
        self.undecided.reason.get_or_insert_with(|| why.to_string());
    }
}

fn empty_outcome(rule: &Rule, moment: Moment) -> RuleOutcome {
    // Without enforcement a mutable tag under a policy is what Quay means it to be.
    let needs_enforcement = rule.condition.contains(&Fact::MatchedByActivePolicy);
    let skipped = (needs_enforcement && moment.features.immutable_tags == Stated::Off)
        .then(|| "FEATURE_IMMUTABLE_TAGS is stated to be false: no policy is enforced".to_owned());
    RuleOutcome {
        id: rule.id.clone(),
        severity: rule.severity,
        summary: rule.summary.clone(),
        subjects: 0,
        violations: 0,
        explained: 0,
        undecided: Undecided::default(),
        skipped,
    }
}

/// A fact about a tag. The policies' decision is the only costly one; it is made at most once.
fn tag_fact(
    fact: Fact,
    row: &TagRow,
    moment: Moment,
    registry: &Registry,
    policies: &PolicyBook,
    matched: &mut Option<Truth>,
) -> Truth {
    match fact {
        Fact::Live => is_alive(row.hidden, row.expiry, moment.millis()).into(),
        Fact::Immutable => row.immutability.as_column().into(),
        Fact::Mutable => (!row.immutability.as_column()).into(),
        Fact::MatchedByActivePolicy => matched
            .get_or_insert_with(|| {
                let namespace = registry.namespace_of(row.repository);
                match policies.decide(row.repository, namespace, &row.name) {
                    Decision::Immutable(_) => Truth::Yes,
                    Decision::Mutable => Truth::No,
                    Decision::Unknown(why) => Truth::Unknown(why),
                }
            })
            .clone(),
        // A rule file with such a fact about a tag is refused when it is read.
        Fact::Active
        | Fact::Inactive
        | Fact::OwnedByLiveOperation
        | Fact::Young
        | Fact::StagedOnPurpose => Truth::No,
    }
}

fn policy_fact(fact: Fact, row: &PolicyRow, stands: &PolicyStanding, moment: Moment) -> Truth {
    let inactive = row.activity == super::Activity::Inactive;
    match fact {
        Fact::Active => (!inactive).into(),
        Fact::Inactive => inactive.into(),
        Fact::OwnedByLiveOperation => matches!(stands.owner, Some((_, WorkerLife::Alive))).into(),
        Fact::Young => row
            .created
            .is_some_and(|created| {
                // A date in the future is a clock's fault, and young.
                (moment.now - created)
                    .to_std()
                    .is_ok_and(|age| age < moment.stale_after)
                    || created > moment.now
            })
            .into(),
        Fact::StagedOnPurpose => stands.staged.into(),
        Fact::Live | Fact::Immutable | Fact::Mutable | Fact::MatchedByActivePolicy => Truth::No,
    }
}

fn tag_subject(row: TagRow, registry: &Registry) -> TagSubject {
    let (namespace, repository) = registry.repository_names(row.repository);
    TagSubject {
        namespace: namespace.to_owned(),
        repository: repository.to_owned(),
        row,
    }
}

fn policy_subject(row: &PolicyRow, stands: &PolicyStanding, registry: &Registry) -> PolicySubject {
    let (namespace, repository) = registry.scope_names(row.scope);
    PolicySubject {
        id: row.id,
        uuid: row.uuid.clone(),
        scope: row.scope,
        namespace: namespace.to_owned(),
        repository: repository.map(str::to_owned),
        pattern: row
            .text
            .parse()
            .map_or_else(|_| row.text.0.clone(), |p| p.pattern),
        owner: stands.owner,
    }
}

fn violation(rule: &Rule, subject: Subject, evidence: Account) -> Violation {
    Violation {
        rule: rule.id.clone(),
        severity: rule.severity,
        message: rule.message.clone(),
        subject,
        evidence,
        remedies: rule.remedies.iter().map(|remedy| remedy.name).collect(),
    }
}

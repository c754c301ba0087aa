//! The evaluator: rows judged by every rule, candidates, and the sums of each rule.

use std::collections::HashMap;

use super::policy_facts::{PolicyFacts, operation_says, operation_truth};
use super::subjects::{policy_subject, tag_subject};
use super::tag_facts::{TagFacts, can_expire};
use super::{
    Account, Found, Grace, Moment, OperationSubject, PolicyBook, PolicyRow, PolicyStanding,
    Registry, RowSubject, RuleOutcome, Stated, Strictness, Subject, TagRow, Truth, Undecided,
    Verdict, Violation, Why, WorkerLife, judge,
};
use crate::quay::TagId;
use crate::rules::{Fact, Rule, RuleId, SubjectKind};

/// Judges rows by rules and keeps the sums. What it judges by (policies, names, the moment) is of
/// one snapshot.
pub struct Evaluator<'a> {
    rules: &'a [Rule],
    registry: &'a Registry,
    policies: &'a PolicyBook,
    moment: Moment,
    grace: Grace,
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
    /// An evaluator with empty sums, to which no policy is settling.
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
            grace: Grace::default(),
            outcomes,
        }
    }

    /// The same, to which tags under policies younger than this are settling.
    pub fn with_grace(mut self, grace: Grace) -> Self {
        self.grace = grace;
        self
    }

    /// Judges a tag by every rule about tags; the rules that it violates but for evidence.
    pub fn tag(&mut self, row: &TagRow) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (rule, verdict) in self.verdicts(row) {
            let outcome = &mut self.outcomes[rule];
            match verdict {
                Verdict::NotASubject => {}
                Verdict::Sound => outcome.subjects += 1,
                Verdict::Undecided(why) => outcome.undecided(&why),
                Verdict::Violated => candidates.push(Candidate {
                    rule,
                    row: row.clone(),
                }),
            }
        }
        candidates
    }

    /// What each rule about tags says of a tag, evidence aside; no sum changes.
    pub fn verdicts(&self, row: &TagRow) -> Vec<(usize, Verdict)> {
        let mut facts = TagFacts {
            row,
            moment: self.moment,
            grace: self.grace,
            registry: self.registry,
            policies: self.policies,
            matched: None,
        };
        self.rules
            .iter()
            .enumerate()
            .filter(|(index, rule)| self.applies(*index, rule, SubjectKind::Tag))
            .map(|(index, rule)| (index, judge(rule, |fact| facts.truth(fact))))
            .collect()
    }

    pub(super) fn applies(&self, index: usize, rule: &Rule, subject: SubjectKind) -> bool {
        rule.subject == subject && self.outcomes[index].skipped.is_none()
    }

    /// Judges a tag that is not known by its row, and counts it unless some rule complains of it;
    /// whether it was counted.
    pub(super) fn tag_unless_violated(&mut self, row: &TagRow) -> bool {
        let verdicts = self.verdicts(row);
        if verdicts
            .iter()
            .any(|(_, verdict)| *verdict == Verdict::Violated)
        {
            return false;
        }
        for (rule, verdict) in verdicts {
            let outcome = &mut self.outcomes[rule];
            match verdict {
                Verdict::NotASubject | Verdict::Violated => {}
                Verdict::Sound => outcome.subjects += 1,
                Verdict::Undecided(why) => outcome.undecided(&why),
            }
        }
        true
    }

    /// Whether immutable tags may expire.
    pub(super) fn can_expire(&self) -> Truth {
        can_expire(self.moment)
    }

    /// Adds the sums of another evaluator by the same rules.
    pub fn absorb(&mut self, outcomes: Vec<RuleOutcome>) {
        for (outcome, more) in self.outcomes.iter_mut().zip(outcomes) {
            outcome.absorb(more);
        }
    }

    /// Whether evidence can explain the candidate; where it cannot, none need be looked for.
    pub fn wants_evidence(&self, candidate: &Candidate) -> bool {
        !self.rules[candidate.rule].excused_by.is_empty()
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
            let found = accounts.get(&candidate.row.id).into_iter().flatten();
            let evidence = excusing(&self.rules[candidate.rule], found);
            let case = (candidate.rule, evidence);
            let account = accounts.get(&candidate.row.id).cloned().unwrap_or_default();
            let interrupted = account.iter().find_map(Found::interrupted);
            let subject = Subject::Tag(tag_subject(candidate.row, account, self.registry));
            let counted = self.count(case, subject, Severe::AsTheRule, |_| None);
            violations.extend(counted.map(|mut violation| {
                if let Some(operation) = interrupted {
                    violation.message = format!(
                        "{}: it is operation {operation}'s, which was interrupted; `quay-doctor recover` ends it",
                        violation.message
                    );
                }
                violation
            }));
        }
        violations
    }

    /// Counts a subject that does not hold what must hold; the violation, where it is one.
    fn count(
        &mut self,
        (rule, evidence): (usize, Account),
        subject: Subject,
        severe: Severe,
        says: impl Fn(&str) -> Option<String>,
    ) -> Option<Violation> {
        let outcome = &mut self.outcomes[rule];
        if !evidence.is_empty() && self.moment.strictness == Strictness::Lenient {
            // What nothing but an operation at work accounts for is as it should be when that has ended, and not before.
            match evidence.as_slice() {
                [Found::LiveOperation { operation }] => outcome.undecided(&Why::AtWork {
                    operation: *operation,
                }),
                _ => {
                    outcome.subjects += 1;
                    outcome.explained += 1;
                }
            }
            return None;
        }
        outcome.subjects += 1;
        let rule = &self.rules[rule];
        let severity = match (&rule.milder, severe) {
            (Some(milder), Severe::Less) => milder.severity,
            _ => rule.severity,
        };
        outcome.violated(severity);
        Some(Violation {
            rule: rule.id.clone(),
            severity,
            message: filled(&rule.message, says),
            subject,
            evidence,
            remedies: rule.remedies.iter().map(|remedy| remedy.name).collect(),
        })
    }

    /// What could account for a candidate cannot be read: whether it is a violation is not known.
    pub fn not_accounted(&mut self, candidate: &Candidate, unreadable: &'static str) {
        self.outcomes[candidate.rule].undecided(&Why::Unreadable(unreadable));
    }

    /// What the candidate's rule says of a row, as this evaluator judges it.
    pub fn verdict_on(&self, candidate: &Candidate, row: &TagRow) -> Verdict {
        self.verdicts(row)
            .into_iter()
            .find(|(rule, _)| *rule == candidate.rule)
            .map_or(Verdict::NotASubject, |(_, verdict)| verdict)
    }

    /// A candidate that was no violation when it was looked at again: work was in progress, and it
    /// counts as a sound subject; unless what it depends on can no longer be told.
    pub fn was_in_progress(&mut self, candidate: &Candidate, again: &Verdict) {
        let outcome = &mut self.outcomes[candidate.rule];
        match again {
            Verdict::Undecided(why) => outcome.undecided(why),
            _ => outcome.subjects += 1,
        }
    }

    /// Judges every policy by every rule about policies.
    pub fn policies(&mut self, standing: impl Fn(&PolicyRow) -> PolicyStanding) -> Vec<Violation> {
        self.policies_where(standing, |_| true)
    }

    /// Judges some policies, as if all of them; the others are only looked at beside them.
    pub fn policies_where(
        &mut self,
        standing: impl Fn(&PolicyRow) -> PolicyStanding,
        judged: impl Fn(&PolicyRow) -> bool,
    ) -> Vec<Violation> {
        let (rules, registry, book) = (self.rules, self.registry, self.policies);
        let mut violations = Vec::new();
        for (row, reading) in book.read_rows().filter(|(row, _)| judged(row)) {
            let stands = standing(row);
            let facts = PolicyFacts {
                row,
                reading,
                stands: &stands,
                moment: self.moment,
                registry,
                policies: book,
            };
            for (index, rule) in rules.iter().enumerate() {
                if !self.applies(index, rule, SubjectKind::Policy) {
                    continue;
                }
                match judge(rule, |fact| facts.truth(fact)) {
                    Verdict::NotASubject => {}
                    Verdict::Sound => self.outcomes[index].subjects += 1,
                    Verdict::Undecided(why) => self.outcomes[index].undecided(&why),
                    Verdict::Violated => {
                        let found = policy_evidence(row, &stands, book);
                        let case = (index, excusing(rule, found.iter()));
                        let severe = Severe::of(rule, |fact| facts.truth(fact).is_yes());
                        let twin = facts.twin(rule).map(|twin| (twin, standing(twin).owner));
                        let subject = policy_subject(row, &stands, twin, registry);
                        let subject = Subject::Policy(subject);
                        violations.extend(self.count(case, subject, severe, |p| facts.says(p)));
                    }
                }
            }
        }
        violations
    }

    /// Judges operations that have not ended by every rule about them.
    pub fn operations(&mut self, operations: &[OperationSubject]) -> Vec<Violation> {
        let rules = self.rules;
        let mut violations = Vec::new();
        for operation in operations {
            for (index, rule) in rules.iter().enumerate() {
                if !self.applies(index, rule, SubjectKind::Operation) {
                    continue;
                }
                match judge(rule, |fact| operation_truth(operation, fact)) {
                    Verdict::NotASubject => {}
                    Verdict::Sound => self.outcomes[index].subjects += 1,
                    Verdict::Undecided(why) => self.outcomes[index].undecided(&why),
                    Verdict::Violated => {
                        let severe =
                            Severe::of(rule, |fact| operation_truth(operation, fact).is_yes());
                        let subject = Subject::Operation(operation.clone());
                        violations.extend(self.count(
                            (index, Vec::new()),
                            subject,
                            severe,
                            |placeholder| operation_says(operation, placeholder),
                        ));
                    }
                }
            }
        }
        violations
    }

    /// Takes a row that a rule's own query returned; `columns` are what its message may name.
    pub fn row(
        &mut self,
        rule: &RuleId,
        row: RowSubject,
        columns: impl Fn(&str) -> Option<String>,
    ) -> Option<Violation> {
        let index = self.rules.iter().position(|known| known.id == *rule)?;
        let subject = Subject::Row(row);
        self.count((index, Vec::new()), subject, Severe::AsTheRule, columns)
    }

    /// A violation was known before: it is counted apart.
    pub fn was_known(&mut self, violation: &Violation) {
        if let Some(outcome) = self.outcomes.iter_mut().find(|o| o.id == violation.rule) {
            outcome.was_known(violation.severity);
        }
    }

    /// A rule could not be carried out: it is undecided, the others go on.
    pub fn failed(&mut self, rule: &RuleId, why: String) {
        if let Some(outcome) = self.outcomes.iter_mut().find(|o| o.id == *rule) {
            outcome.failed = Some(why);
        }
    }

    /// A rule cannot be judged for lack of something, and is none of this database's.
    pub fn skip(&mut self, subject: SubjectKind, why: &str) {
        for (rule, outcome) in self.rules.iter().zip(&mut self.outcomes) {
            if rule.subject == subject && outcome.skipped.is_none() {
                outcome.skipped = Some(why.to_owned());
            }
        }
    }

    /// The sums.
    pub fn into_outcomes(self) -> Vec<RuleOutcome> {
        self.outcomes
    }
}

/// How severe one violation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Severe {
    AsTheRule,
    Less,
}

impl Severe {
    fn of(rule: &Rule, is_true: impl Fn(Fact) -> bool) -> Self {
        match &rule.milder {
            Some(milder) if milder.when.iter().all(|fact| is_true(*fact)) => Self::Less,
            _ => Self::AsTheRule,
        }
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
        milder: None,
        known: 0,
        explained: 0,
        undecided: Undecided::default(),
        accepted: 0,
        settling: 0,
        settled_by: None,
        failed: None,
        skipped,
    }
}

/// What of the evidence found excuses by this rule.
fn excusing<'f>(rule: &Rule, found: impl Iterator<Item = &'f Found>) -> Account {
    found.filter(|found| found.excuses(rule)).cloned().collect()
}

fn policy_evidence(row: &PolicyRow, stands: &PolicyStanding, book: &PolicyBook) -> Account {
    let mut found = Account::new();
    if let Some((operation, WorkerLife::Alive)) = stands.owner {
        found.push(Found::LiveOperation { operation });
    }
    if book.is_accepted(row) {
        found.push(Found::Accepted);
    }
    found
}

/// A message with every `{name}` replaced; what stands for nothing is left as it is.
fn filled(message: &str, says: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, after)) => {
                match says(name) {
                    Some(value) => out.push_str(&value),
                    None => {
                        out.push('{');
                        out.push_str(name);
                        out.push('}');
                    }
                }
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn a_messages_placeholders_are_filled_and_others_are_left() {
        let says = |name: &str| (name == "why").then(|| "{x}".to_owned());
        assert_eq!(filled("a {why} b {what} {c", says), "a {x} b {what} {c");
        assert_eq!(filled("plain", says), "plain");
    }
}

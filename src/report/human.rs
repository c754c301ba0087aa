//! Outcomes for people: what, where, why, what to do; the first few, then counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{ApplyReport, CheckReport, PlanReport, UndoReport, harmless};
use crate::correction::{Correction, ExpiryChange, OpenDecision, Planned};
use crate::evaluate::{RuleOutcome, Status, Subject, Violation};

/// How many subjects are shown by name of each rule and repository.
const SHOWN: usize = 3;
/// How many repositories are shown of each rule.
const SHOWN_PLACES: usize = 10;

/// Writing to a `String` cannot fail; this says so once.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => { { let _ = writeln!($out, $($arg)*); } };
}

/// A check.
pub fn check_for_people(report: &CheckReport) -> String {
    let mut out = String::new();
    let database = &report.database;
    line!(
        out,
        "PostgreSQL {}, Quay's schema {}, quay-doctor's migration {}",
        database.server_version,
        if database.alembic.is_empty() {
            "unknown".into()
        } else {
            database.alembic.join(", ")
        },
        database.migration
    );
    for note in &report.notes {
        line!(out, "note: {note}");
    }
    line!(out);
    for rule in &report.rules {
        rule_line(&mut out, rule);
        violations_of(&mut out, rule, &report.violations);
    }
    line!(out);
    verdict(&mut out, report);
    out
}

fn rule_line(out: &mut String, rule: &RuleOutcome) {
    let (mark, status) = match rule.status() {
        Status::Held => ("ok", "holds"),
        Status::Violated => ("!!", "violated"),
        Status::Undecided => ("??", "undecided"),
        Status::Skipped => ("--", "skipped"),
    };
    let mut counts = Vec::new();
    if rule.violations > 0 {
        counts.push(plural(rule.violations, "violation"));
    }
    if rule.explained > 0 {
        counts.push(format!("{} explained", thousands(rule.explained)));
    }
    if rule.undecided.subjects > 0 {
        counts.push(format!("{} undecided", thousands(rule.undecided.subjects)));
    }
    counts.push(format!("{} looked at", thousands(rule.subjects)));
    line!(
        out,
        "{mark} {:<24} {status:<10} {}",
        rule.id.0,
        counts.join(", ")
    );
    if let Some(reason) = rule.reason() {
        line!(out, "     {}", harmless(reason));
    }
}

fn violations_of(out: &mut String, rule: &RuleOutcome, violations: &[Violation]) {
    let mut places: BTreeMap<(String, String), Vec<&Violation>> = BTreeMap::new();
    for violation in violations
        .iter()
        .filter(|violation| violation.rule == rule.id)
    {
        places
            .entry(place(&violation.subject))
            .or_default()
            .push(violation);
    }
    let Some(first) = places.values().next().and_then(|of_place| of_place.first()) else {
        return;
    };
    let what = match first.subject {
        Subject::Tag(_) => "a tag here",
        Subject::Policy(_) => "a policy here",
    };
    line!(out, "   {what} {}", first.message);
    for (index, ((namespace, repository), here)) in places.iter().enumerate() {
        if index == SHOWN_PLACES {
            line!(
                out,
                "     … and in {} more places",
                places.len() - SHOWN_PLACES
            );
            break;
        }
        let names: Vec<String> = here
            .iter()
            .take(SHOWN)
            .map(|violation| name(&violation.subject))
            .collect();
        let more = here.len().saturating_sub(SHOWN);
        let tail = if more > 0 {
            format!(", … {} more", thousands(more as u64))
        } else {
            String::new()
        };
        let place = if repository.is_empty() {
            harmless(namespace)
        } else {
            format!("{}/{}", harmless(namespace), harmless(repository))
        };
        line!(out, "     {place}: {}{tail}", names.join(", "));
    }
    let remedies: Vec<String> = first.remedies.iter().map(ToString::to_string).collect();
    line!(out, "   what can be done: {}", remedies.join(" | "));
}

fn place(subject: &Subject) -> (String, String) {
    match subject {
        Subject::Tag(tag) => (tag.namespace.clone(), tag.repository.clone()),
        Subject::Policy(policy) => (
            policy.namespace.clone(),
            policy.repository.clone().unwrap_or_default(),
        ),
    }
}

fn name(subject: &Subject) -> String {
    match subject {
        Subject::Tag(tag) => harmless(&tag.row.name),
        Subject::Policy(policy) => {
            format!(
                "{} (pattern {})",
                harmless(&policy.uuid.0),
                harmless(&policy.pattern)
            )
        }
    }
}

fn verdict(out: &mut String, report: &CheckReport) {
    let seconds = (report.finished - report.started).as_seconds_f64();
    let total = report.total_violations();
    let undecided = report
        .rules
        .iter()
        .filter(|rule| rule.status() == Status::Undecided)
        .count();
    if undecided > 0 {
        line!(
            out,
            "Not known: {} could not be decided; {} found so far ({seconds:.1} s).",
            plural(undecided as u64, "rule"),
            plural(total, "violation")
        );
    } else if total > 0 {
        line!(
            out,
            "{} ({seconds:.1} s). `quay-doctor fix` plans what to do; it changes nothing.",
            plural(total, "violation")
        );
    } else {
        line!(out, "All is well ({seconds:.1} s).");
    }
}

/// A plan.
pub fn plan_for_people(report: &PlanReport) -> String {
    let mut out = String::new();
    let plan = &report.plan;
    if plan.is_empty() {
        line!(
            out,
            "{}",
            if report.unknown() {
                "Nothing to correct that could be decided; some rules are undecided."
            } else {
                "Nothing to do."
            }
        );
        return out;
    }
    line!(out, "The plan; nothing has been changed.");
    corrections(&mut out, &plan.corrections);
    for left in &plan.left {
        line!(
            out,
            "\nleft alone: policy {} belongs to operation {}, which has not ended",
            harmless(&left.policy.uuid.0),
            left.operation
        );
    }
    decisions(&mut out, &plan.decisions);
    let (cleared, not_known) = plan.expiries_at_stake();
    if cleared > 0 {
        line!(
            out,
            "\n{} would be cleared; undo restores them.",
            plural(cleared, "expiry date")
        );
    }
    if not_known > 0 {
        line!(
            out,
            "\n{} would be at stake: say --immutable-tags-can-expire true|false before --apply.",
            plural(not_known, "expiry date")
        );
    }
    if plan.beyond > 0 {
        line!(
            out,
            "\n{} more violations are not in this plan.",
            thousands(plan.beyond)
        );
    }
    if !plan.corrections.is_empty() {
        line!(out, "\nTo carry it out: the same command with --apply.");
    }
    out
}

/// Counts by namespace and repository.
type Places = BTreeMap<(String, String), u64>;

fn corrections(out: &mut String, corrections: &[Planned]) {
    let mut groups: BTreeMap<(&str, &str), Places> = BTreeMap::new();
    for planned in corrections {
        let place = match &planned.correction {
            Correction::DeletePolicy(policy) => place(&Subject::Policy(policy.clone())),
            Correction::Release(tag) | Correction::Protect(tag, _) | Correction::Keep(tag) => (
                tag.subject.namespace.clone(),
                tag.subject.repository.clone(),
            ),
        };
        *groups
            .entry((&planned.rule.0, planned.correction.verb()))
            .or_default()
            .entry(place)
            .or_default() += 1;
    }
    for ((rule, verb), places) in groups {
        let total: u64 = places.values().sum();
        line!(out, "\n{verb} {}   (rule {rule})", thousands(total));
        for (index, ((namespace, repository), count)) in places.iter().enumerate() {
            if index == SHOWN_PLACES {
                line!(
                    out,
                    "     … and in {} more places",
                    places.len() - SHOWN_PLACES
                );
                break;
            }
            let slash = if repository.is_empty() { "" } else { "/" };
            line!(
                out,
                "     {}{slash}{}: {}",
                harmless(namespace),
                harmless(repository),
                thousands(*count)
            );
        }
    }
    let protected_expiring = corrections.iter().any(|planned| {
        matches!(
            planned.correction,
            Correction::Protect(_, ExpiryChange::Cleared(_))
        )
    });
    if protected_expiring {
        line!(
            out,
            "     (a tag that is made immutable loses its expiry, as in Quay)"
        );
    }
}

fn decisions(out: &mut String, decisions: &[OpenDecision]) {
    for (index, decision) in decisions.iter().enumerate() {
        if index == SHOWN_PLACES {
            line!(
                out,
                "\n… and {} more decisions",
                decisions.len() - SHOWN_PLACES
            );
            break;
        }
        let options: Vec<String> = decision.options.iter().map(ToString::to_string).collect();
        let examples: Vec<String> = decision
            .examples
            .iter()
            .map(|name| harmless(name))
            .collect();
        let more = if decision.subjects > examples.len() as u64 {
            ", …"
        } else {
            ""
        };
        line!(
            out,
            "\nneeds a decision: {}\n     {} in {}/{} ({}{more})\n     say --remedy {}=NAME",
            options.join(" | "),
            thousands(decision.subjects),
            harmless(&decision.namespace),
            harmless(&decision.repository),
            examples.join(", "),
            decision.rule
        );
    }
}

/// A run.
pub fn apply_for_people(report: &ApplyReport) -> String {
    let mut out = String::new();
    line!(
        out,
        "Run {}: {} applied, {} skipped, {} expiry dates cleared, in {} batches ({:.1} s, the longest {} ms).",
        report.run,
        thousands(report.applied),
        thousands(report.skipped),
        thousands(report.expirations_cleared),
        thousands(report.batches),
        report.seconds,
        report.longest_batch_ms
    );
    if report.past_expiries > 0 {
        line!(
            out,
            "{} had an expiry that has passed: released without it (--restore-past-expiry writes it).",
            plural(report.past_expiries, "tag")
        );
    }
    if report.skipped > 0 {
        line!(
            out,
            "What was skipped had changed since the plan, or was held by somebody else."
        );
    }
    if report.undecided > 0 {
        line!(
            out,
            "{} still wait for a decision.",
            thousands(report.undecided)
        );
    }
    if report.left > 0 {
        line!(
            out,
            "{} left to an unfinished operation.",
            plural(report.left, "policy")
        );
    }
    line!(out, "To take it back: quay-doctor fix undo {}", report.run);
    out
}

/// An undo.
pub fn undo_for_people(report: &UndoReport) -> String {
    let mut out = String::new();
    line!(
        out,
        "Run {}: {} taken back, {} refused ({:.1} s).",
        report.run,
        thousands(report.undone),
        thousands(report.refused),
        report.seconds
    );
    if report.past_expiries > 0 {
        line!(
            out,
            "{} had an expiry that has passed: left out (--restore-past-expiry writes it).",
            plural(report.past_expiries, "tag")
        );
    }
    for (what, why) in &report.refusals {
        line!(out, "     {}: {why}", harmless(what));
    }
    let unlisted = report.refused - report.refusals.len() as u64;
    if unlisted > 0 {
        line!(out, "     … and {} more", thousands(unlisted));
    }
    out
}

/// A number with its noun.
fn plural(count: u64, noun: &str) -> String {
    let number = thousands(count);
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("{number} {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// A number in groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(plural(1, "policy"), "1 policy");
        assert_eq!(plural(2_000, "policy"), "2,000 policies");
        assert_eq!(plural(0, "violation"), "0 violations");
    }
}

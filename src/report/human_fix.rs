//! Plans, runs and undos for people: the first few by name, then counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::words::{line, plural, thousands};
use super::{ApplyReport, ConductedEnd, MoreToDo, PlanReport, UndoReport, harmless};
use crate::correction::{Correction, ExpiryChange, OpenDecision, Planned, ScopeProposal};

/// How many repositories are shown of each rule.
const SHOWN_PLACES: usize = 10;

/// A plan.
pub fn plan_for_people(report: &PlanReport) -> String {
    let mut out = String::new();
    let plan = &report.plan;
    if plan.is_empty() {
        match report.unknown() {
            Some(why) => line!(
                out,
                "Nothing to correct that could be decided; {}.",
                harmless(&why)
            ),
            None => line!(out, "Nothing to do."),
        }
        return out;
    }
    line!(out, "The plan; nothing has been changed.");
    corrections(&mut out, &plan.corrections);
    for left in &plan.left {
        match &left.policy {
            Some(policy) => line!(
                out,
                "\nleft alone: policy {} belongs to operation {}, which has not ended",
                harmless(&policy.uuid.0),
                left.operation
            ),
            None => line!(
                out,
                "\nleft alone: operation {} has not ended, and its worker is gone",
                left.operation
            ),
        }
    }
    decisions(&mut out, &plan.decisions);
    proposals(&mut out, &plan.proposals);
    for idle in &plan.idle_decisions {
        line!(out, "\ndecided in vain: {}", harmless(idle));
    }
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
    if let Some(why) = report.unknown() {
        line!(out, "\nnot known whether that is all: {}", harmless(&why));
    }
    for note in &plan.notes {
        line!(out, "\nnote: {}", harmless(note));
    }
    if plan.beyond > 0 {
        line!(
            out,
            "\n{} more violations are not listed: --out FILE writes the whole plan.",
            thousands(plan.beyond)
        );
    }
    if let Some(digest) = &report.digest {
        line!(
            out,
            "\nDigest: {digest}\nTo carry out exactly this: quay-doctor fix --apply --plan FILE"
        );
    } else if !plan.corrections.is_empty() {
        line!(out, "\nTo carry it out: the same command with --apply.");
    }
    out
}

/// Counts by namespace and repository.
type Places = BTreeMap<(String, String), u64>;

fn corrections(out: &mut String, corrections: &[Planned]) {
    let mut groups: BTreeMap<(&str, &str), Places> = BTreeMap::new();
    let mut others: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for planned in corrections {
        let group = (planned.rule.0.as_str(), planned.correction.verb());
        match planned.correction.tag() {
            Some(tag) => {
                let (namespace, repository) = (&tag.subject.namespace, &tag.subject.repository);
                let place = (namespace.clone(), repository.clone());
                *groups.entry(group).or_default().entry(place).or_default() += 1;
            }
            None => others
                .entry(group)
                .or_default()
                .push(planned.correction.sentence()),
        }
    }
    for ((rule, verb), sentences) in others {
        let total = sentences.len() as u64;
        line!(out, "\n{verb} {}   (rule {rule})", thousands(total));
        for sentence in sentences.iter().take(SHOWN_PLACES) {
            line!(out, "     {}", harmless(sentence));
        }
        if sentences.len() > SHOWN_PLACES {
            line!(out, "     … and {} more", sentences.len() - SHOWN_PLACES);
        }
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
            line!(
                out,
                "     {}/{}: {}",
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
        let mut options: Vec<String> = decision.options.iter().map(ToString::to_string).collect();
        if options.is_empty() {
            options.push("another remedy than the one that was chosen".to_owned());
        }
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
        let how = if decision.doable.is_empty() {
            format!(
                "fix does not do that: quay-doctor rules explain {}",
                decision.rule
            )
        } else {
            format!("say --remedy {}=NAME, or --decide FILE", decision.rule)
        };
        line!(
            out,
            "\nneeds a decision: {}\n     {} in {}/{} ({}{more})\n     {how}",
            options.join(" | "),
            thousands(decision.subjects),
            harmless(&decision.namespace),
            harmless(&decision.repository),
            examples.join(", "),
        );
    }
}

/// The policies that most likely made the orphans, each with what speaks for it.
fn proposals(out: &mut String, scopes: &[ScopeProposal]) {
    for scope in scopes {
        let place = match &scope.repository {
            Some(repository) => format!("{}/{repository}", scope.namespace),
            None => scope.namespace.clone(),
        };
        line!(
            out,
            "\nthe policy that most likely left the orphans of {}:",
            harmless(&place)
        );
        for proposal in &scope.proposals {
            line!(
                out,
                "     {}{}: explains {} of {}, contradicts {} of {} left mutable before the last",
                harmless(&proposal.policy.pattern),
                if proposal.inverted() {
                    " --not-matching"
                } else {
                    ""
                },
                thousands(proposal.explains),
                plural(scope.orphans, "orphan"),
                thousands(proposal.contradicts),
                thousands(scope.passed_over),
            );
        }
    }
    if !scopes.is_empty() {
        line!(
            out,
            "     to create it again: --remedy orphaned-immutable-tag=recreate --pattern PATTERN"
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
    for conducted in &report.operations {
        let (ended, why) = match &conducted.end {
            ConductedEnd::Done => ("done", ""),
            ConductedEnd::Skipped(why) => ("skipped", why.as_str()),
            ConductedEnd::RolledBack(why) => ("rolled back", why.as_str()),
            ConductedEnd::Left(why) => (
                "not finished, see `quay-doctor recover --list`",
                why.as_str(),
            ),
        };
        let id = conducted
            .operation
            .map(|id| format!("operation {id}: "))
            .unwrap_or_default();
        line!(out, "     {id}{}", harmless(&conducted.sentence));
        let colon = if why.is_empty() { "" } else { ": " };
        let changed = plural(conducted.tags_changed, "tag");
        line!(
            out,
            "          {ended}{colon}{}; {changed} changed",
            harmless(why)
        );
    }
    if !report.further.is_empty() {
        let runs: Vec<String> = report.further.iter().map(ToString::to_string).collect();
        line!(
            out,
            "The operations brought more to light, which was corrected in run {}.",
            runs.join(", ")
        );
    }
    match &report.more {
        None => {}
        Some(MoreToDo::Again { corrections }) => line!(
            out,
            "The operations brought {} more to light: run the same command again.",
            plural(*corrections, "correction")
        ),
        Some(MoreToDo::Unknown(why)) => line!(
            out,
            "What the operations brought to light is not known, or not corrected: {}.",
            harmless(why)
        ),
    }
    for sentence in report.exceptions.sentences() {
        line!(out, "{}.", harmless(&sentence));
    }
    let named = &report.exceptions;
    if report.skipped > named.not_written.count() + named.duplicates.count() {
        line!(
            out,
            "What else was skipped had changed since the plan, or was held by somebody else."
        );
        for held in &report.held {
            line!(out, "     {}", harmless(held));
        }
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
            "{} left to recover.",
            plural(report.left, "unfinished operation")
        );
    }
    if let Some(why) = &report.unknown {
        line!(out, "Not known whether that is all: {}.", harmless(why));
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
    for sentence in report.exceptions.sentences() {
        line!(out, "{}.", harmless(&sentence));
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

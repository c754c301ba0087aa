//! A check for people: what, where, why, what to do; the first few, then counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::verdict::{counts, status, verdict};
use super::words::{line, place_of, subject, thousands};
use super::{CheckReport, Comparison, harmless};
use crate::evaluate::{RuleOutcome, Status, Subject, Violation};

/// How many subjects are shown by name of each rule and repository.
const SHOWN: usize = 3;
/// How many repositories are shown of each rule.
const SHOWN_PLACES: usize = 10;

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
    if let Some(comparison) = &report.comparison {
        compared(&mut out, comparison);
    }
    for stale in report.stale.iter().take(SHOWN_PLACES) {
        line!(
            out,
            "no longer there, and still in the baseline: {} {}: {}",
            stale.rule,
            place_of(
                &stale.namespace,
                stale.repository.as_deref().unwrap_or_default()
            ),
            harmless(&stale.name)
        );
    }
    if report.stale.len() > SHOWN_PLACES {
        line!(out, "… and {} more", report.stale.len() - SHOWN_PLACES);
    }
    last_line(&mut out, report);
    out
}

fn rule_line(out: &mut String, rule: &RuleOutcome) {
    let mark = match rule.status() {
        Status::Held => "ok",
        Status::Violated => "!!",
        Status::Undecided => "??",
        Status::Settling => "..",
        Status::Skipped => "--",
    };
    line!(
        out,
        "{mark} {:<26} {:<10} {}",
        rule.id.0,
        status(rule),
        counts(rule)
    );
    if let Some(reason) = rule.reason() {
        line!(out, "     {}", harmless(reason));
    }
}

fn violations_of(out: &mut String, rule: &RuleOutcome, violations: &[Violation]) {
    let mut places: BTreeMap<(&str, &str), Vec<&Violation>> = BTreeMap::new();
    for violation in violations
        .iter()
        .filter(|violation| violation.rule == rule.id)
    {
        places
            .entry(violation.subject.place())
            .or_default()
            .push(violation);
    }
    let Some(first) = places.values().next().and_then(|of_place| of_place.first()) else {
        return;
    };
    // Of tags the rule says the same; what it says of the others is about each of them.
    let tags = matches!(first.subject, Subject::Tag(_));
    if tags {
        line!(out, "   a tag here {}", first.message);
    }
    for ((namespace, repository), here) in places.iter().take(SHOWN_PLACES) {
        let place = place_of(namespace, repository);
        let more = here.len().saturating_sub(SHOWN);
        let more = (more > 0).then(|| format!("… {} more", thousands(more as u64)));
        let shown = here.iter().take(SHOWN);
        if tags {
            let names: Vec<String> = shown.map(|one| name(one)).chain(more).collect();
            line!(out, "     {place}: {}", names.join(", "));
        } else {
            line!(out, "     {place}:");
            for one in shown.map(|one| name(one)).chain(more) {
                line!(out, "       {one}");
            }
        }
    }
    if places.len() > SHOWN_PLACES {
        line!(
            out,
            "     … and in {} more places",
            places.len() - SHOWN_PLACES
        );
    }
    let remedies: Vec<String> = first.remedies.iter().map(ToString::to_string).collect();
    if !remedies.is_empty() {
        line!(out, "   what can be done: {}", remedies.join(" | "));
    }
}

fn name(violation: &Violation) -> String {
    match &violation.subject {
        Subject::Tag(tag) => harmless(&tag.row.name),
        other => harmless(&format!("{} {}", subject(other), violation.message)),
    }
}

fn compared(out: &mut String, comparison: &Comparison) {
    let Some(with) = comparison.with else {
        line!(
            out,
            "There is no recorded scan of the same scope to compare with."
        );
        return;
    };
    line!(
        out,
        "Since the scan of {}: {} new, {} gone, {} still there{}.",
        with.format("%Y-%m-%d %H:%M:%S UTC"),
        thousands(comparison.new.len() as u64),
        thousands(comparison.gone.len() as u64),
        thousands(comparison.still_there),
        if comparison.partial {
            ", of those listed"
        } else {
            ""
        }
    );
}

fn last_line(out: &mut String, report: &CheckReport) {
    let seconds = (report.finished - report.started).as_seconds_f64();
    let known = report.cut_short.is_none() && !report.is_undecided();
    let hint = if known && report.total_violations() > 0 {
        " `quay-doctor fix` plans what to do; it changes nothing."
    } else if known && report.total_settling() > 0 {
        " Check again when they have ended, a policy of Quay's after --grace; `quay-doctor recover --list` shows operations."
    } else {
        ""
    };
    line!(out, "{} ({seconds:.1} s).{hint}", verdict(report));
}

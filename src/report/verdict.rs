//! The verdict of a check, in a sentence that every format gives.

use super::CheckReport;
use super::words::{plural, thousands};
use crate::evaluate::{RuleOutcome, Status};

/// The verdict.
pub fn verdict(report: &CheckReport) -> String {
    let total = report.total_violations();
    let undecided = report
        .rules
        .iter()
        .filter(|rule| rule.status() == Status::Undecided)
        .count();
    let settling = report.total_settling();
    if let Some(why) = &report.cut_short {
        format!(
            "Not known: {why}; {} found until then",
            plural(total, "violation")
        )
    } else if undecided > 0 {
        format!(
            "Not known: {} could not be decided; {} found so far",
            plural(undecided as u64, "rule"),
            plural(total, "violation")
        )
    } else if total > 0 {
        plural(total, "violation")
    } else if settling > 0 {
        format!(
            "No violation, but {} pending: Quay or an operation may still be at work",
            match settling {
                1 => "1 subject is".to_owned(),
                more => format!("{} subjects are", thousands(more)),
            }
        )
    } else {
        "All is well".to_owned()
    }
}

/// A status in a word.
pub fn status(rule: &RuleOutcome) -> &'static str {
    match rule.status() {
        Status::Held => "holds",
        Status::Violated => "violated",
        Status::Undecided => "undecided",
        Status::Settling => "settling",
        Status::Skipped => "skipped",
    }
}

/// A rule's sums: what there is of each, and how many were looked at.
pub(super) fn counts(rule: &RuleOutcome) -> String {
    let mut counts = Vec::new();
    if rule.violations > 0 {
        counts.push(plural(rule.violations, "violation"));
    }
    for (count, what) in [
        (rule.known, "known"),
        (rule.explained, "explained"),
        (rule.undecided.subjects, "undecided"),
        (rule.accepted, "accepted as undecided"),
        (rule.settling, "settling"),
    ] {
        if count > 0 {
            counts.push(format!("{} {what}", thousands(count)));
        }
    }
    counts.push(format!("{} looked at", thousands(rule.subjects)));
    counts.join(", ")
}

//! A check in the text format of Prometheus, for the node exporter's textfile collector.

use std::fmt;

use super::CheckReport;
use super::figures::Figures;
use super::harmless::harmless;
use crate::evaluate::{RuleOutcome, Status};

/// A sum of each rule: the metric's name, its help, and the sum.
type Sum = (&'static str, &'static str, fn(&RuleOutcome) -> u64);

const SUMS: [Sum; 6] = [
    ("violations", "Subjects that violate the rule", |rule| {
        rule.violations
    }),
    (
        "explained",
        "Subjects that would violate the rule, but for evidence",
        |rule| rule.explained,
    ),
    ("undecided", "Subjects that could not be decided", |rule| {
        rule.undecided.subjects
    }),
    ("settling", "Subjects that Quay may be at work on", |rule| {
        rule.settling
    }),
    ("subjects", "Rows that the rule was about", |rule| {
        rule.subjects
    }),
    (
        "failed",
        "1 where the rule could not be carried out",
        |rule| u64::from(rule.failed.is_some()),
    ),
];

/// The report. Names of tags are not in it: a label's values must be few.
///
/// # Errors
/// [`fmt::Error`]: what was written is not whole.
pub fn check_prometheus(report: &CheckReport) -> Result<String, fmt::Error> {
    let mut figures = Figures::of("quay_doctor_check");
    for (name, help, sum) in SUMS {
        let rules = report
            .rules
            .iter()
            .filter(|rule| rule.status() != Status::Skipped);
        let values = rules.map(|rule| {
            let labels = vec![
                ("rule", harmless(&rule.id.0)),
                ("severity", rule.severity.to_string()),
            ];
            (labels, sum(rule))
        });
        figures.gauges(name, help, values);
    }
    figures.gauge(
        "complete",
        "1 where everything was looked at",
        u64::from(report.cut_short.is_none()),
    );
    figures.gauge(
        "duration_seconds",
        "How long the check took",
        (report.finished - report.started).as_seconds_f64(),
    );
    figures.gauge(
        "finished_timestamp_seconds",
        "When the check ended",
        report.finished.timestamp(),
    );
    figures.gauge(
        "migration_version",
        "Version of quay-doctor's migrations",
        report.database.migration,
    );
    figures.text()
}

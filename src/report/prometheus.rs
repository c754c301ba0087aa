//! A check in the text format of Prometheus, for the node exporter's textfile collector.

use std::fmt::Write as _;

use super::CheckReport;
use super::escape::label;
use super::words::line;
use crate::evaluate::{RuleOutcome, Status};

/// A sum of each rule: the metric's name, its help, and the sum.
type Sum = (&'static str, &'static str, fn(&RuleOutcome) -> u64);

const SUMS: [Sum; 6] = [
    ("violations", "Subjects that violate the rule.", |rule| {
        rule.violations
    }),
    (
        "explained",
        "Subjects that would violate the rule, but for evidence.",
        |rule| rule.explained,
    ),
    ("undecided", "Subjects that could not be decided.", |rule| {
        rule.undecided.subjects
    }),
    (
        "settling",
        "Subjects that Quay may be at work on.",
        |rule| rule.settling,
    ),
    ("subjects", "Rows that the rule was about.", |rule| {
        rule.subjects
    }),
    (
        "failed",
        "1 where the rule could not be carried out.",
        |rule| u64::from(rule.failed.is_some()),
    ),
];

/// The report. Names of tags are not in it: a label's values must be few.
pub fn check_prometheus(report: &CheckReport) -> String {
    let mut out = String::new();
    for (name, help, sum) in SUMS {
        let metric = format!("quay_doctor_check_{name}");
        line!(out, "# HELP {metric} {help}\n# TYPE {metric} gauge");
        for rule in report
            .rules
            .iter()
            .filter(|rule| rule.status() != Status::Skipped)
        {
            line!(
                out,
                "{metric}{{rule=\"{}\",severity=\"{}\"}} {}",
                label(&rule.id.0),
                rule.severity,
                sum(rule)
            );
        }
    }
    let seconds = (report.finished - report.started).as_seconds_f64();
    let complete = u8::from(report.cut_short.is_none());
    let finished = report.finished.timestamp();
    single(
        &mut out,
        "complete",
        "1 where everything was looked at.",
        &complete.to_string(),
    );
    single(
        &mut out,
        "duration_seconds",
        "How long the check took.",
        &format!("{seconds:.3}"),
    );
    single(
        &mut out,
        "finished_timestamp_seconds",
        "When the check ended.",
        &finished.to_string(),
    );
    single(
        &mut out,
        "migration_version",
        "Version of quay-doctor's migrations.",
        &report.database.migration.to_string(),
    );
    out
}

fn single(out: &mut String, name: &str, help: &str, value: &str) {
    let metric = format!("quay_doctor_check_{name}");
    line!(
        out,
        "# HELP {metric} {help}\n# TYPE {metric} gauge\n{metric} {value}"
    );
}

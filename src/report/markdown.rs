//! A check as Markdown, for the summary of a pipeline's job.

use std::fmt::Write as _;

use super::CheckReport;
use super::escape::markdown;
use super::verdict::{status, verdict};
use super::words::{line, sentence, thousands};
use crate::evaluate::Found;

/// How many violations of a rule are listed.
const SHOWN: usize = 20;

/// The report.
pub fn check_markdown(report: &CheckReport) -> String {
    let mut out = String::new();
    line!(out, "# quay-doctor: {}\n", markdown(&verdict(report)));
    line!(
        out,
        "PostgreSQL {}, {}\n",
        markdown(&report.database.server_version),
        report.finished.format("%Y-%m-%d %H:%M:%S UTC")
    );
    line!(
        out,
        "| rule | severity | status | violations | explained | undecided | settling | looked at |"
    );
    line!(
        out,
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    );
    for rule in &report.rules {
        line!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            markdown(&rule.id.0),
            rule.severity,
            status(rule),
            thousands(rule.violations),
            thousands(rule.explained),
            thousands(rule.undecided.subjects),
            thousands(rule.settling),
            thousands(rule.subjects)
        );
    }
    for rule in &report.rules {
        let reason = rule.reason();
        if rule.violations == 0 && reason.is_none() {
            continue;
        }
        line!(
            out,
            "\n## {}\n\n{}.\n",
            markdown(&rule.id.0),
            markdown(&rule.summary)
        );
        if let Some(reason) = reason {
            line!(out, "{}\n", markdown(reason));
        }
        let mut shown = 0;
        for violation in report.of(rule, SHOWN) {
            shown += 1;
            let evidence: Vec<String> = violation.evidence.iter().map(Found::to_string).collect();
            let evidence = if evidence.is_empty() {
                String::new()
            } else {
                format!(" ({})", markdown(&evidence.join("; ")))
            };
            line!(out, "* {}{evidence}", markdown(&sentence(violation)));
        }
        if rule.violations > shown {
            line!(out, "* … and {} more", thousands(rule.violations - shown));
        }
    }
    if !report.notes.is_empty() {
        line!(out, "\n## Notes\n");
    }
    for note in &report.notes {
        line!(out, "* {}", markdown(note));
    }
    out
}

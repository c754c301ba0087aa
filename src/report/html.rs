//! A check as one HTML file: no script, no network, light and dark.

use std::fmt::Write as _;

use super::CheckReport;
use super::escape::markup;
use super::verdict::{counts, status, verdict};
use super::words::{line, place_of, subject, thousands};
use crate::evaluate::{Found, RuleOutcome, Violation};

/// How many violations of a rule are listed.
const SHOWN: usize = 500;

/// The file's head. The policy forbids everything but the style that stands here.
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>quay-doctor check</title>
<style>
"#;

/// Colours by variable: the same page in the light and in the dark.
pub const STYLE: &str = include_str!("check.css");

/// The report.
pub fn check_html(report: &CheckReport) -> String {
    let mut out = String::from(HEAD);
    out.push_str(STYLE);
    line!(out, "</style>\n</head>\n<body>\n<main>");
    header(&mut out, report);
    overview(&mut out, report);
    for rule in &report.rules {
        if rule.violations > 0 || rule.reason().is_some() {
            section(&mut out, report, rule);
        }
    }
    notes(&mut out, report);
    line!(out, "</main>\n</body>\n</html>");
    out
}

fn header(out: &mut String, report: &CheckReport) {
    let class = if report.cut_short.is_some() || report.is_undecided() {
        "undecided"
    } else if report.total_violations() > 0 {
        "violated"
    } else if report.total_settling() > 0 {
        "settling"
    } else {
        "holds"
    };
    line!(out, "<header>\n<p class=\"tool\">quay-doctor check</p>");
    line!(
        out,
        "<h1 class=\"{class}\">{}</h1>",
        markup(&verdict(report))
    );
    line!(
        out,
        "<p>{} to {}, PostgreSQL {}{}, Quay’s schema {}, quay-doctor’s migration {}</p>\n</header>",
        report.started.format("%Y-%m-%d %H:%M:%S"),
        report.finished.format("%H:%M:%S UTC"),
        markup(&report.database.server_version),
        if report.database.standby {
            " (standby)"
        } else {
            ""
        },
        markup(&report.database.alembic.join(", ")),
        report.database.migration
    );
}

fn overview(out: &mut String, report: &CheckReport) {
    line!(
        out,
        "<table>\n<thead><tr><th>rule<th>severity<th>status<th class=\"n\">violations<th class=\"n\">explained<th class=\"n\">undecided<th class=\"n\">looked at</thead>\n<tbody>"
    );
    for rule in &report.rules {
        let id = markup(&rule.id.0);
        let linked = if rule.violations > 0 || rule.reason().is_some() {
            format!("<a href=\"#{id}\">{id}</a>")
        } else {
            id
        };
        line!(
            out,
            "<tr><td>{linked}<td>{}<td><span class=\"{status}\">{status}</span><td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
            rule.severity,
            thousands(rule.violations),
            thousands(rule.explained),
            thousands(rule.undecided.subjects),
            thousands(rule.subjects),
            status = status(rule),
        );
    }
    line!(out, "</tbody>\n</table>");
}

fn section(out: &mut String, report: &CheckReport, rule: &RuleOutcome) {
    let id = markup(&rule.id.0);
    line!(
        out,
        "<section id=\"{id}\">\n<h2>{id} <span class=\"{status}\">{status}</span></h2>",
        status = status(rule)
    );
    line!(
        out,
        "<p>{}. {}.</p>",
        markup(&rule.summary),
        markup(&counts(rule))
    );
    if let Some(reason) = rule.reason() {
        line!(out, "<p class=\"why\">{}</p>", markup(reason));
    }
    let mut shown = 0;
    for violation in report.of(rule, SHOWN) {
        if shown == 0 {
            line!(
                out,
                "<table>\n<thead><tr><th>where<th>what<th>what is wrong</thead>\n<tbody>"
            );
        }
        shown += 1;
        row(out, violation);
    }
    if shown > 0 {
        line!(out, "</tbody>\n</table>");
    }
    if rule.violations > shown {
        line!(
            out,
            "<p>… and {} more.</p>",
            thousands(rule.violations - shown)
        );
    }
    if let Some(first) = report.of(rule, 1).next().filter(|v| !v.remedies.is_empty()) {
        let remedies: Vec<String> = first.remedies.iter().map(ToString::to_string).collect();
        line!(
            out,
            "<p>What can be done: {}. <code>quay-doctor rules explain {id}</code> says what each costs.</p>",
            remedies.join(", ")
        );
    }
    line!(out, "</section>");
}

fn row(out: &mut String, violation: &Violation) {
    let (namespace, repository) = violation.subject.place();
    let name = match &violation.subject {
        crate::evaluate::Subject::Tag(tag) => tag.row.name.clone(),
        other => subject(other),
    };
    let evidence: String = violation
        .evidence
        .iter()
        .map(Found::to_string)
        .map(|found| format!("<br><small>{}</small>", markup(&found)))
        .collect();
    line!(
        out,
        "<tr><td>{}<td>{}<td>{}{evidence}",
        markup(&place_of(namespace, repository)),
        markup(&name),
        markup(&violation.message)
    );
}

fn notes(out: &mut String, report: &CheckReport) {
    if report.notes.is_empty() {
        return;
    }
    line!(out, "<section>\n<h2>Notes</h2>\n<ul>");
    for note in &report.notes {
        line!(out, "<li>{}", markup(note));
    }
    line!(out, "</ul>\n</section>");
}

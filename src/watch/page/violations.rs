//! The violations that were kept, searched by a plain form.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Ask;
use super::parts::past;
use super::words::said;
use crate::evaluate::{Subject, Violation};
use crate::report::{CheckReport, place_of, plural, subject_words, thousands};
use crate::watch::board::Facts;

/// How many stand on a page.
const A_PAGE: usize = 100;

pub(super) fn section(facts: &Facts, ask: &Ask, now: DateTime<Utc>) -> Markup {
    html! {
        section id="violations" aria-labelledby="violations-title" {
            h2 id="violations-title" { "Violations" }
            (past(facts, now))
            @if let Some(scan) = &facts.last {
                (form(&scan.report, ask))
                (list(&scan.report, ask))
            } @else {
                p { "No scan has ended yet." }
            }
        }
    }
}

fn form(report: &CheckReport, ask: &Ask) -> Markup {
    html! {
        form action="/#violations" method="get" role="search" aria-label="Violations" {
            label for="q" { "Words in a name, a place or a message" }
            input id="q" name="q" type="search" maxlength="200" value=(ask.q) autocomplete="off";
            label for="rule" { "Rule" }
            select id="rule" name="rule" {
                option value="" { "every rule" }
                @for rule in &report.rules {
                    option value=(rule.id.0) selected[rule.id.0 == ask.rule] {
                        (rule.id.0) " (" (thousands(rule.violations)) ")"
                    }
                }
            }
            button type="submit" { "Search" }
            @if ask.narrows() { " " a href="/#violations" { "Show all" } }
        }
    }
}

fn list(report: &CheckReport, ask: &Ask) -> Markup {
    let words = ask.words();
    let found: Vec<&Violation> = report
        .violations
        .iter()
        .filter(|violation| ask.wants(&words, violation))
        .collect();
    let pages = found.len().div_ceil(A_PAGE).max(1);
    let page = ask.page().min(pages - 1);
    let shown = found.iter().skip(page * A_PAGE).take(A_PAGE);
    html! {
        p role="status" {
            (plural(found.len() as u64, "violation"))
            @if ask.narrows() { " found" }
            @if report.truncated {
                ", among the " (thousands(report.violations.len() as u64)) " of "
                (thousands(report.total_violations())) " that are kept, each rule its share ("
                code { "--limit" } ")"
            }
            "."
        }
        @if !found.is_empty() {
            div.wide role="region" aria-label="Violations, a table" {
                table {
                    caption tabindex="0" {
                        "Page " (page + 1) " of " (pages)
                        "; " code { "quay-doctor tag explain" } " tells everything about one tag"
                    }
                    thead {
                        tr {
                            th scope="col" { "where" }
                            th scope="col" { "what" }
                            th scope="col" { "what is wrong" }
                            th scope="col" { "rule" }
                        }
                    }
                    tbody { @for violation in shown { (row(violation)) } }
                }
            }
        }
        @if pages > 1 {
            nav aria-label="Pages of violations" {
                ul {
                    @if page > 0 { li { a rel="prev" href=(ask.address(page - 1)) { "← Page " (page) } } }
                    @if page + 1 < pages { li { a rel="next" href=(ask.address(page + 1)) { "Page " (page + 2) " →" } } }
                }
            }
        }
    }
}

fn row(violation: &Violation) -> Markup {
    let (namespace, repository) = violation.subject.place();
    let name = match &violation.subject {
        Subject::Tag(tag) => tag.row.name.clone(),
        other => subject_words(other),
    };
    html! {
        tr {
            td { (said(&place_of(namespace, repository))) }
            th.name scope="row" { (said(&name)) }
            td {
                (said(&violation.message))
                @for found in &violation.evidence { br; small { (said(&found.to_string())) } }
            }
            td { (said(&violation.rule.0)) br; small { (violation.severity) } }
        }
    }
}

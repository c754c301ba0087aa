//! A rule in words: its page under docs/rules/, the list of rules, the result of its examples.

use std::fmt::Write as _;

use super::words::line;
use crate::evaluate::ExampleOutcome;
use crate::rules::{Catalogue, Rule, SubjectKind, Weight};

/// The page about a rule, as Markdown; `rules explain` prints it.
pub fn rule_page(rule: &Rule) -> String {
    let mut out = String::new();
    line!(out, "# {}\n", rule.id);
    line!(out, "{}.\n", rule.summary);
    line!(out, "Severity: {}{}\n", rule.severity, milder(rule));
    line!(out, "## Why it matters\n\n{}\n", rule.reason);
    line!(out, "## What is looked at\n");
    looked_at(&mut out, rule);
    line!(out, "\n## What can be done\n");
    if rule.remedies.is_empty() {
        line!(out, "The rule names no remedy.");
    }
    for remedy in &rule.remedies {
        let weight = match remedy.weight {
            Weight::Safe => "done unless another is chosen",
            Weight::Decision => "somebody has to decide",
        };
        line!(
            out,
            "* `{}` ({weight}): {}. What it costs: {}. By {}.",
            remedy.name,
            remedy.does,
            remedy.costs,
            remedy.by.note()
        );
    }
    if !rule.examples.is_empty() {
        line!(out, "\n## Examples\n");
    }
    for example in &rule.examples {
        line!(out, "* {}: {}.", example.shows.name(), example.story);
    }
    out
}

fn milder(rule: &Rule) -> String {
    rule.milder.as_ref().map_or_else(String::new, |milder| {
        let when: Vec<String> = milder.when.iter().map(|fact| format!("`{fact}`")).collect();
        format!("; {} where {}", milder.severity, when.join(" and "))
    })
}

fn looked_at(out: &mut String, rule: &Rule) {
    if let Some(query) = &rule.query {
        line!(
            out,
            "Every row that this query returns is a violation (at most {}):\n\n```sql\n{}\n```",
            humantime::format_duration(query.time_limit),
            query.sql
        );
        return;
    }
    let kind = match rule.subject {
        SubjectKind::Tag => "tag",
        SubjectKind::Policy => "policy",
        SubjectKind::Operation => "operation",
        SubjectKind::Row => "row",
    };
    if rule.condition.is_empty() {
        line!(out, "Every {kind}. At least one of these must be true:\n");
    } else {
        line!(out, "Every {kind} of which all of these are true:\n");
        for fact in &rule.condition {
            line!(out, "* `{fact}`: {}", fact.meaning());
        }
        line!(out, "\nAt least one of these must be true:\n");
    }
    for fact in &rule.must_hold {
        line!(out, "* `{fact}`: {}", fact.meaning());
    }
    if !rule.excused_by.is_empty() {
        let evidence: Vec<String> = rule.excused_by.iter().map(|e| format!("`{e}`")).collect();
        line!(
            out,
            "\nWhat accounts for one that is not so (it is then reported as explained, and counts\n\
             under `--strict` only): {}.",
            evidence.join(", ")
        );
    }
}

/// All rules, a line each.
pub fn rule_list(catalogue: &Catalogue) -> String {
    let mut out = String::new();
    for rule in catalogue.rules() {
        line!(
            out,
            "{:<26} {:<9} {}",
            rule.id.0,
            rule.severity.to_string(),
            rule.summary
        );
    }
    out
}

/// All rules, as a table that links to their pages: docs/rules/README.md.
pub fn rule_index(catalogue: &Catalogue) -> String {
    let mut out = String::from(
        "# The rules\n\nGenerated from the files in `checks/`; [Rules of your own](../rule-files.md) says how to write one.\n\n\
         | rule | severity | what must hold |\n| --- | --- | --- |\n",
    );
    for rule in catalogue.rules() {
        line!(
            out,
            "| [{id}]({id}.md) | {} | {} |",
            rule.severity,
            rule.summary,
            id = rule.id
        );
    }
    out
}

/// The results of a rule's examples.
pub fn examples_for_people(rule: &Rule, outcomes: &[ExampleOutcome]) -> String {
    let mut out = String::new();
    if outcomes.is_empty() {
        line!(out, "-- {}: no examples", rule.id);
    }
    for example in outcomes {
        let mark = if example.holds() { "ok" } else { "!!" };
        line!(
            out,
            "{mark} {}: {}: {}",
            rule.id,
            example.shows.name(),
            example.story
        );
        if !example.holds() {
            let sums = &example.outcome;
            line!(
                out,
                "     it was: {} looked at, {} violated, {} explained, {} undecided, {} settling",
                sums.subjects,
                sums.violations,
                sums.explained,
                sums.undecided.subjects,
                sums.settling
            );
        }
    }
    out
}

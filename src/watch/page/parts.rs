//! Rules, policies and operations, a table each.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::words::{long, moment, said};
use crate::evaluate::{RuleOutcome, Status, WorkerLife};
use crate::journal::Phase;
use crate::policy::{PolicyState, PolicyView};
use crate::quay::Polarity;
use crate::report::{place_of, status_word, thousands};
use crate::run::OperationView;
use crate::watch::board::Facts;
use crate::watch::knowledge::Knowledge;

/// How many policies are listed; all are counted.
const MOST_POLICIES: usize = 200;

/// A status in a word with a sign: the colour alone would not do.
fn sign(status: Status) -> &'static str {
    match status {
        Status::Held => "✓",
        Status::Violated => "✗",
        Status::Undecided => "?",
        Status::Settling => "…",
        Status::Skipped => "–",
    }
}

/// What is shown is of a scan that no longer speaks for now.
pub(super) fn past(facts: &Facts, now: DateTime<Utc>) -> Markup {
    html! {
        @if let (Knowledge::NotKnown(why), Some(scan)) = (facts.knowledge(now), &facts.last) {
            p.why {
                "As of the scan that ended at " (moment(scan.report.finished, now))
                ". What is so now is not known: " (said(&why.to_string())) "."
            }
        }
    }
}

pub(super) fn rules(facts: &Facts, now: DateTime<Utc>) -> Markup {
    html! {
        section id="rules" aria-labelledby="rules-title" {
            h2 id="rules-title" { "Rules" }
            (past(facts, now))
            @if let Some(scan) = &facts.last {
                div.wide role="region" aria-label="Rules, a table" {
                    table {
                        caption tabindex="0" { "Every rule, and what the last scan found; what wants to be looked at stands first" }
                        thead {
                            tr {
                                th scope="col" { "rule" }
                                th scope="col" { "severity" }
                                th scope="col" { "status" }
                                th.n scope="col" { "violations" }
                                th.n scope="col" { "explained" }
                                th.n scope="col" { "undecided" }
                                th.n scope="col" { "settling" }
                                th.n scope="col" { "looked at" }
                            }
                        }
                        tbody { @for rule in by_urgency(&scan.report.rules) { (rule_row(rule)) } }
                    }
                }
                @if !scan.report.notes.is_empty() {
                    h3 { "Notes" }
                    ul { @for note in &scan.report.notes { li { (said(note)) } } }
                }
            } @else {
                p { "No scan has ended yet." }
            }
        }
    }
}

/// A number in a cell; none stands back.
fn number(number: u64) -> Markup {
    let class = if number == 0 { "n none" } else { "n" };
    html! { td class=(class) { (thousands(number)) } }
}

/// What wants to be looked at stands first; otherwise the rules' own order.
fn by_urgency(rules: &[RuleOutcome]) -> Vec<&RuleOutcome> {
    let mut rules: Vec<&RuleOutcome> = rules.iter().collect();
    rules.sort_by_key(|rule| match rule.status() {
        Status::Violated | Status::Undecided => 0,
        Status::Settling => 1,
        Status::Held => 2,
        Status::Skipped => 3,
    });
    rules
}

fn rule_row(rule: &RuleOutcome) -> Markup {
    let status = rule.status();
    let word = status_word(rule);
    html! {
        tr {
            th.name scope="row" {
                @if rule.violations > 0 {
                    a href={ "/?rule=" (rule.id.0) "#violations" } { (said(&rule.id.0)) }
                } @else {
                    (said(&rule.id.0))
                }
                br;
                small { (said(&rule.summary)) }
                @if let Some(reason) = rule.reason() { br; small.reason { (said(reason)) } }
            }
            td { (rule.severity) }
            td { span class={ "status " (word) } { (sign(status)) " " (word) } }
            (number(rule.violations))
            (number(rule.explained))
            (number(rule.undecided.subjects))
            (number(rule.settling))
            (number(rule.subjects))
        }
    }
}

pub(super) fn policies(facts: &Facts, now: DateTime<Utc>) -> Markup {
    html! {
        section id="policies" aria-labelledby="policies-title" {
            h2 id="policies-title" { "Policies" }
            @match facts.policies.as_ref().filter(|_| facts.reachable(now)) {
                None => p { "Not known: they could not be looked at." },
                Some(policies) if policies.is_empty() => p { "There is no policy." },
                Some(policies) => {
                    (policy_table(policies, now))
                    @if policies.len() > MOST_POLICIES {
                        p { "… and " (thousands((policies.len() - MOST_POLICIES) as u64)) " more; " code { "quay-doctor policy list" } " has them all." }
                    }
                },
            }
        }
    }
}

fn policy_table(policies: &[PolicyView], now: DateTime<Utc>) -> Markup {
    // What is not simply in force comes first.
    let mut shown: Vec<&PolicyView> = policies.iter().collect();
    shown.sort_by_key(|policy| policy.state == PolicyState::Active);
    html! {
        div.wide role="region" aria-label="Policies, a table" {
            table {
                caption tabindex="0" { (thousands(policies.len() as u64)) " in all; what is not simply in force stands first" }
                thead {
                    tr {
                        th scope="col" { "where" }
                        th scope="col" { "pattern" }
                        th scope="col" { "state" }
                        th scope="col" { "created" }
                        th scope="col" { "uuid" }
                    }
                }
                tbody {
                    @for policy in shown.into_iter().take(MOST_POLICIES) {
                        tr {
                            th.name scope="row" { (said(&place_of(&policy.namespace, policy.repository.as_deref().unwrap_or_default()))) }
                            td { (pattern(policy)) }
                            td { (policy_state(policy)) }
                            td {
                                @match policy.created {
                                    Some(created) => (moment(created, now)),
                                    None => "not known",
                                }
                            }
                            td { code { (said(&policy.uuid.0)) } }
                        }
                    }
                }
            }
        }
    }
}

fn pattern(policy: &PolicyView) -> Markup {
    html! {
        @match &policy.policy {
            Some(stored) => {
                @if stored.polarity == Polarity::NotMatching { "all but " }
                code { (said(&stored.pattern)) }
            },
            None => span.violated { "✗ Quay cannot read it" },
        }
    }
}

fn policy_state(policy: &PolicyView) -> Markup {
    let (class, words) = match policy.state {
        PolicyState::Active => ("holds", "✓ active"),
        PolicyState::Inactive => ("undecided", "○ inactive"),
        PolicyState::Applying => ("settling", "… being applied"),
        PolicyState::Interrupted => ("violated", "✗ interrupted"),
    };
    html! {
        span class={ "status " (class) } { (words) }
        @if let Some(id) = policy.operation { br; small { "operation " (id) } }
    }
}

pub(super) fn operations(facts: &Facts, now: DateTime<Utc>) -> Markup {
    html! {
        section id="operations" aria-labelledby="operations-title" {
            h2 id="operations-title" { "Operations" }
            @match facts.operations.as_ref().filter(|_| facts.reachable(now)) {
                None => p { "Not known: they could not be looked at." },
                Some(operations) if operations.is_empty() => p { "None is under way, and none was interrupted." },
                Some(operations) => (operation_table(operations, now)),
            }
        }
    }
}

fn operation_table(operations: &[OperationView], now: DateTime<Utc>) -> Markup {
    html! {
        div.wide role="region" aria-label="Operations, a table" {
            table {
                caption tabindex="0" { "Operations that have not ended; " code { "quay-doctor recover" } " ends what was interrupted" }
                thead {
                    tr {
                        th scope="col" { "operation" }
                        th scope="col" { "where" }
                        th scope="col" { "state" }
                        th scope="col" { "progress" }
                        th scope="col" { "by" }
                        th scope="col" { "since" }
                    }
                }
                tbody {
                    @for view in operations {
                        @let under_way = &view.under_way;
                        @let operation = &under_way.operation;
                        tr {
                            th.name scope="row" { (operation.id) ", " (operation.kind.as_column()) }
                            td {
                                @match &under_way.place {
                                    Some((namespace, repository)) => (said(&place_of(namespace, repository.as_deref().unwrap_or_default()))),
                                    None => "everywhere",
                                }
                            }
                            td { (life(operation.life())) br; small { "heartbeat " (long(now - under_way.heartbeat)) " ago" } }
                            td { (progress(view)) }
                            td { (said(&under_way.actor)) br; small { (said(&operation.worker)) } }
                            td { (moment(operation.started, now)) }
                        }
                    }
                }
            }
        }
    }
}

fn life(life: WorkerLife) -> Markup {
    let (class, words) = match life {
        WorkerLife::Alive => ("settling", "… in progress"),
        WorkerLife::Gone => ("violated", "✗ interrupted"),
    };
    html! { span class={ "status " (class) } { (words) } }
}

/// The phase, in which a whole walk is made, and how far that walk is.
fn progress(view: &OperationView) -> Markup {
    let phase = match view.under_way.operation.phase {
        Phase::Applying => "applying to tags",
        Phase::Sweeping => "in force; sweeping once more",
        Phase::Releasing => "releasing tags",
        Phase::Undoing => "taking its changes back",
        Phase::Done | Phase::RolledBack => "ended",
    };
    let changed = u64::try_from(view.under_way.changed).unwrap_or(0);
    html! {
        (phase)
        @if let Some((done, all)) = view.walked {
            br;
            progress max=(all) value=(done) aria-label="Repositories walked in this phase" {}
            " " small { (thousands(done)) " of " (thousands(all)) " repositories" }
        }
        br;
        small { (thousands(changed)) " tags changed" }
    }
}

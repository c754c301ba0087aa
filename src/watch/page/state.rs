//! The head of the page: what is known, by whom, and as of when.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::words::{long, moment, said, took};
use crate::report::{Standing, harmless, thousands, verdict};
use crate::watch::WatchPlan;
use crate::watch::board::{Facts, Outcome, Role, Trouble};
use crate::watch::knowledge::{Knowledge, Why};

/// What the page says first.
pub(super) struct Headline {
    /// How it stands, as the style sheet calls it.
    class: &'static str,
    /// A sign besides the colour.
    sign: &'static str,
    text: String,
}

impl Headline {
    /// For the title of the window.
    pub(super) fn title(&self) -> String {
        harmless(&self.text)
    }
}

pub(super) fn headline(facts: &Facts, now: DateTime<Utc>) -> Headline {
    match facts.knowledge(now) {
        Knowledge::Known(scan) => {
            let (class, sign) = match scan.standing {
                Standing::Unknown if scan.report.is_undecided() => ("undecided", "?"),
                Standing::Unknown => ("settling", "…"),
                Standing::Violated => ("violated", "✗"),
                Standing::AllWell => ("holds", "✓"),
            };
            let text = verdict(&scan.report);
            Headline { class, sign, text }
        }
        Knowledge::NotKnown(Why::Standby) => Headline {
            class: "settling",
            sign: "⏸",
            text: "Standing by: another process scans this database".to_owned(),
        },
        Knowledge::NotKnown(why) => Headline {
            class: "undecided",
            sign: "?",
            text: format!("Not known: {why}"),
        },
    }
}

pub(super) fn header(facts: &Facts, headline: &Headline, now: DateTime<Utc>) -> Markup {
    html! {
        header {
            p.tool { "quay-doctor watch" }
            h1 class=(headline.class) {
                span.sign aria-hidden="true" { (headline.sign) }
                " " (headline.title())
            }
            (notices(facts))
            dl {
                div { dt { "This process" } dd { (role(facts, now)) } }
                @if let Some(last) = facts.last_complete {
                    div { dt { "Last complete scan" } dd { (moment(last, now)) } }
                } @else {
                    div { dt { "Last complete scan" } dd { "none by this process" } }
                }
                div { dt { "Next scan" } dd { (next(facts, now)) } }
                @if let Some(scan) = &facts.last {
                    div {
                        dt { "The last scan" }
                        dd {
                            "read " (thousands(scan.rows)) " tags in "
                            (took(scan.report.finished - scan.report.started))
                        }
                    }
                    div {
                        dt { "Database" }
                        dd {
                            "PostgreSQL " (said(&scan.report.database.server_version))
                            @if scan.report.database.standby { ", a standby" }
                            "; Quay’s schema " (said(&scan.report.database.alembic.join(", ")))
                            ", quay-doctor’s migration " (scan.report.database.migration)
                        }
                    }
                }
            }
        }
    }
}

/// What an operator has to see to.
fn notices(facts: &Facts) -> Markup {
    html! {
        @if let Role::Cut { trouble, .. } = &facts.role {
            @let what = if trouble.stays { "The database cannot be used in this way. " } else { "Database unreachable. " };
            (notice(what, trouble))
        } @else if let Some(Outcome::Failed(trouble)) = &facts.last_outcome {
            // Why is in the headline.
            @if let Some(help) = &trouble.help { p.why role="status" { (what_to_do(help)) } }
        }
        @if let Some(why) = &facts.refused {
            p.why role="status" {
                strong { "The configuration could not be read again; the one before counts. " }
                (said(why))
            }
        }
        @if let Some(Err(trouble)) = &facts.recorded {
            (notice("The last scan could not be recorded. ", trouble))
        }
    }
}

/// What went wrong, and what to do.
fn notice(what: &str, trouble: &Trouble) -> Markup {
    html! {
        p.why role="status" {
            strong { (what) } (said(&trouble.why)) "."
            @if let Some(help) = &trouble.help { br; (what_to_do(help)) }
        }
    }
}

fn what_to_do(help: &str) -> Markup {
    html! { strong { "What to do: " } (said(help)) "." }
}

fn role(facts: &Facts, now: DateTime<Utc>) -> Markup {
    html! {
        @match (&facts.role, facts.scanning_since) {
            (Role::Scanner, Some(since)) => { "is scanning, for " (long(now - since)) " so far" },
            (Role::Scanner, None) => "scans this database",
            (Role::Standby(Some(pid)), _) => { "stands by; backend " (pid) " has the lock" },
            (Role::Standby(None), _) => "stands by",
            (Role::Cut { .. }, _) => "tries again and again to connect",
            (Role::Starting, _) => "is reaching the database for the first time",
        }
    }
}

fn next(facts: &Facts, now: DateTime<Utc>) -> Markup {
    let every = TimeDelta::from_std(facts.every).unwrap_or(TimeDelta::MAX);
    html! {
        @if let Some(next) = facts.next {
            (moment(next.max(now), now)) ", every " (long(every))
        } @else if facts.scanning_since.is_some() {
            "a scan is running; every " (long(every))
        } @else {
            "when the database can be scanned by this process; every " (long(every))
        }
    }
}

pub(super) fn footer(facts: &Facts, plan: &WatchPlan) -> Markup {
    html! {
        footer {
            p {
                "quay-doctor " (env!("QUAY_DOCTOR_VERSION"))
                ", up since " (facts.started.format("%Y-%m-%d %H:%M:%S UTC"))
                ", configuration read at " (facts.configured.format("%Y-%m-%d %H:%M:%S UTC"))
                ", " (plan.request.rules.rules().len()) " rules. "
                a href="/metrics" { "Metrics" } ", "
                a href="/report.json" { "the report as JSON" } ", "
                a href="/readyz" { "readiness" } "."
            }
        }
    }
}

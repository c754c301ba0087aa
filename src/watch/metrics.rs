//! What is known, as metrics in the text format of OpenMetrics.
//!
//! Made anew for each scrape from the board: a figure that is not known is not there, and none of a
//! rule that has gone stays behind.

use std::fmt;

use chrono::{DateTime, Utc};

use super::board::{Facts, Role};
use super::knowledge::Knowledge;
use crate::evaluate::{RuleOutcome, Status, WorkerLife};
use crate::policy::PolicyState;
use crate::report::{CheckReport, Figures, Labels};

/// The metrics.
pub(super) fn metrics(facts: &Facts, now: DateTime<Utc>) -> Result<String, fmt::Error> {
    let mut book = Figures::of("quay_doctor_watch");
    about_itself(&mut book, facts, now);
    about_scans(&mut book, facts, now);
    about_policies(&mut book, facts, now);
    if let Knowledge::Known(scan) = facts.knowledge(now) {
        about_rules(&mut book, &scan.report);
    }
    book.open_metrics()
}

fn truth(truth: bool) -> f64 {
    if truth { 1.0 } else { 0.0 }
}

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp_millis() as f64 / 1000.0
}

fn state(name: &str) -> Labels {
    vec![("state", name.to_owned())]
}

fn about_itself(book: &mut Figures, facts: &Facts, now: DateTime<Utc>) {
    let version = vec![("version", env!("QUAY_DOCTOR_VERSION").to_owned())];
    book.gauges("build_info", "Which program this is", [(version, 1.0)]);
    book.gauge(
        "start_timestamp_seconds",
        "When the process began",
        seconds(facts.started),
    );
    book.gauge(
        "interval_seconds",
        "The time between two scans, as it was asked for",
        facts.every.as_secs_f64(),
    );
    book.gauge(
        "known",
        "1 while the figures of rules are those of a complete scan that holds",
        truth(matches!(facts.knowledge(now), Knowledge::Known(_))),
    );
    book.gauge(
        "database_reachable",
        "1 while the database answers",
        truth(facts.reachable(now)),
    );
    book.gauge(
        "scanner",
        "1 for the process that scans, 0 for one that stands by or cannot",
        truth(facts.role == Role::Scanner),
    );
    book.gauge(
        "config_last_reload_successful",
        "0 where the configuration of the last SIGHUP could not be used",
        truth(facts.refused.is_none()),
    );
    book.gauge(
        "config_last_reload_success_timestamp_seconds",
        "When the configuration was last read with success",
        seconds(facts.configured),
    );
    if let Some(recorded) = &facts.recorded {
        book.gauge(
            "record_last_successful",
            "0 where the last scan could not be written into the history of scans",
            truth(recorded.is_ok()),
        );
    }
}

fn about_scans(book: &mut Figures, facts: &Facts, now: DateTime<Utc>) {
    let ends = facts.ends;
    let by_outcome = [
        ("complete", ends.complete),
        ("cut_short", ends.cut_short),
        ("failed", ends.failed),
        ("unreachable", ends.unreachable),
    ]
    .map(|(name, count)| (vec![("outcome", name.to_owned())], count));
    book.counters("scans", "Scans by how they ended", by_outcome);
    book.counters(
        "rows_read",
        "Tags read by all scans",
        [(Vec::new(), facts.rows_read)],
    );
    book.gauge(
        "scan_in_progress",
        "1 while a scan runs",
        truth(facts.scanning_since.is_some()),
    );
    if let Some(last) = facts.last_complete {
        let age = (now - last).as_seconds_f64().max(0.0);
        book.gauge(
            "last_complete_scan_timestamp_seconds",
            "When the last complete scan of this process ended",
            seconds(last),
        );
        book.gauge(
            "last_complete_scan_age_seconds",
            "How long ago that is",
            age,
        );
    }
    if let Some(scan) = &facts.last {
        let took = scan.report.finished - scan.report.started;
        book.gauge(
            "last_scan_duration_seconds",
            "How long the last scan took",
            took.as_seconds_f64(),
        );
        book.gauge(
            "last_scan_rows",
            "Tags that the last scan read",
            scan.rows as f64,
        );
    }
}

/// Absent while nothing could be seen.
fn about_policies(book: &mut Figures, facts: &Facts, now: DateTime<Utc>) {
    if !facts.reachable(now) {
        return;
    }
    if let Some(policies) = &facts.policies {
        let count = |wanted: PolicyState| {
            policies
                .iter()
                .filter(|policy| policy.state == wanted)
                .count() as f64
        };
        book.gauges(
            "policies",
            "Policies by how they stand",
            [
                (state("active"), count(PolicyState::Active)),
                (state("inactive"), count(PolicyState::Inactive)),
                (state("applying"), count(PolicyState::Applying)),
                (state("interrupted"), count(PolicyState::Interrupted)),
            ],
        );
    }
    if let Some(operations) = &facts.operations {
        let count = |life: WorkerLife| {
            let all = operations.iter();
            all.filter(|one| one.under_way.operation.life() == life)
                .count() as f64
        };
        book.gauges(
            "operations",
            "Operations that have not ended",
            [
                (state("in_progress"), count(WorkerLife::Alive)),
                (state("interrupted"), count(WorkerLife::Gone)),
            ],
        );
    }
}

fn about_rules(book: &mut Figures, report: &CheckReport) {
    let rules = || {
        let all = report.rules.iter();
        all.filter(|rule| rule.status() != Status::Skipped)
    };
    let of = |rule: &RuleOutcome| vec![("rule", rule.id.0.clone())];
    let violations = rules().flat_map(|rule| {
        let (milder, less) = rule.milder.unwrap_or((rule.severity, 0));
        let with = |severity| {
            let mut labels = of(rule);
            labels.push(("severity", format!("{severity}")));
            labels
        };
        let own = (with(rule.severity), (rule.violations - less) as f64);
        let other = (milder != rule.severity).then(|| (with(milder), less as f64));
        [own].into_iter().chain(other)
    });
    book.gauges(
        "violations",
        "Subjects that violate the rule, by the severity that each has",
        violations,
    );
    type Sum = (&'static str, &'static str, fn(&RuleOutcome) -> u64);
    let sums: [Sum; 4] = [
        ("undecided", "Subjects that could not be decided", |rule| {
            rule.undecided.subjects
        }),
        ("settling", "Subjects that Quay may be at work on", |rule| {
            rule.settling
        }),
        (
            "explained",
            "Subjects that would violate the rule, but for evidence",
            |rule| rule.explained,
        ),
        (
            "rule_failed",
            "1 where the rule could not be carried out",
            |rule| u64::from(rule.failed.is_some()),
        ),
    ];
    for (name, help, sum) in sums {
        book.gauges(name, help, rules().map(|rule| (of(rule), sum(rule) as f64)));
    }
    book.gauge(
        "undecided_rules",
        "Rules that could not be decided",
        report.undecided_rules() as f64,
    );
}

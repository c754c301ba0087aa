//! A check as JUnit XML, for pipelines: a suite a rule, a case a violation.

use std::fmt::Write as _;

use super::CheckReport;
use super::escape::markup;
use super::verdict::counts;
use super::words::{line, sentence, subject};
use crate::evaluate::{RuleOutcome, Status, Violation};
use crate::rules::Severity;

/// How many violations of a rule are cases of their own; the rest is one more case.
const MOST_CASES: usize = 1_000;

/// The report; what is below `fail_on` fails no case.
pub fn check_junit(report: &CheckReport, fail_on: Severity) -> String {
    let mut suites = String::new();
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    for rule in &report.rules {
        let suite = Suite::of(report, rule, fail_on);
        tests += suite.tests;
        failures += suite.failures;
        errors += suite.errors;
        suite.write(rule, &mut suites);
    }
    if let Some(why) = &report.cut_short {
        tests += 1;
        errors += 1;
        line!(
            suites,
            "  <testsuite name=\"the scan\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">"
        );
        line!(
            suites,
            "    <testcase classname=\"quay-doctor\" name=\"everything was looked at\"><error message=\"{}\"/></testcase>",
            markup(why)
        );
        line!(suites, "  </testsuite>");
    }
    let seconds = (report.finished - report.started).as_seconds_f64();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    line!(
        out,
        "<testsuites name=\"quay-doctor check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\">"
    );
    out.push_str(&suites);
    line!(out, "</testsuites>");
    out
}

/// The cases of one rule.
struct Suite {
    cases: String,
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
}

impl Suite {
    fn of(report: &CheckReport, rule: &RuleOutcome, fail_on: Severity) -> Self {
        let mut suite = Self {
            cases: String::new(),
            tests: 0,
            failures: 0,
            errors: 0,
            skipped: 0,
        };
        let mut shown = 0;
        for violation in report.of(rule, MOST_CASES) {
            shown += 1;
            suite.violation(violation, fail_on);
        }
        let more = rule.violations - shown;
        if more > 0 {
            suite.more(rule, more, fail_on);
        }
        if rule.violations == 0 || rule.status() == Status::Undecided {
            suite.whole(rule);
        }
        suite
    }

    /// The case of the rule as a whole.
    fn whole(&mut self, rule: &RuleOutcome) {
        let reason = markup(rule.reason().unwrap_or_default());
        let inside = match rule.status() {
            Status::Undecided => {
                self.errors += 1;
                format!("<error type=\"undecided\" message=\"{reason}\"/>")
            }
            Status::Skipped | Status::Settling => {
                self.skipped += 1;
                format!(
                    "<skipped message=\"{}\"/>",
                    if reason.is_empty() {
                        counts(rule)
                    } else {
                        reason
                    }
                )
            }
            Status::Held | Status::Violated => String::new(),
        };
        self.case(rule.id.0.as_str(), &markup(&rule.summary), &inside);
    }

    fn violation(&mut self, violation: &Violation, fail_on: Severity) {
        let name = markup(&subject(&violation.subject));
        let message = markup(&sentence(violation));
        let inside = self.finding(violation.severity, fail_on, &message);
        self.case(&violation.rule.0, &name, &inside);
    }

    fn more(&mut self, rule: &RuleOutcome, more: u64, fail_on: Severity) {
        let message = format!("{more} more violations are counted and not listed");
        let inside = self.finding(rule.severity, fail_on, &message);
        self.case(&rule.id.0, &message, &inside);
    }

    fn finding(&mut self, severity: Severity, fail_on: Severity, message: &str) -> String {
        if severity >= fail_on {
            self.failures += 1;
            format!("<failure type=\"{severity}\" message=\"{message}\"/>")
        } else {
            format!("<system-out>{severity}: {message}</system-out>")
        }
    }

    fn case(&mut self, rule: &str, name: &str, inside: &str) {
        self.tests += 1;
        line!(
            self.cases,
            "    <testcase classname=\"quay-doctor.{}\" name=\"{name}\">{inside}</testcase>",
            markup(rule)
        );
    }

    fn write(&self, rule: &RuleOutcome, out: &mut String) {
        line!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
            markup(&rule.id.0),
            self.tests,
            self.failures,
            self.errors,
            self.skipped
        );
        out.push_str(&self.cases);
        line!(out, "  </testsuite>");
    }
}

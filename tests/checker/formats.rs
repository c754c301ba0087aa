//! Each format of a check: a snapshot with hostile names, and what a reader of it relies on.

use std::io::{Seek as _, Write as _};
use std::process::Command;

use chrono::{DateTime, Utc};
use quay_doctor::evaluate::{
    Act, Activity, Found, OperationSubject, PolicySubject, RuleOutcome, Subject, TagRow,
    TagSubject, Undecided, Violation, WorkerLife,
};
use quay_doctor::quay::{
    AuditEntryId, Expiry, Immutability, NamespaceId, OperationId, PolicyRowId, PolicyText,
    PolicyUuid, RepositoryId, Scope, TagId, UnixMillis,
};
use quay_doctor::report::{
    CheckReport, DatabaseFacts, begun_anew_line, check_for_people, check_html, check_json,
    check_junit, check_markdown, check_prometheus, summary_line, violation_line,
};
use quay_doctor::rules::{Catalogue, RuleId, Severity};
use serde_json::Value;
use testkit::skipped;

use crate::deploy::files::promtool;
use crate::line::output::valid;
use crate::line::stage::{BOTH_FAILURES, Stage};

/// Everything that a format could take for its own: control characters, markup, a formula, a link.
const HOSTILE: &str =
    "=cmd|'/C'!A0\u{1b}[31m<script>alert(1)</script>&\"@org [x](http://y) `\u{202e}\n|";

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000 + seconds, 0).expect("a time")
}

fn tag(id: i32, namespace: &str, name: &str) -> Subject {
    Subject::Tag(TagSubject {
        row: TagRow {
            id: TagId(id),
            repository: RepositoryId(1),
            name: name.to_owned(),
            manifest: None,
            start: UnixMillis(1),
            expiry: Expiry(None),
            immutability: Immutability::Immutable,
            hidden: false,
        },
        namespace: namespace.to_owned(),
        repository: "shop".to_owned(),
        account: Vec::new(),
    })
}

fn outcome(id: &str, violations: u64) -> RuleOutcome {
    let catalogue = Catalogue::built_in().expect("rules");
    let rule = catalogue.get(id).expect("the rule");
    RuleOutcome {
        id: rule.id.clone(),
        severity: rule.severity,
        summary: rule.summary.clone(),
        subjects: 1_234_567,
        violations,
        milder: None,
        known: 0,
        explained: 0,
        undecided: Undecided::default(),
        accepted: 0,
        settled_by: None,
        settling: 0,
        failed: None,
        skipped: None,
    }
}

fn violation(rule: &str, subject: Subject, message: &str, evidence: Vec<Found>) -> Violation {
    let catalogue = Catalogue::built_in().expect("rules");
    let known = catalogue.get(rule).expect("the rule");
    Violation {
        rule: RuleId(rule.to_owned()),
        severity: known.severity,
        subject,
        message: message.to_owned(),
        evidence,
        remedies: known.remedies.iter().map(|remedy| remedy.name).collect(),
    }
}

/// A report with something of everything.
fn report() -> CheckReport {
    let orphan = "is immutable, and no active policy makes it so";
    let by_user = Found::SetByUser(Act {
        entry: AuditEntryId(7),
        at: time(0).naive_utc(),
        user: Some(HOSTILE.to_owned()),
    });
    let policy = Subject::Policy(PolicySubject {
        id: PolicyRowId(3),
        uuid: PolicyUuid("0c7ab2c4".to_owned()),
        scope: Scope::Namespace(NamespaceId(1)),
        namespace: HOSTILE.to_owned(),
        repository: None,
        pattern: HOSTILE.to_owned(),
        text: PolicyText(HOSTILE.to_owned()),
        activity: Activity::Active,
        owner: None,
        twin: None,
    });
    let operation = Subject::Operation(OperationSubject {
        id: OperationId(12),
        kind: "create",
        phase: "applying",
        life: WorkerLife::Gone,
        worker: "host".to_owned(),
        started: time(0),
        namespace: "acme".to_owned(),
        repository: None,
    });
    let mut undecided = outcome("unprotected-tag", 0);
    undecided.undecided = Undecided {
        subjects: 40,
        reason: Some(format!("the pattern of policy {HOSTILE} cannot be decided")),
    };
    undecided.settling = 3;
    let mut skipped = outcome("stale-inactive-policy", 0);
    skipped.skipped = Some("it does not apply".to_owned());
    let mut orphaned = outcome("orphaned-immutable-tag", 5);
    orphaned.explained = 2;
    CheckReport {
        started: time(0),
        finished: time(42),
        database: DatabaseFacts {
            server_version: "15.6".to_owned(),
            alembic: vec!["9fa37f66a9b6".to_owned()],
            migration: 3,
            standby: false,
        },
        rules: vec![
            outcome("invalid-policy", 1),
            outcome("interrupted-operation", 1),
            orphaned,
            skipped,
            undecided,
            outcome("redundant-policy", 0),
        ],
        violations: vec![
            violation(
                "invalid-policy",
                policy,
                "cannot be used by Quay: its text is not JSON",
                vec![],
            ),
            violation(
                "interrupted-operation",
                operation,
                "has stopped in the phase applying",
                vec![],
            ),
            violation(
                "orphaned-immutable-tag",
                tag(1, "acme", "v1.2.3"),
                orphan,
                vec![],
            ),
            violation(
                "orphaned-immutable-tag",
                tag(2, "acme", HOSTILE),
                orphan,
                vec![by_user],
            ),
            violation(
                "orphaned-immutable-tag",
                tag(3, HOSTILE, "+1"),
                orphan,
                vec![],
            ),
        ],
        truncated: true,
        comparison: None,
        stale: vec![],
        cut_short: None,
        notes: vec!["there is no journal".to_owned()],
    }
}

/// Control characters but line feeds, and characters that reorder text.
fn unseen(text: &str) -> Option<char> {
    text.chars()
        .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}')
}

#[test]
fn for_people() {
    insta::assert_snapshot!(check_for_people(&report()));
}

#[test]
fn as_markdown() {
    insta::assert_snapshot!(check_markdown(&report()));
}

#[test]
fn as_junit() {
    insta::assert_snapshot!(check_junit(&report(), Severity::Error));
}

#[test]
fn as_html() {
    insta::assert_snapshot!(check_html(&report()));
}

#[test]
fn for_prometheus() {
    let text = check_prometheus(&report()).expect("all of it");
    insta::assert_snapshot!(text);
}

/// Whether promtool takes a text for one in Prometheus' older format; `None` where it is not there.
fn promtool_accepts(figures: &str) -> Option<bool> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(figures.as_bytes()).expect("space");
    file.rewind().expect("its beginning");
    let mut promtool = Command::new(promtool());
    promtool.args(["check", "metrics"]).stdin(file);
    match promtool.output() {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            skipped(&format!("promtool cannot be run here: {error}"));
            None
        }
    }
}

#[test]
fn promtool_accepts_the_figures_which_are_whole_without_the_last_line_of_openmetrics() {
    let figures = check_prometheus(&report()).expect("all of it");
    assert!(!figures.contains("EOF"), "{figures}");
    if let Some(good) = promtool_accepts(&figures) {
        assert!(good, "{figures}");
        let torn = figures.replacen("\"} 1", " 1", 1);
        assert_eq!(promtool_accepts(&torn), Some(false), "{torn}");
    }
}

#[test]
fn as_json_and_as_ndjson() {
    let mut document = check_json(&report());
    document["version"] = "0".into();
    insta::assert_json_snapshot!(document);
    let lines: Vec<Value> = report().violations.iter().map(violation_line).collect();
    let listed = check_json(&report())["violations"]
        .as_array()
        .expect("violations")
        .clone();
    for (line, listed) in lines.iter().zip(&listed) {
        assert_eq!(line["type"], "violation");
        assert!(!line.to_string().contains('\n'));
        for (key, value) in listed.as_object().expect("an object") {
            assert_eq!(&line[key], value);
        }
    }
    let summary = summary_line(&report());
    assert_eq!(summary["totals"]["violations"], 7);
    assert!(summary.get("violations").is_none());
}

#[test]
fn a_name_is_harmless_in_every_format() {
    let report = report();
    let renderings = [
        ("human", check_for_people(&report)),
        ("markdown", check_markdown(&report)),
        ("junit", check_junit(&report, Severity::Info)),
        ("html", check_html(&report)),
        ("prometheus", check_prometheus(&report).expect("all of it")),
        ("json", check_json(&report).to_string()),
    ];
    for (format, text) in &renderings {
        if *format != "json" {
            assert_eq!(unseen(text), None, "{format}");
        } else {
            // JSON carries data as data: escaped, and read back as it was.
            let back: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(back["violations"][3]["subject"]["name"], HOSTILE);
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        if ["markdown", "junit", "html"].contains(format) {
            assert!(!text.contains("<script"), "{format}");
        }
    }
    let html = &renderings[3].1;
    let loads = ["<script", "src=", "url(", "@import", "<link", "href=\"h"];
    assert!(loads.iter().all(|piece| !html.contains(piece)));
    // Every cell that would begin with a formula's sign begins with an apostrophe.
    for cell in html
        .split("<td")
        .skip(1)
        .filter_map(|cell| cell.split_once('>'))
    {
        assert!(!cell.1.starts_with(['=', '+', '-', '@']), "{}", cell.1);
    }
}

#[test]
fn junits_sums_are_those_of_its_cases() {
    for fail_on in [Severity::Info, Severity::Critical] {
        let mut report = report();
        report.cut_short = Some("it was late".to_owned());
        let xml = check_junit(&report, fail_on);
        let count = |piece: &str| xml.matches(piece).count();
        let head = xml.lines().nth(1).expect("a head");
        assert!(
            head.contains(&format!("tests=\"{}\"", count("<testcase "))),
            "{head}"
        );
        assert!(
            head.contains(&format!("failures=\"{}\"", count("<failure "))),
            "{head}"
        );
        assert!(
            head.contains(&format!("errors=\"{}\"", count("<error "))),
            "{head}"
        );
        assert_eq!(count("<testsuite "), count("</testsuite>"));
        assert_eq!(count("<testcase "), count("</testcase>"));
    }
    assert_eq!(
        check_junit(&report(), Severity::Critical)
            .matches("<failure")
            .count(),
        1
    );
}

#[test]
fn ndjson_streams_every_violation_and_the_sums_last() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let ended = stage
        .run(&["check", "--format", "ndjson", "--limit", "1"])
        .expect_status(1);
    let lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 521);
    for line in [&lines[0], &lines[520], &begun_anew_line()] {
        valid("check-line", line);
    }
    let (summary, found) = lines.split_last().expect("a summary");
    assert!(found.iter().all(|line| line["type"] == "violation"));
    assert_eq!(
        (&summary["type"], &summary["totals"]["violations"]),
        (&"summary".into(), &520.into())
    );
}

#[test]
fn the_program_prints_each_format_and_other_verbs_refuse_what_they_lack() {
    let stage = Stage::migrated(BOTH_FAILURES);
    for (format, begins) in [
        (
            "junit",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites",
        ),
        ("markdown", "# quay-doctor: 520 violations"),
        ("html", "<!DOCTYPE html>"),
        ("prometheus", "# HELP quay_doctor_check_violations"),
        ("json", "{"),
        ("human", "PostgreSQL"),
    ] {
        let ended = stage.run(&["check", "--format", format]).expect_status(1);
        assert!(
            ended.stdout.starts_with(begins),
            "{format}: {}",
            ended.stdout
        );
    }
    let ended = stage.run(&["fix", "--format", "html"]).expect_status(2);
    assert!(ended.stderr.contains("no such format"), "{}", ended.stderr);
}

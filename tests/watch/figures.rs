//! Metrics and the report: what a check of the same registry says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::service::Watcher;
use crate::line::output::valid;
use crate::line::stage::{BOTH_FAILURES, Stage};

/// Everything of a report but its times.
fn timeless(mut report: Value) -> Value {
    for time in ["started_at", "finished_at"] {
        report[time] = Value::Null;
    }
    report
}

#[test]
fn the_metrics_and_the_report_are_those_of_a_check() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until_known();
    let checked = stage.run(&["check", "--format", "json"]).json();
    let report = watcher.report();
    valid("check", &report);
    assert_eq!(timeless(report), timeless(checked.clone()));

    let figures = watcher.figures();
    let mut expected = BTreeMap::new();
    for rule in checked["rules"].as_array().expect("rules") {
        if rule["status"] == "skipped" {
            continue;
        }
        let (id, severity) = (
            rule["id"].as_str().unwrap(),
            rule["severity"].as_str().unwrap(),
        );
        let name = format!("quay_doctor_watch_violations{{rule=\"{id}\",severity=\"{severity}\"}}");
        expected.insert(name, rule["violations"].as_f64().unwrap());
    }
    assert!(expected.values().sum::<f64>() > 500.0, "{expected:?}");
    let shown: BTreeMap<String, f64> = figures
        .iter()
        .filter(|(name, _)| name.starts_with("quay_doctor_watch_violations{"))
        .map(|(name, value)| (name.clone(), *value))
        .collect();
    assert_eq!(shown, expected);
    for (name, value) in [
        ("quay_doctor_watch_scanner", 1.0),
        ("quay_doctor_watch_database_reachable", 1.0),
        ("quay_doctor_watch_policies{state=\"active\"}", 1.0),
        ("quay_doctor_watch_policies{state=\"inactive\"}", 0.0),
        ("quay_doctor_watch_operations{state=\"in_progress\"}", 0.0),
        ("quay_doctor_watch_operations{state=\"interrupted\"}", 0.0),
        ("quay_doctor_watch_config_last_reload_successful", 1.0),
        ("quay_doctor_watch_interval_seconds", 1.0),
    ] {
        assert_eq!(figures.get(name), Some(&value), "{name}: {figures:#?}");
    }
    for name in [
        "quay_doctor_watch_last_scan_duration_seconds",
        "quay_doctor_watch_last_complete_scan_timestamp_seconds",
        "quay_doctor_watch_rows_read_total",
        "quay_doctor_watch_scans_total{outcome=\"complete\"}",
    ] {
        assert!(figures[name] > 0.0, "{name}");
    }
    assert!(figures["quay_doctor_watch_last_complete_scan_age_seconds"] < 120.0);
}

#[test]
fn a_world_that_changes_is_seen_by_the_next_scan() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &["--rule", "unprotected-tag"]);
    watcher.until_known();
    let name = "quay_doctor_watch_violations{rule=\"unprotected-tag\",severity=\"error\"}";
    assert_eq!(watcher.figure(name), Some(220.0));
    stage.sql("UPDATE tag SET immutable = true WHERE name LIKE 'v2.%'");
    watcher.until_scanned_again();
    assert_eq!(watcher.figure(name), Some(20.0));
}

#[test]
fn a_scan_that_is_cut_short_is_no_knowledge() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &["--timeout", "1ns"]);
    let cut = "quay_doctor_watch_scans_total{outcome=\"cut_short\"}";
    watcher.until("cut short", |watcher| watcher.figure(cut) > Some(0.0));
    let figures = watcher.figures();
    assert_eq!(figures["quay_doctor_watch_known"], 0.0);
    assert!(
        !figures.keys().any(|name| name.contains("violations{")),
        "{figures:#?}"
    );
    let report = watcher.get("/report.json");
    assert_eq!(report.status, 503);
    assert!(
        watcher.report()["not_known"]
            .as_str()
            .unwrap()
            .contains("--timeout")
    );
    assert!(
        watcher
            .page()
            .contains("Not known: the last scan was cut short")
    );
}

#[test]
fn a_database_that_is_not_quays_is_told_and_never_well() {
    let db = testkit::shared::TestDatabase::empty().expect("a database");
    let watcher = Watcher::of(&db.url(), &[]);
    let failed = "quay_doctor_watch_scans_total{outcome=\"failed\"}";
    watcher.until("failed", |watcher| watcher.figure(failed) > Some(0.0));
    assert_eq!(watcher.figure("quay_doctor_watch_known"), Some(0.0));
    assert!(
        watcher.page().contains("Not known: the scan failed"),
        "{}",
        watcher.page()
    );
}

#[test]
fn recorded_scans_are_the_trend_of_the_next_process() {
    let stage = Stage::migrated(BOTH_FAILURES);
    stage.run(&["check", "--record"]).expect_status(1);
    stage.sql("UPDATE quay_doctor.scan SET started_at = '2026-01-02T03:04:05Z', finished_at = '2026-01-02T03:04:06Z'");
    let watcher = Watcher::of(&stage.db.url(), &["--record"]);
    watcher.until_known();
    let page = watcher.page();
    assert!(
        page.contains("2026-01-02 03:04:06 UTC") && page.contains("<svg"),
        "{page}"
    );
    watcher.until("recorded", |watcher| {
        watcher.figure("quay_doctor_watch_record_last_successful") == Some(1.0)
    });
    assert!(stage.count("SELECT count(*) FROM quay_doctor.scan WHERE complete") > 1);
}

//! The last scans in figures: this process's own, and those of the history of scans.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::journal::RecordedScan;
use crate::report::CheckReport;

/// How many scans are kept: two days at a quarter of an hour.
pub(super) const KEPT: u32 = 192;

/// One scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) finished: DateTime<Utc>,
    pub(super) complete: bool,
    pub(super) violations: u64,
    /// Rules that could not be decided.
    pub(super) undecided: u64,
}

/// The last scans by the time of their beginning. A scan of our own that was recorded as well is
/// one scan: times go to the database in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Trend(BTreeMap<i64, Point>);

impl Trend {
    /// Adds a scan of this process.
    pub(super) fn add(&mut self, report: &CheckReport) {
        let point = Point {
            finished: report.finished,
            complete: report.cut_short.is_none(),
            violations: report.total_violations(),
            undecided: report.undecided_rules(),
        };
        self.insert(report.started, point);
    }

    /// Adds scans of the history.
    pub(super) fn remember(&mut self, scans: &[RecordedScan]) {
        for scan in scans {
            let point = Point {
                finished: scan.finished,
                complete: scan.complete,
                violations: u64::try_from(scan.violations).unwrap_or(0),
                undecided: u64::try_from(scan.undecided).unwrap_or(0),
            };
            self.insert(scan.started, point);
        }
    }

    fn insert(&mut self, started: DateTime<Utc>, point: Point) {
        self.0.insert(started.timestamp_micros(), point);
        while self.0.len() > KEPT as usize {
            self.0.pop_first();
        }
    }

    /// The scans, oldest first.
    pub(super) fn points(&self) -> Vec<Point> {
        self.0.values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(second: i64, violations: i64) -> RecordedScan {
        let time = DateTime::from_timestamp(second, 0).unwrap();
        RecordedScan {
            started: time,
            finished: time,
            complete: true,
            violations,
            undecided: 0,
        }
    }

    #[test]
    fn it_is_bounded_keeps_the_newest_and_counts_a_scan_once() {
        let mut trend = Trend::default();
        let all: Vec<RecordedScan> = (0..500).rev().map(|n| scan(n, n)).collect();
        trend.remember(&all);
        trend.remember(&all[..9]);
        let points = trend.points();
        assert_eq!(points.len(), KEPT as usize);
        assert_eq!(points.last().unwrap().violations, 499);
        assert!(points.is_sorted_by_key(|point| point.finished));
    }
}

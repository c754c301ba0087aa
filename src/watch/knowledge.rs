//! What is known at a moment, and why nothing is where nothing is.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::board::{Facts, Outcome, Role, Scan};

/// A database that has answered nothing for so long, while no scan runs, does not answer.
const SILENT_AFTER: TimeDelta = TimeDelta::seconds(60);

/// What is known.
#[derive(Clone, Debug)]
pub(super) enum Knowledge {
    /// The last scan was complete, and nothing has put it in doubt since.
    Known(Arc<Scan>),
    /// Nothing; a scan before may be shown as what it is, past.
    NotKnown(Why),
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No scan has ended yet.
    Starting,
    /// Another process scans, and knows.
    Standby,
    /// The database does not answer since then.
    Unreachable(DateTime<Utc>),
    /// The database is of no use as it is connected to, since then.
    Unusable(DateTime<Utc>),
    /// The database answered, but not with a scan.
    Failed(String),
    /// The connection was lost during the scan.
    Lost,
    /// What was found before may no longer be so, and the next scan has not ended.
    Due,
    /// The last scan did not see everything.
    CutShort(String),
    /// The last complete scan ended long ago.
    TooOld(DateTime<Utc>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |time: &DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        match self {
            Self::Starting => f.write_str("no scan has ended yet"),
            Self::Standby => f.write_str("another process scans; this one stands by"),
            Self::Unreachable(since) => {
                write!(f, "database unreachable since {}", clock(since))
            }
            Self::Unusable(since) => {
                write!(
                    f,
                    "database cannot be used in this way, since {}",
                    clock(since)
                )
            }
            Self::Lost => f.write_str("the scan lost its connection"),
            Self::Due => f.write_str("a new scan is due"),
            Self::Failed(why) => write!(f, "the scan failed: {why}"),
            Self::CutShort(why) => write!(f, "the last scan was cut short: {why}"),
            Self::TooOld(last) => write!(f, "the last complete scan ended at {}", clock(last)),
        }
    }
}

impl Facts {
    /// What is known now.
    pub(super) fn knowledge(&self, now: DateTime<Utc>) -> Knowledge {
        match (self.doubt(now), &self.last) {
            (None, Some(scan)) => Knowledge::Known(Arc::clone(scan)),
            (None, None) => Knowledge::NotKnown(Why::Starting),
            (Some(why), _) => Knowledge::NotKnown(why),
        }
    }

    fn doubt(&self, now: DateTime<Utc>) -> Option<Why> {
        match &self.role {
            Role::Starting => return Some(Why::Starting),
            Role::Standby(_) => return Some(Why::Standby),
            Role::Cut { since, trouble } if trouble.stays => return Some(Why::Unusable(*since)),
            Role::Cut { since, .. } => return Some(Why::Unreachable(*since)),
            Role::Scanner => {}
        }
        if let Some(since) = self.silent_since(now) {
            return Some(Why::Unreachable(since));
        }
        match (self.last_outcome.as_ref()?, &self.last) {
            (Outcome::Failed(trouble), _) => Some(Why::Failed(trouble.why.clone())),
            (Outcome::Unreachable, _) => Some(Why::Lost),
            (Outcome::Overtaken, _) => Some(Why::Due),
            (Outcome::CutShort, Some(scan)) => {
                let why = scan.report.cut_short.clone().unwrap_or_default();
                Some(Why::CutShort(why))
            }
            (Outcome::Complete, Some(scan)) => self.too_old(scan, now),
            (Outcome::CutShort | Outcome::Complete, None) => None,
        }
    }

    /// Since when the database has answered nothing, where that is too long. During a scan only its
    /// age can tell: one statement of it may take long.
    fn silent_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let answered = self.answered?;
        let silent = self.scanning_since.is_none() && now - answered > SILENT_AFTER;
        silent.then_some(answered)
    }

    /// Three rounds without an end, and the time that a scan takes, are too long.
    fn too_old(&self, scan: &Scan, now: DateTime<Utc>) -> Option<Why> {
        let took = scan.report.finished - scan.report.started;
        let round = TimeDelta::from_std(self.every).unwrap_or(TimeDelta::MAX);
        let bound = round
            .checked_mul(3)?
            .checked_add(&took)?
            .checked_add(&SILENT_AFTER)?;
        let finished = scan.report.finished;
        (now - finished > bound).then_some(Why::TooOld(finished))
    }

    /// Whether the database answers, as far as is known.
    pub(super) fn reachable(&self, now: DateTime<Utc>) -> bool {
        matches!(self.role, Role::Scanner | Role::Standby(_)) && self.silent_since(now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::ConnectionSettings;
    use crate::report::{CheckReport, DatabaseFacts, Settling};
    use crate::rules::{Catalogue, Severity};
    use crate::run::CheckRequest;
    use crate::watch::WatchPlan;
    use crate::watch::board::{Board, Trouble};

    fn time(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    /// What is known by the process that scans every ten minutes, after a complete scan without a
    /// violation that ended at the second 1000.
    fn well() -> Facts {
        let plan = WatchPlan {
            settings: ConnectionSettings::resolve(Some("postgresql://nobody@nowhere/none"))
                .unwrap(),
            request: CheckRequest::of(Catalogue::built_in().unwrap()),
            every: Duration::from_secs(600),
            fail_on: Severity::Warning,
            settling: Settling::NotKnown,
            record: false,
            token: None,
        };
        let report = CheckReport {
            started: time(990),
            finished: time(1000),
            database: DatabaseFacts {
                server_version: "15".to_owned(),
                alembic: Vec::new(),
                migration: 3,
                standby: false,
            },
            rules: Vec::new(),
            violations: Vec::new(),
            truncated: false,
            comparison: None,
            stale: Vec::new(),
            cut_short: None,
            notes: Vec::new(),
        };
        let mut facts = Board::new(plan.clone(), time(0)).facts();
        facts.role = Role::Scanner;
        facts.answered = Some(time(1000));
        facts.last_complete = Some(report.finished);
        facts.last_outcome = Some(Outcome::Complete);
        facts.last = Some(Arc::new(Scan::new(report, &plan, 1)));
        facts
    }

    fn why(facts: &Facts, now: i64) -> Option<Why> {
        match facts.knowledge(time(now)) {
            Knowledge::Known(_) => None,
            Knowledge::NotKnown(why) => Some(why),
        }
    }

    #[test]
    fn a_complete_scan_holds_until_anything_puts_it_in_doubt() {
        assert_eq!(why(&well(), 1001), None);
        for (role, expected) in [
            (Role::Starting, Why::Starting),
            (Role::Standby(None), Why::Standby),
            (
                Role::Cut {
                    since: time(1002),
                    trouble: Trouble::default(),
                },
                Why::Unreachable(time(1002)),
            ),
            (
                Role::Cut {
                    since: time(1002),
                    trouble: Trouble {
                        stays: true,
                        ..Trouble::default()
                    },
                },
                Why::Unusable(time(1002)),
            ),
        ] {
            let facts = Facts { role, ..well() };
            assert_eq!(why(&facts, 1003), Some(expected));
        }
        for (outcome, expected) in [
            (Outcome::CutShort, Why::CutShort(String::new())),
            (Outcome::Unreachable, Why::Lost),
            (Outcome::Overtaken, Why::Due),
            (
                Outcome::Failed(Trouble {
                    why: "x".to_owned(),
                    ..Trouble::default()
                }),
                Why::Failed("x".to_owned()),
            ),
        ] {
            let facts = Facts {
                last_outcome: Some(outcome),
                ..well()
            };
            assert_eq!(why(&facts, 1003), Some(expected));
        }
    }

    #[test]
    fn a_database_that_is_silent_is_away_and_during_a_scan_only_age_tells() {
        let mut facts = well();
        assert_eq!(why(&facts, 1060), None);
        assert_eq!(why(&facts, 1061), Some(Why::Unreachable(time(1000))));
        facts.scanning_since = Some(time(1010));
        assert_eq!(why(&facts, 1061), None);
        // Three rounds of ten minutes, the scan's ten seconds, and the minute.
        assert_eq!(why(&facts, 2870), None);
        assert_eq!(why(&facts, 2871), Some(Why::TooOld(time(1000))));
    }
}

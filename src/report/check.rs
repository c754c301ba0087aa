//! The outcome of a check.

use chrono::{DateTime, Utc};

use crate::evaluate::{RuleOutcome, Status, Violation};
use crate::rules::Severity;

/// What the database said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// The server's version.
    pub server_version: String,
    /// Quay's Alembic revisions.
    pub alembic: Vec<String>,
    /// The version of our migrations.
    pub migration: i32,
    /// Whether it is a standby.
    pub standby: bool,
}

/// The outcome of a check that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// When it began, by our clock.
    pub started: DateTime<Utc>,
    /// When it ended, by our clock.
    pub finished: DateTime<Utc>,
    /// The database.
    pub database: DatabaseFacts,
    /// Every rule that was asked for.
    pub rules: Vec<RuleOutcome>,
    /// Violations, explained ones among them only under `--strict`; a limit of them is kept.
    pub violations: Vec<Violation>,
    /// Whether there are more violations than are kept.
    pub truncated: bool,
    /// What could not be judged for lack of what, and what was taken for granted.
    pub notes: Vec<String>,
}

/// How it stands, for whoever decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every rule holds.
    AllWell,
    /// There are violations at or above the severity asked for.
    Violated,
    /// A rule is undecided, whatever the others say.
    Unknown,
}

impl CheckReport {
    /// How it stands, where violations below `fail_on` do not count.
    pub fn standing(&self, fail_on: Severity) -> Standing {
        let mut standing = Standing::AllWell;
        for rule in self.rules.iter().filter(|rule| rule.severity >= fail_on) {
            match rule.status() {
                Status::Undecided => return Standing::Unknown,
                Status::Violated => standing = Standing::Violated,
                Status::Held | Status::Skipped => {}
            }
        }
        standing
    }

    /// All violations, kept or not.
    pub fn total_violations(&self) -> u64 {
        self.rules.iter().map(|rule| rule.violations).sum()
    }

    /// All explained subjects.
    pub fn total_explained(&self) -> u64 {
        self.rules.iter().map(|rule| rule.explained).sum()
    }
}

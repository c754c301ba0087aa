//! The outcome of a check.

use chrono::{DateTime, Utc};

use super::{Comparison, ViolationKey};
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

/// The outcome of a check.
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
    /// What has changed since a scan before, where that was asked.
    pub comparison: Option<Comparison>,
    /// Violations of the baseline that were not found again.
    pub stale: Vec<ViolationKey>,
    /// Why not everything was looked at, where that is so: then nothing is said to be well.
    pub cut_short: Option<String>,
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

/// What a subject counts for that Quay may be at work on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settling {
    /// Its state is not known, so that nothing can be said to be well.
    #[default]
    NotKnown,
    /// It is let pass (`--allow-settling`).
    Allowed,
}

impl CheckReport {
    /// How it stands, where what is below `fail_on` does not count.
    pub fn standing(&self, fail_on: Severity, settling: Settling) -> Standing {
        if self.cut_short.is_some() {
            return Standing::Unknown;
        }
        let mut standing = Standing::AllWell;
        for rule in self.rules.iter().filter(|rule| rule.severity >= fail_on) {
            if rule.status() == Status::Undecided
                || rule.settling > 0 && settling == Settling::NotKnown
            {
                return Standing::Unknown;
            }
            if rule.violations_from(fail_on) > 0 {
                standing = Standing::Violated;
            }
        }
        standing
    }

    /// All violations, kept or not.
    pub fn total_violations(&self) -> u64 {
        self.rules.iter().map(|rule| rule.violations).sum()
    }

    /// Whether some rule could not be decided.
    pub fn is_undecided(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.status() == Status::Undecided)
    }

    /// How many rules could not be decided.
    pub fn undecided_rules(&self) -> u64 {
        let undecided = |rule: &&RuleOutcome| rule.status() == Status::Undecided;
        self.rules.iter().filter(undecided).count() as u64
    }

    /// The violations of a rule that were kept, in order, at most `most`.
    pub(super) fn of(&self, rule: &RuleOutcome, most: usize) -> impl Iterator<Item = &Violation> {
        let id = rule.id.clone();
        self.violations
            .iter()
            .filter(move |violation| violation.rule == id)
            .take(most)
    }

    /// All subjects that Quay may be at work on.
    pub fn total_settling(&self) -> u64 {
        self.rules.iter().map(|rule| rule.settling).sum()
    }

    /// All violations that were known before.
    pub fn total_known(&self) -> u64 {
        self.rules.iter().map(|rule| rule.known).sum()
    }

    /// All explained subjects.
    pub fn total_explained(&self) -> u64 {
        self.rules.iter().map(|rule| rule.explained).sum()
    }
}

//! The board where the threads meet: the scanner writes, pages and metrics read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use miette::Diagnostic as _;

use super::WatchPlan;
use super::trend::Trend;
use crate::policy::PolicyView;
use crate::report::{CheckReport, Standing, check_json};
use crate::run::{OperationView, RunError};

/// A scan that came to an end, complete or cut short.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) report: CheckReport,
    /// As `check --format json` prints it; made once, since anybody may ask for it often.
    pub(super) json: String,
    pub(super) standing: Standing,
    /// Tags that were read.
    pub(super) rows: u64,
}

impl Scan {
    pub(super) fn new(report: CheckReport, plan: &WatchPlan, rows: u64) -> Self {
        Self {
            json: format!("{:#}\n", check_json(&report)),
            standing: report.standing(plan.fail_on, plan.settling),
            report,
            rows,
        }
    }
}

/// What this process is to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not yet reached the database.
    Starting,
    /// It has the lock, and scans.
    Scanner,
    /// Another process scans; its backend, where that is known.
    Standby(Option<i32>),
    /// The database does not answer, or is of no use to us.
    Cut {
        since: DateTime<Utc>,
        trouble: Trouble,
    },
}

/// What went wrong, and what helps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) why: String,
    pub(super) help: Option<String>,
    /// It is a matter of configuration, and does not go away by itself.
    pub(super) stays: bool,
}

impl Trouble {
    /// An error and what lies behind it, in one line, and its help.
    pub(super) fn of(error: &RunError) -> Self {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            let more = error.to_string();
            if !why.contains(&more) {
                why.push_str(": ");
                why.push_str(&more);
            }
            source = error.source();
        }
        let help = error.help().map(|help| help.to_string());
        Self {
            why,
            help: help.filter(|help| !help.is_empty()),
            stays: error.is_usage(),
        }
    }
}

/// How an attempt at a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    CutShort,
    /// The connection was lost, or could not be had.
    Unreachable,
    /// The database answered, but not with a scan.
    Failed(Trouble),
    /// Something has come since that may have changed everything: the connection was lost, another
    /// process had the turn, the configuration is another.
    Overtaken,
}

/// How often attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) complete: u64,
    pub(super) cut_short: u64,
    pub(super) unreachable: u64,
    pub(super) failed: u64,
}

/// Everything that is known, and since when.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) started: DateTime<Utc>,
    pub(super) every: Duration,
    pub(super) role: Role,
    /// The last time that the database answered anything.
    pub(super) answered: Option<DateTime<Utc>>,
    pub(super) scanning_since: Option<DateTime<Utc>>,
    pub(super) next: Option<DateTime<Utc>>,
    pub(super) last: Option<Arc<Scan>>,
    pub(super) last_complete: Option<DateTime<Utc>>,
    pub(super) last_outcome: Option<Outcome>,
    pub(super) ends: Ends,
    pub(super) rows_read: u64,
    pub(super) trend: Trend,
    /// Policies and operations as of the last look; none where there was none.
    pub(super) policies: Option<Arc<Vec<PolicyView>>>,
    pub(super) operations: Option<Arc<Vec<OperationView>>>,
    /// When the configuration was last read with success.
    pub(super) configured: DateTime<Utc>,
    /// Why the configuration that SIGHUP wanted was not taken.
    pub(super) refused: Option<String>,
    /// Whether the last scan could be recorded, where that is wanted.
    pub(super) recorded: Option<Result<(), Trouble>>,
}

/// The facts, behind a lock that is held for moments only.
pub(super) struct Board {
    facts: Mutex<Facts>,
    plan: Mutex<Arc<WatchPlan>>,
}

impl Board {
    pub(super) fn new(plan: WatchPlan, now: DateTime<Utc>) -> Self {
        let facts = Facts {
            started: now,
            every: plan.every,
            role: Role::Starting,
            answered: None,
            scanning_since: None,
            next: None,
            last: None,
            last_complete: None,
            last_outcome: None,
            ends: Ends::default(),
            rows_read: 0,
            trend: Trend::default(),
            policies: None,
            operations: None,
            configured: now,
            refused: None,
            recorded: None,
        };
        Self {
            facts: Mutex::new(facts),
            plan: Mutex::new(Arc::new(plan)),
        }
    }

    /// The facts as of now.
    pub(super) fn facts(&self) -> Facts {
        self.facts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes facts.
    pub(super) fn note<R>(&self, change: impl FnOnce(&mut Facts) -> R) -> R {
        change(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The plan that counts.
    pub(super) fn plan(&self) -> Arc<WatchPlan> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&plan)
    }

    /// Another plan counts from here on.
    pub(super) fn change_plan(&self, plan: WatchPlan) {
        self.note(|facts| {
            facts.every = plan.every;
            facts.configured = Utc::now();
            facts.refused = None;
        });
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }
}

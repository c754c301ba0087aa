//! A scan beside the one before: new, still there, gone.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{Baseline, BaselineError, CheckReport, ViolationKey};
use crate::evaluate::Violation;

/// What has changed since the scan before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// When the scan before began; none where there was none of the same scope.
    pub with: Option<DateTime<Utc>>,
    /// Violations that it had not.
    pub new: Vec<ViolationKey>,
    /// How many it had, too.
    pub still_there: u64,
    /// Violations that it had and this one has not.
    pub gone: Vec<ViolationKey>,
    /// Whether either scan found more than it listed: then only what is listed is compared.
    pub partial: bool,
}

impl Comparison {
    /// Compares a report with an earlier one, as `check --format json` wrote it.
    ///
    /// # Errors
    /// [`BaselineError`] where that is no such report.
    pub fn new(report: &CheckReport, before: Option<&Value>) -> Result<Self, BaselineError> {
        let Some(before) = before else {
            return Ok(Self {
                with: None,
                new: Vec::new(),
                still_there: 0,
                gone: Vec::new(),
                partial: false,
            });
        };
        let mut earlier = Baseline::parse("the recorded scan", &before.to_string())?;
        let (still, new): (Vec<&Violation>, Vec<&Violation>) =
            report.violations.iter().partition(|v| earlier.knows(v));
        let rules: BTreeSet<String> = report.rules.iter().map(|rule| rule.id.0.clone()).collect();
        let started = before["started_at"]
            .as_str()
            .and_then(|text| text.parse().ok());
        Ok(Self {
            with: started,
            new: new.into_iter().map(ViolationKey::from).collect(),
            still_there: still.len() as u64,
            gone: earlier.stale(&rules),
            partial: report.truncated || before["truncated"] == true,
        })
    }
}

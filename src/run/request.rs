//! What to check, and by which allowances.

use std::collections::HashSet;
use std::time::Duration;

use crate::evaluate::{Features, Strictness};
use crate::quay::PolicyUuid;
use crate::relations::Selection;
use crate::report::Baseline;
use crate::rules::Catalogue;
use crate::scan::Shard;

/// What to check.
#[derive(Clone, Debug)]
pub struct CheckRequest {
    /// The rules, already chosen.
    pub rules: Catalogue,
    /// Which part of the registry, by name.
    pub selection: Selection,
    /// Which part of it, by number.
    pub shard: Shard,
    /// What is stated about Quay's feature flags.
    pub features: Features,
    /// Whether evidence excuses.
    pub strictness: Strictness,
    /// How long an inactive policy may stay inactive.
    pub stale_after: Duration,
    /// How long Quay may be at work on a policy that it has just created.
    pub grace: Duration,
    /// Policies of which it is accepted that they cannot be decided.
    pub accepted: HashSet<PolicyUuid>,
    /// How long the scan may take; what was found until then is reported, as cut short.
    pub timeout: Option<Duration>,
    /// How many sessions read live tags side by side.
    pub readers: usize,
    /// Violations that are known and fail no run.
    pub baseline: Baseline,
    /// How many violations are kept; all are counted.
    pub keep: usize,
}

impl CheckRequest {
    /// A check of everything by these rules, with the usual limits.
    pub fn of(rules: Catalogue) -> Self {
        Self {
            rules,
            selection: Selection::default(),
            shard: Shard::default(),
            features: Features::default(),
            strictness: Strictness::Lenient,
            stale_after: Duration::from_secs(3600),
            grace: Duration::from_secs(15 * 60),
            accepted: HashSet::new(),
            timeout: None,
            readers: 2,
            baseline: Baseline::default(),
            keep: 10_000,
        }
    }
}

//! How corrections are carried out.

use std::time::Duration;

use crate::batch::Limits;
use crate::correction::{DatabaseIdentity, PlanDigest};
use crate::crew::Jobs;
use crate::evaluate::Features;
use crate::journal::Identity;
use crate::quay::RunId;

/// What is written into Quay's audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditDetail {
    /// One marked entry a tag.
    #[default]
    PerTag,
    /// One marked entry a batch, which says how many tags it was.
    Summary,
    /// Nothing: where Quay logs elsewhere. The journal has it all.
    None,
}

/// What becomes of an expiry that has passed since it was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PastExpiry {
    /// It is not written: the tag would die at once.
    #[default]
    LeaveOut,
    /// It is written.
    Restore,
}

/// How much of a plan one transaction makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FixStrategy {
    /// Batch by batch; what no longer holds is skipped.
    #[default]
    Phased,
    /// All of it, or nothing.
    Atomic,
}

impl FixStrategy {
    /// Its name, as the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phased => "phased",
            Self::Atomic => "atomic",
        }
    }
}

/// The document that a plan comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOrigin {
    /// The file.
    pub file: String,
    /// For which database it was made; no other is written.
    pub database: DatabaseIdentity,
    /// Its digest, written down with the run.
    pub digest: PlanDigest,
}

/// How corrections are carried out.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Who, and why.
    pub who: Identity,
    /// What was stated about Quay.
    pub features: Features,
    /// What is written into Quay's audit log.
    pub audit: AuditDetail,
    /// How much one transaction makes.
    pub strategy: FixStrategy,
    /// What becomes of past expiries.
    pub past_expiry: PastExpiry,
    /// How long a batch may take, as an aim.
    pub batch_time: Duration,
    /// How many sessions change tags at the same time, each in other repositories.
    pub jobs: Jobs,
    /// What slows the work down.
    pub limits: Limits,
    /// How far clocks may be apart.
    pub clock_margin: Duration,
    /// How long an operation of the run waits for transactions that still read the policies as they
    /// were.
    pub settle_timeout: Duration,
    /// The most corrections that a run may make.
    pub max_changes: u64,
    /// How long an inactive policy may stay inactive.
    pub stale_after: Duration,
    /// The run that this one belongs to, and is taken back with.
    pub parent: Option<RunId>,
    /// The document that the plan comes from, where it comes from one.
    pub origin: Option<PlanOrigin>,
}

impl ApplyOptions {
    /// The defaults, for this identity.
    pub fn new(who: Identity) -> Self {
        Self {
            who,
            features: Features::default(),
            audit: AuditDetail::default(),
            strategy: FixStrategy::default(),
            past_expiry: PastExpiry::default(),
            batch_time: Duration::from_millis(50),
            jobs: Jobs::default(),
            limits: Limits::default(),
            clock_margin: Duration::from_secs(60),
            settle_timeout: Duration::from_secs(30),
            max_changes: 10_000,
            stale_after: Duration::from_secs(3_600),
            parent: None,
            origin: None,
        }
    }
}

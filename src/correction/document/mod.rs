//! A plan as a document: JSON that one command writes and another carries out, with a digest.
//!
//! Corrections are written and read one by one, so that neither side holds the document's text.
//! Which kinds of corrections there are is [`super::Correction`]'s business alone. The digest finds
//! what was cut off or edited by accident or by hand; it is no signature.

mod digest;
mod error;
mod read;
mod write;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{DatabaseIdentity, LeftAlone, OpenDecision, Plan};
use crate::evaluate::{Features, Stated};
use crate::rules::RuleId;

pub use digest::PlanDigest;
pub use error::PlanFileError;
pub use read::read_plan;
pub use write::write_plan;

/// The version of the document's shape; it grows when a key changes its meaning or goes.
pub const SHAPE: u32 = 1;

/// What a plan is about, and what it was made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanHead {
    /// `quay-doctor`.
    pub tool: String,
    /// The version that made it.
    pub version: String,
    /// The document's shape.
    pub shape: u32,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// Who made it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// For which database.
    pub database: DatabaseIdentity,
    /// What was stated about Quay: whether an expiry is cleared depends on it.
    pub features: Features,
    /// How long an inactive policy could stay inactive without being stale, in milliseconds.
    pub stale_after_ms: u64,
}

/// What a plan leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRest {
    /// What somebody has to decide.
    pub decisions: Vec<OpenDecision>,
    /// What is `recover`'s.
    pub left_to_recover: Vec<LeftAlone>,
    /// How many violations the plan had no room for.
    pub beyond: u64,
    /// Rules that could not be decided: the plan may lack what they would ask for.
    pub undecided_rules: Vec<RuleId>,
}

/// A plan that was read from a document, its digest verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanDocument {
    /// What it is about.
    pub head: PlanHead,
    /// The plan.
    pub plan: Plan,
    /// Rules that could not be decided when it was made.
    pub undecided_rules: Vec<RuleId>,
    /// Its digest.
    pub digest: PlanDigest,
}

impl PlanHead {
    /// What was stated about Quay when the plan was made.
    ///
    /// # Errors
    /// [`PlanFileError::OtherFeatures`] where something else is stated now.
    pub fn features_unless_denied(
        &self,
        file: &str,
        now: Features,
    ) -> Result<Features, PlanFileError> {
        let then = self.features;
        for (flag, then, now) in [
            ("--immutable-tags", then.immutable_tags, now.immutable_tags),
            (
                "--immutable-tags-can-expire",
                then.can_expire,
                now.can_expire,
            ),
        ] {
            if now != Stated::Unknown && now != then {
                return Err(PlanFileError::OtherFeatures {
                    file: file.to_owned(),
                    flag,
                    then: in_a_word(then),
                    now: in_a_word(now),
                });
            }
        }
        Ok(then)
    }
}

fn in_a_word(stated: Stated) -> &'static str {
    match stated {
        Stated::On => "true",
        Stated::Off => "false",
        Stated::Unknown => "not stated",
    }
}

//! The moment of an evaluation and what was stated about the Quay in front of the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::{Feature, QuayFeatures};
use crate::quay::UnixMillis;

/// A feature flag of Quay's that is not in the database: stated, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stated {
    /// Stated to be on.
    On,
    /// Stated to be off.
    Off,
    /// Not stated.
    #[default]
    Unknown,
}

/// Quay's feature flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// `FEATURE_IMMUTABLE_TAGS`: whether policies are enforced at all.
    pub immutable_tags: Stated,
    /// `FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE`: whether marking a tag leaves its expiry alone.
    pub can_expire: Stated,
}

impl From<&Feature> for Stated {
    fn from(feature: &Feature) -> Self {
        match feature {
            Feature::On(_) => Self::On,
            Feature::Off(_) => Self::Off,
            Feature::Unknown => Self::Unknown,
        }
    }
}

impl From<&QuayFeatures> for Features {
    fn from(features: &QuayFeatures) -> Self {
        Self {
            immutable_tags: Stated::from(&features.immutable_tags),
            can_expire: Stated::from(&features.can_expire),
        }
    }
}

/// Whether evidence excuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// A tag that evidence accounts for is explained, and no violation.
    #[default]
    Lenient,
    /// It counts as a violation all the same.
    Strict,
}

/// The moment as of which rows are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The database server's clock when the snapshot was taken.
    pub now: DateTime<Utc>,
    /// How long an inactive policy may stay inactive without being stale.
    pub stale_after: Duration,
    /// What was stated about Quay.
    pub features: Features,
    /// Whether evidence excuses.
    pub strictness: Strictness,
}

/// A time after a policy's creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grace(pub Duration);

impl Grace {
    /// Whether less than this has passed. An unknown date is old; one in the future is a clock's
    /// fault, and young.
    pub fn is_within(self, created: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        created.is_some_and(|created| {
            created > now || (now - created).to_std().is_ok_and(|age| age < self.0)
        })
    }
}

impl Moment {
    /// The moment in Quay's unit.
    pub fn millis(&self) -> UnixMillis {
        UnixMillis(self.now.timestamp_millis())
    }
}

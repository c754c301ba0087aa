//! The moment of an evaluation and what was stated about the Quay in front of the database.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::quay::UnixMillis;

/// A feature flag of Quay's that is not in the database: stated, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `FEATURE_IMMUTABLE_TAGS`: whether policies are enforced at all.
    pub immutable_tags: Stated,
    /// `FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE`: whether marking a tag leaves its expiry alone.
    pub can_expire: Stated,
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
}

impl Moment {
    /// The moment in Quay's unit.
    pub fn millis(&self) -> UnixMillis {
        UnixMillis(self.now.timestamp_millis())
    }
}

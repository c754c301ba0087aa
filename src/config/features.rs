//! What is known of Quay's two feature flags. They stand in Quay's configuration and not in its
//! database, so "not known" is an answer of its own.

use std::fmt;

use super::key::{CAN_EXPIRE, IMMUTABLE_TAGS, Key};
use super::{ConfigError, Layers, Origin, QuayConfig};

/// A feature flag of Quay's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feature {
    /// On, and who says so.
    On(Origin),
    /// Off, and who says so.
    Off(Origin),
    /// Nobody says.
    Unknown,
}

impl Feature {
    fn stated(on: bool, origin: Origin) -> Self {
        if on {
            Self::On(origin)
        } else {
            Self::Off(origin)
        }
    }

    /// On or off, where it is known.
    pub fn known(&self) -> Option<bool> {
        match self {
            Self::On(_) => Some(true),
            Self::Off(_) => Some(false),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(origin) => write!(f, "on (from {origin})"),
            Self::Off(origin) => write!(f, "off (from {origin})"),
            Self::Unknown => f.write_str("not known"),
        }
    }
}

/// The flags of the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeatureFlags {
    /// `--immutable-tags`.
    pub immutable_tags: Option<bool>,
    /// `--immutable-tags-can-expire`.
    pub can_expire: Option<bool>,
}

/// Both flags. Those of the command line count before the environment, that before
/// quay-doctor.toml, and that before Quay's config.yaml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuayFeatures {
    /// `FEATURE_IMMUTABLE_TAGS`: whether Quay enforces immutability at all.
    pub immutable_tags: Feature,
    /// `FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE`: whether an immutable tag keeps its expiry.
    pub can_expire: Feature,
}

impl QuayFeatures {
    /// Nobody says anything.
    pub fn unknown() -> Self {
        Self {
            immutable_tags: Feature::Unknown,
            can_expire: Feature::Unknown,
        }
    }

    /// Resolves both flags.
    ///
    /// # Errors
    /// [`ConfigError`] where a variable is neither true nor false.
    pub fn resolve(
        flags: FeatureFlags,
        layers: &Layers,
        quay: Option<&QuayConfig>,
    ) -> Result<Self, ConfigError> {
        let resolve = |key: &Key<bool>, flag, in_quay: Option<Feature>| {
            let given = layers.given(key, flag)?;
            Ok::<_, ConfigError>(match given {
                Some(given) => Feature::stated(given.value, given.origin),
                None => in_quay.unwrap_or(Feature::Unknown),
            })
        };
        Ok(Self {
            immutable_tags: resolve(
                &IMMUTABLE_TAGS,
                flags.immutable_tags,
                quay.map(QuayConfig::immutable_tags),
            )?,
            can_expire: resolve(
                &CAN_EXPIRE,
                flags.can_expire,
                quay.map(QuayConfig::can_expire),
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn with(variable: &str, value: &str) -> Layers {
        Layers::of(Environment::empty().with(variable, value))
    }

    #[test]
    fn a_flag_counts_before_the_environment_and_nothing_said_is_not_known() {
        let environment = with("QUAY_DOCTOR_IMMUTABLE_TAGS", "false");
        let flags = FeatureFlags {
            immutable_tags: Some(true),
            can_expire: None,
        };
        let features = QuayFeatures::resolve(flags, &environment, None).unwrap();
        assert_eq!(
            features.immutable_tags,
            Feature::On(Origin::Option("--immutable-tags"))
        );
        assert_eq!(features.can_expire, Feature::Unknown);

        let features = QuayFeatures::resolve(FeatureFlags::default(), &environment, None).unwrap();
        assert_eq!(features.immutable_tags.known(), Some(false));
    }

    #[test]
    fn quays_configuration_counts_last() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "FEATURE_IMMUTABLE_TAGS: true\nFEATURE_IMMUTABLE_TAGS_CAN_EXPIRE: true\n";
        std::fs::write(file.path(), text).unwrap();
        let quay = QuayConfig::read(file.path()).unwrap();
        let environment = with("QUAY_DOCTOR_IMMUTABLE_TAGS_CAN_EXPIRE", "false");
        let features =
            QuayFeatures::resolve(FeatureFlags::default(), &environment, Some(&quay)).unwrap();
        assert_eq!(features.immutable_tags.known(), Some(true));
        assert_eq!(
            features.can_expire,
            Feature::Off(Origin::Variable("QUAY_DOCTOR_IMMUTABLE_TAGS_CAN_EXPIRE"))
        );
    }

    #[test]
    fn a_variable_that_is_neither_true_nor_false_is_refused() {
        let environment = with("QUAY_DOCTOR_IMMUTABLE_TAGS_CAN_EXPIRE", "yes");
        let refused = QuayFeatures::resolve(FeatureFlags::default(), &environment, None);
        assert!(matches!(
            refused,
            Err(ConfigError::BadValue {
                key: "immutable-tags-can-expire",
                ..
            })
        ));
    }
}

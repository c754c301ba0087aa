//! A tag row's facts: alive or not, immutable or not, when it expires.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC, as in `tag.lifetime_start_ms` and `lifetime_end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S UTC")),
            // Outside chrono's range; the number itself is then the clearest thing to show.
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// `tag.immutable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Immutability {
    /// Pushes and deletions of the tag are refused.
    Immutable,
    /// The tag can be moved and deleted.
    Mutable,
}

impl Immutability {
    /// From the column's value.
    pub fn from_column(immutable: bool) -> Self {
        if immutable {
            Self::Immutable
        } else {
            Self::Mutable
        }
    }

    /// The column's value.
    pub fn as_column(self) -> bool {
        self == Self::Immutable
    }
}

/// `tag.lifetime_end_ms`: when the tag ends, if it is to end at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expiry(pub Option<UnixMillis>);

/// Whether a tag row is alive at `now`: not hidden, and without an end or with one strictly later
/// (oci/tag.py:807-821). Quay takes `now` from the application server's clock.
pub fn is_alive(hidden: bool, expiry: Expiry, now: UnixMillis) -> bool {
    !hidden && expiry.0.is_none_or(|end| end > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_dies_at_its_end_and_not_after_it() {
        let end = Expiry(Some(UnixMillis(1_000)));
        assert!(is_alive(false, end, UnixMillis(999)));
        assert!(!is_alive(false, end, UnixMillis(1_000)));
        assert!(is_alive(false, Expiry(None), UnixMillis(i64::MAX)));
        assert!(!is_alive(true, Expiry(None), UnixMillis(0)));
    }
}

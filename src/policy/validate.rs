//! Whether a configuration is one that Quay takes, and one that can be decided here.

use super::{NewPattern, PolicyError};
use crate::pattern::{self, Compiled, Slowness};
use crate::quay::StoredPolicy;

/// The longest pattern that Quay takes, in characters (immutability.py:95-112).
const LONGEST: usize = 256;

/// Validates as Quay does, and then some: what cannot be decided here cannot be applied.
pub(super) fn validate(new: &NewPattern) -> Result<StoredPolicy, PolicyError> {
    let trimmed = new.pattern.trim();
    if trimmed.is_empty() {
        return Err(PolicyError::refused(
            "the pattern is empty",
            "Quay refuses it; `.*` covers every tag",
        ));
    }
    let length = trimmed.chars().count();
    if length > LONGEST {
        return Err(PolicyError::refused(
            format!("the pattern has {length} characters, and Quay takes at most {LONGEST}"),
            "shorten it, or create several policies",
        ));
    }
    match pattern::compile(trimmed) {
        Compiled::Valid(_) => {}
        Compiled::Invalid(why) => {
            return Err(PolicyError::refused(
                format!("the pattern is not valid: {why}"),
                "`quay-doctor pattern explain PATTERN` shows what a pattern means",
            ));
        }
        Compiled::Undecidable(why) => {
            return Err(PolicyError::refused(
                format!("the pattern cannot be decided here: {why}"),
                "write it without that, or create the policy in Quay itself",
            ));
        }
    }
    if let (Slowness::CanBeSlow(why), false) = (pattern::slow_judgement(trimmed), new.allow_slow) {
        return Err(PolicyError::refused(
            format!("the pattern can run into Quay's time-out of one second: {why}"),
            "Quay then counts \"no match\", silently; where that is understood: --allow-slow",
        ));
    }
    Ok(StoredPolicy {
        pattern: trimmed.to_owned(),
        polarity: new.polarity,
    })
}

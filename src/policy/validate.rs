//! Whether a configuration is one that Quay takes, and one that can be decided here.

use super::{NewPattern, PolicyError};
use crate::pattern::{self, Compiled, Slowness, slow_judgement};
use crate::quay::StoredPolicy;

/// The longest pattern that Quay takes, in characters (immutability.py:95-112).
const LONGEST: usize = 256;

/// Refuses a configuration that no operation would take; asks no database.
///
/// # Errors
/// [`PolicyError::Refused`], with the reason.
pub fn refuse_pattern(new: &NewPattern) -> Result<(), PolicyError> {
    validate(new).map(drop)
}

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
        Compiled::Valid(_) if new.allow_slow => {}
        Compiled::Valid(_) => refuse_slow(trimmed)?,
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
    Ok(StoredPolicy {
        pattern: trimmed.to_owned(),
        polarity: new.polarity,
    })
}

/// A pattern that can run into Quay's time-out of one second decides nothing there: the push goes
/// through as if it did not match (immutability.py:128-137).
fn refuse_slow(pattern: &str) -> Result<(), PolicyError> {
    let why = match slow_judgement(pattern) {
        Slowness::Fast => return Ok(()),
        Slowness::CanBeSlow(reason) => format!("the pattern can be slow: {reason}"),
        Slowness::Unknown => "whether the pattern can be slow is not known".to_owned(),
    };
    Err(PolicyError::refused(
        why,
        "a pattern that takes Quay more than a second counts there as no match; with --allow-slow it is taken all the same",
    ))
}

//! A plan's document, read: each correction is hashed as it comes, and the digest compared.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::digest::Corrections;
use super::{PlanDigest, PlanDocument, PlanFileError, PlanHead, PlanRest, SHAPE};
use crate::correction::{Plan, Planned};

/// The members of a document.
const MEMBERS: &[&str] = &["plan", "corrections", "open", "digest"];

/// Reads a plan's document. No more than `keep` corrections are kept; what comes after them is
/// verified and counted as beyond the plan, which is then larger than it may be.
///
/// # Errors
/// [`PlanFileError`] where it is no plan, or not the one that its digest was made of.
pub fn read_plan(file: &str, from: impl Read, keep: usize) -> Result<PlanDocument, PlanFileError> {
    let unreadable = |error: serde_json::Error| PlanFileError::Unreadable {
        file: file.to_owned(),
        reason: error.to_string(),
    };
    let mut json = serde_json::Deserializer::from_reader(from);
    let parts = json.deserialize_map(Whole { keep }).map_err(unreadable)?;
    json.end().map_err(unreadable)?;
    let digest = parts
        .corrections
        .hash
        .seal(&parts.head, &parts.rest)
        .map_err(unreadable)?;
    if digest != parts.digest {
        return Err(PlanFileError::Tampered {
            file: file.to_owned(),
            said: parts.digest.to_string().escape_debug().to_string(),
            is: digest.to_string(),
        });
    }
    let mut plan = Plan {
        corrections: parts.corrections.kept,
        decisions: parts.rest.decisions,
        left: parts.rest.left_to_recover,
        beyond: parts.rest.beyond + parts.corrections.more,
        ..Plan::default()
    };
    plan.order();
    Ok(PlanDocument {
        head: parts.head,
        plan,
        undecided_rules: parts.rest.undecided_rules,
        digest,
    })
}

struct Parts {
    head: PlanHead,
    corrections: Kept,
    rest: PlanRest,
    digest: PlanDigest,
}

/// The corrections, as far as they are kept, and the digest of all.
#[derive(Default)]
struct Kept {
    hash: Corrections,
    kept: Vec<Planned>,
    more: u64,
}

struct Whole {
    keep: usize,
}

impl<'de> Visitor<'de> for Whole {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts, A::Error> {
        let (mut head, mut corrections, mut rest, mut digest) = (None, None, None, None);
        while let Some(member) = map.next_key::<String>()? {
            let again = match member.as_str() {
                "plan" => {
                    let found: PlanHead = map.next_value()?;
                    if found.shape != SHAPE {
                        return Err(A::Error::custom(format!(
                            "its shape is {}, and this version knows {SHAPE}",
                            found.shape
                        )));
                    }
                    head.replace(found).is_some()
                }
                "corrections" => corrections
                    .replace(map.next_value_seed(Each { keep: self.keep })?)
                    .is_some(),
                "open" => rest.replace(map.next_value()?).is_some(),
                "digest" => digest.replace(map.next_value()?).is_some(),
                other => return Err(A::Error::unknown_field(other, MEMBERS)),
            };
            if again {
                return Err(A::Error::custom(format!("`{member}` is there twice")));
            }
        }
        Ok(Parts {
            head: head.ok_or_else(|| A::Error::missing_field("plan"))?,
            corrections: corrections.ok_or_else(|| A::Error::missing_field("corrections"))?,
            rest: rest.ok_or_else(|| A::Error::missing_field("open"))?,
            digest: digest.ok_or_else(|| A::Error::missing_field("digest"))?,
        })
    }
}

struct Each {
    keep: usize,
}

impl<'de> DeserializeSeed<'de> for Each {
    type Value = Kept;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of corrections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kept, A::Error> {
        let mut found = Kept::default();
        while let Some(planned) = list.next_element::<Planned>()? {
            found.hash.feed(&planned).map_err(A::Error::custom)?;
            if found.kept.len() < self.keep {
                found.kept.push(planned);
            } else {
                found.more += 1;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::write_plan;
    use super::*;
    use crate::correction::{Correction, DatabaseIdentity, ExpiryChange, TagTarget};
    use crate::evaluate::{Features, TagRow, TagSubject};
    use crate::quay::{Expiry, Immutability, RepositoryId, TagId, UnixMillis};
    use crate::rules::RuleId;

    fn planned(id: i32, name: &str, end: Option<i64>) -> Planned {
        let end = end.map(UnixMillis);
        let target = TagTarget {
            subject: TagSubject {
                row: TagRow {
                    id: TagId(id),
                    repository: RepositoryId(1),
                    name: name.to_owned(),
                    manifest: None,
                    start: UnixMillis(0),
                    expiry: Expiry(end),
                    immutability: Immutability::Mutable,
                    hidden: false,
                },
                namespace: "acme".to_owned(),
                repository: "shop".to_owned(),
                account: Vec::new(),
            },
        };
        let change = end.map_or(ExpiryChange::Untouched, ExpiryChange::Cleared);
        Planned {
            rule: RuleId("unprotected-tag".to_owned()),
            correction: Correction::Protect(target, change),
        }
    }

    fn document(corrections: &[Planned]) -> String {
        let head = PlanHead {
            tool: "quay-doctor".to_owned(),
            version: "0.1.0".to_owned(),
            shape: SHAPE,
            made_at: chrono::DateTime::UNIX_EPOCH,
            actor: "test".to_owned(),
            reason: None,
            database: DatabaseIdentity {
                name: "quay".to_owned(),
                oid: 16_384,
                system_identifier: None,
                journal: None,
            },
            features: Features::default(),
            stale_after_ms: 3_600_000,
        };
        let mut out = Vec::new();
        write_plan(&mut out, &head, corrections, &PlanRest::default()).expect("written");
        String::from_utf8(out).expect("text")
    }

    fn read(text: &str) -> Result<PlanDocument, PlanFileError> {
        read_plan("plan.json", text.as_bytes(), usize::MAX)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_however_it_is_spaced(
            mut names in prop::collection::vec((".{0,12}", prop::option::of(any::<i64>())), 0..6)
        ) {
            // As a plan has its tags.
            names.sort();
            let all: Vec<Planned> = (0..)
                .zip(&names)
                .map(|(id, (name, end))| planned(id, name, *end))
                .collect();
            let text = document(&all);
            prop_assert_eq!(&read(&text).expect("a plan").plan.corrections, &all);
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let pretty = format!("{value:#}");
            prop_assert_eq!(read(&pretty).expect("a plan").plan.corrections, all);
        }

        #[test]
        fn no_byte_can_be_changed_or_left_out(at in 0..1_000_usize, byte in 32..127_u8) {
            let text = document(&[planned(1, "v1", Some(5)), planned(2, "v2", None)]);
            let mut bytes = text.clone().into_bytes();
            let at = at % bytes.len();
            let same = |bytes: &[u8]| {
                let value = |text| serde_json::from_slice::<serde_json::Value>(text).ok();
                value(bytes) == value(text.as_bytes())
            };
            bytes[at] = byte;
            // A time may be spelt with a space for its T: the same time.
            let as_before = read(&text).expect("a plan");
            let read_again = read_plan("f", &bytes[..], 9);
            prop_assert!(same(&bytes) || read_again.map_or(true, |plan| plan == as_before));
            prop_assert!(
                at >= text.trim_end().len() || read_plan("f", &text.as_bytes()[..at], 9).is_err()
            );
        }
    }

    #[test]
    fn a_correction_that_was_added_taken_out_or_given_twice_is_found() {
        let three = [
            planned(1, "v1", None),
            planned(2, "v2", None),
            planned(3, "v3", None),
        ];
        let text = document(&three);
        let lines: Vec<&str> = text.lines().collect();
        let without = text.replace(&format!("{}\n", lines[2]), "");
        let twice = text.replace(lines[2], &format!("{}\n{}", lines[2], lines[2]));
        for text in [without, twice] {
            assert!(
                matches!(read(&text), Err(PlanFileError::Tampered { .. })),
                "{text}"
            );
        }
        assert!(read(&text).is_ok());
    }

    #[test]
    fn what_is_beyond_the_limit_is_verified_and_counted() {
        let two = [planned(1, "v1", None), planned(2, "v2", None)];
        let text = document(&two);
        let read = read_plan("plan.json", text.as_bytes(), 1).expect("a plan");
        assert_eq!((read.plan.corrections.len(), read.plan.beyond), (1, 1));
        let tampered = text.replace("v2", "v3");
        assert!(read_plan("plan.json", tampered.as_bytes(), 1).is_err());
    }
}

//! The vocabulary of rule files: subjects, facts about them, evidence that excuses them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a rule is about: one row of this kind at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A row of `tag`.
    Tag,
    /// A row of one of the two policy tables.
    Policy,
    /// A row of `quay_doctor.operation` that has not ended.
    Operation,
    /// A row that a user's own query returns.
    Row,
}

/// Facts with their subject, the name that rule files use being the variant's in kebab-case.
macro_rules! facts {
    ($($kind:ident { $($(#[doc = $doc:literal])+ $name:ident,)+ })+) => {
        /// One thing that can be true of a subject. A fact may also be unknown; what follows from
        /// an unknown fact is undecided, never assumed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Fact {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        impl Fact {
            /// Every fact, by subject.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// The subject that the fact is about.
            pub fn subject(self) -> SubjectKind {
                match self {
                    $($(Self::$name => SubjectKind::$kind,)+)+
                }
            }

            /// What it means, in a sentence; docs/rule-files.md prints it.
            pub fn meaning(self) -> &'static str {
                match self {
                    $($(Self::$name => concat!($($doc),+).trim_ascii(),)+)+
                }
            }
        }
    };
}

facts! {
    Tag {
        /// Not hidden, and without an end or with one in the future.
        Live,
        /// Its end has passed.
        Dead,
        /// `immutable` is true.
        Immutable,
        /// `immutable` is false.
        Mutable,
        /// It has an end.
        Expiring,
        /// An active policy of its repository, or of the repository's namespace, makes it
        /// immutable when it is pushed.
        MatchedByActivePolicy,
        /// Every policy that makes it immutable is younger than `--grace`, so that Quay may be in
        /// the middle of its own pass. Never surely true: it makes a tag pending.
        Settling,
        /// FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE is on; unknown where it is not stated.
        ImmutableTagsCanExpire,
    }
    Policy {
        /// `active` is true, or the column does not exist.
        Active,
        /// `active` is false.
        Inactive,
        /// It governs a namespace.
        OfNamespace,
        /// It governs one repository.
        OfRepository,
        /// An operation with a live worker owns it. Never surely true: it makes a policy pending.
        OwnedByLiveOperation,
        /// `created_date` is less than `--stale-after` ago. An unknown date is old.
        Young,
        /// An operation left it inactive on purpose.
        StagedOnPurpose,
        /// Quay can read its text and compile its pattern.
        Usable,
        /// Its pattern can be decided here, or is one that Quay cannot use.
        Decidable,
        /// Quay's engine decides its pattern within a second on every tag; unknown where that
        /// cannot be judged. A pattern that Quay cannot use takes no time.
        CannotTimeOut,
        /// No other policy of its scope has the same pattern, or it is the one that would be kept:
        /// an active one before an inactive one, then the lowest id.
        FirstOfItsPattern,
        /// Its `namespace_id` is its repository's namespace.
        InItsOwnNamespace,
        /// Its organisation is neither mirrored nor a proxy cache.
        TakesPushes,
        /// Its organisation is a proxy cache, and not mirrored.
        OnProxyCache,
        /// No active policy of its repository's namespace has the same pattern and polarity.
        AddsToNamespace,
    }
    Operation {
        /// It has neither been done nor rolled back.
        Unfinished,
        /// Its worker holds the liveness lock, or its heartbeat is fresh. Never surely true: it makes an
        /// operation pending.
        LiveWorker,
    }
}

/// What can account for a subject that does not hold what must hold. Where it is found, the
/// subject is reported as explained, and counted as a violation only when that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The manifest carries the label `quay.immutable=true` (registry_oci_model.py:631-661).
    Label,
    /// The newest audit entry of the tag says that a user set its immutability.
    SetByUser,
    /// The newest audit entry of the tag says that an administrator took its immutability off.
    TakenOffByAdministrator,
    /// Somebody has declared that the tag is meant to stay immutable.
    Kept,
    /// A live operation is at work on the tag or the policy. What nothing else excuses is pending.
    LiveOperation,
    /// The operator has accepted that the policy cannot be decided (`--accept-undecided`).
    Accepted,
}

impl Evidence {
    /// Whether it can be found about such a subject.
    pub fn is_about(self, subject: SubjectKind) -> bool {
        match self {
            Self::Label | Self::SetByUser | Self::TakenOffByAdministrator | Self::Kept => {
                subject == SubjectKind::Tag
            }
            Self::LiveOperation => matches!(subject, SubjectKind::Tag | SubjectKind::Policy),
            Self::Accepted => subject == SubjectKind::Policy,
        }
    }
}

/// Names as they stand in rule files, for messages.
macro_rules! name_as_typed {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match serde_json::to_value(self) {
                    Ok(serde_json::Value::String(name)) => f.write_str(&name),
                    _ => write!(f, "{self:?}"),
                }
            }
        }
    )*};
}
name_as_typed!(SubjectKind, Fact, Evidence);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_a_sentence_of_its_own() {
        for fact in Fact::ALL {
            assert!(fact.meaning().len() > 10, "{fact}");
            assert!(!fact.meaning().contains('\n'), "{fact}");
        }
        assert_eq!(Fact::Live.to_string(), "live");
        assert_eq!(
            Fact::MatchedByActivePolicy.meaning(),
            "An active policy of its repository, or of the repository's namespace, makes it \
             immutable when it is pushed."
        );
    }
}

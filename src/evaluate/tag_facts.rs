//! Facts about a tag, decided.

use super::{Decision, Grace, Moment, PolicyBook, Registry, Stated, TagRow, Truth, Why};
use crate::quay::is_alive;
use crate::rules::Fact;

/// What a tag is judged by.
pub(super) struct TagFacts<'a> {
    pub(super) row: &'a TagRow,
    pub(super) moment: Moment,
    pub(super) grace: Grace,
    pub(super) registry: &'a Registry,
    pub(super) policies: &'a PolicyBook,
    /// The policies' decision, the only costly fact: made at most once.
    pub(super) matched: Option<Truth>,
}

impl TagFacts<'_> {
    pub(super) fn truth(&mut self, fact: Fact) -> Truth {
        let row = self.row;
        match fact {
            Fact::Live => is_alive(row.hidden, row.expiry, self.moment.millis()).into(),
            Fact::Dead => row
                .expiry
                .0
                .is_some_and(|end| end <= self.moment.millis())
                .into(),
            Fact::Immutable => row.immutability.as_column().into(),
            Fact::Mutable => (!row.immutability.as_column()).into(),
            Fact::Expiring => row.expiry.0.is_some().into(),
            Fact::MatchedByActivePolicy => match &self.matched {
                Some(truth) => truth.clone(),
                None => self.matched.insert(self.decide()).clone(),
            },
            Fact::Settling => self.settling(),
            Fact::ImmutableTagsCanExpire => can_expire(self.moment),
            // A rule file with another subject's fact is refused when it is read.
            _ => Truth::No,
        }
    }

    fn decide(&self) -> Truth {
        let namespace = self.registry.namespace_of(self.row.repository);
        let (repository, name) = (self.row.repository, &self.row.name);
        match self.policies.decide(repository, namespace, name) {
            Decision::Immutable(_) => Truth::Yes,
            Decision::Mutable => Truth::No,
            Decision::Unknown(why) => Truth::Unknown(why),
        }
    }

    /// Only a young policy can be in the middle of its pass; an older one that makes the tag
    /// immutable, too, settles it.
    fn settling(&self) -> Truth {
        let namespace = self.registry.namespace_of(self.row.repository);
        let decide = |young: bool| {
            self.policies
                .decide_by(self.row.repository, namespace, &self.row.name, |policy| {
                    self.grace.is_within(policy.created, self.moment.now) == young
                })
        };
        match (decide(false), decide(true)) {
            (Decision::Immutable(_), _) => Truth::No,
            (_, Decision::Immutable(policy)) => Truth::Unknown(Why::Settling {
                policy: policy.uuid.0.clone(),
            }),
            _ => Truth::No,
        }
    }
}

/// Whether immutable tags may expire: not a fact about a tag, and the same for all.
pub(super) fn can_expire(moment: Moment) -> Truth {
    match moment.features.can_expire {
        Stated::On => Truth::Yes,
        Stated::Off => Truth::No,
        Stated::Unknown => Truth::Unknown(Why::Flag("FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE")),
    }
}

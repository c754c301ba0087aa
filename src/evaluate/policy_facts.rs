//! Facts about a policy and about an operation, decided.

use super::{
    Activity, Grace, Moment, OperationSubject, PolicyBook, PolicyRow, PolicyStanding, Reading,
    Registry, Source, Truth, Why, WorkerLife,
};
use crate::pattern::Slowness;
use crate::quay::Scope;
use crate::rules::{Fact, Rule};

/// What a policy is judged by.
pub(super) struct PolicyFacts<'a> {
    pub(super) row: &'a PolicyRow,
    pub(super) reading: &'a Reading,
    pub(super) stands: &'a PolicyStanding,
    pub(super) moment: Moment,
    pub(super) registry: &'a Registry,
    pub(super) policies: &'a PolicyBook,
}

impl PolicyFacts<'_> {
    pub(super) fn truth(&self, fact: Fact) -> Truth {
        let row = self.row;
        match fact {
            Fact::Active => (row.activity == Activity::Active).into(),
            Fact::Inactive => (row.activity == Activity::Inactive).into(),
            Fact::OfNamespace => matches!(row.scope, Scope::Namespace(_)).into(),
            Fact::OfRepository => matches!(row.scope, Scope::Repository(_)).into(),
            Fact::OwnedByLiveOperation => match self.stands.owner {
                Some((operation, WorkerLife::Alive)) => Truth::Unknown(Why::AtWork { operation }),
                _ => Truth::No,
            },
            Fact::Young => Grace(self.moment.stale_after)
                .is_within(row.created, self.moment.now)
                .into(),
            Fact::StagedOnPurpose => self.stands.staged.into(),
            Fact::Usable => self.usable(),
            Fact::Decidable => self.reading.why_undecidable().is_none().into(),
            Fact::CannotTimeOut => match self.reading.slowness() {
                None | Some(Slowness::Fast) => Truth::Yes,
                Some(Slowness::CanBeSlow(_)) => Truth::No,
                Some(Slowness::Unknown) => {
                    self.not_told("whether it can take a second is not judged")
                }
            },
            Fact::FirstOfItsPattern => self.policies.elder_twin(row, self.reading).is_none().into(),
            Fact::InItsOwnNamespace => match row.scope {
                Scope::Namespace(_) => Truth::Yes,
                Scope::Repository(id) if !self.registry.repositories.contains_key(&id) => {
                    Truth::Unknown(Why::Repository)
                }
                Scope::Repository(id) => {
                    (self.registry.namespace_of(id) == Some(row.namespace)).into()
                }
            },
            Fact::TakesPushes => self.source().map_or_else(|why| why, |s| s.is_none().into()),
            Fact::OnProxyCache => self
                .source()
                .map_or_else(|why| why, |s| (s == Some(Source::ProxyCache)).into()),
            Fact::AddsToNamespace => self
                .policies
                .covering(row, self.reading, self.registry)
                .is_none()
                .into(),
            // A rule file with another subject's fact is refused when it is read.
            _ => Truth::No,
        }
    }

    /// Quay's own failure is sure; that it can use what cannot be decided here is not.
    fn usable(&self) -> Truth {
        if self.reading.why_unusable().is_some() {
            return Truth::No;
        }
        match self.reading.why_undecidable() {
            None => Truth::Yes,
            Some(reason) => self.not_told(&reason),
        }
    }

    /// Not known because of the pattern; the operator may have accepted that.
    fn not_told(&self, reason: &str) -> Truth {
        Truth::Unknown(Why::Pattern {
            policy: self.row.uuid.0.clone(),
            reason: reason.to_owned(),
            acceptance: self.policies.acceptance(self.row),
        })
    }

    fn source(&self) -> Result<Option<Source>, Truth> {
        let namespace = match self.row.scope {
            Scope::Namespace(id) => Some(id),
            Scope::Repository(id) => self.registry.namespace_of(id),
        };
        let found = namespace.and_then(|id| self.registry.sources.get(&id).copied());
        match (found, self.registry.sources_unreadable) {
            (None, Some(table)) => Err(Truth::Unknown(Why::Unreadable(table))),
            (found, _) => Ok(found),
        }
    }

    /// The policy that this one repeats, as the rule means it.
    pub(super) fn twin(&self, rule: &Rule) -> Option<&PolicyRow> {
        if rule.names(Fact::FirstOfItsPattern) {
            self.policies.elder_twin(self.row, self.reading)
        } else if rule.names(Fact::AddsToNamespace) {
            self.policies
                .covering(self.row, self.reading, self.registry)
        } else {
            None
        }
    }

    /// What a placeholder of a message stands for.
    pub(super) fn says(&self, placeholder: &str) -> Option<String> {
        match placeholder {
            "why" => self
                .reading
                .why_unusable()
                .or_else(|| self.reading.why_undecidable())
                .or_else(|| self.reading.why_slow()),
            "twin" => self
                .policies
                .elder_twin(self.row, self.reading)
                .or_else(|| {
                    self.policies
                        .covering(self.row, self.reading, self.registry)
                })
                .map(|twin| twin.uuid.0.clone()),
            _ => None,
        }
    }
}

/// A fact about an operation.
pub(super) fn operation_truth(operation: &OperationSubject, fact: Fact) -> Truth {
    match fact {
        // Only such are read.
        Fact::Unfinished => Truth::Yes,
        Fact::LiveWorker => match operation.life {
            WorkerLife::Alive => Truth::Unknown(Why::AtWork {
                operation: operation.id,
            }),
            WorkerLife::Gone => Truth::No,
        },
        _ => Truth::No,
    }
}

/// What a placeholder of a message about an operation stands for.
pub(super) fn operation_says(operation: &OperationSubject, placeholder: &str) -> Option<String> {
    match placeholder {
        "kind" => Some(operation.kind.to_owned()),
        "phase" => Some(operation.phase.to_owned()),
        "worker" => Some(operation.worker.clone()),
        _ => None,
    }
}

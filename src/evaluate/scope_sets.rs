//! The active policies of each scope as one set of patterns: one walk over a tag decides them all.

use std::collections::HashMap;

use super::reading::Reading;
use super::{Decision, PolicyBook, Registry};
use crate::pattern::{self, Openings, PatternSet, Scratch};
use crate::quay::{Polarity, RepositoryId, Scope};

/// What the policies decide on a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// None makes it immutable.
    No = 0,
    /// One does.
    Yes = 1,
    /// None surely does, and one may.
    Unknown = 2,
}

/// The sets of all scopes that have active policies.
pub struct ScopeSets<'a> {
    policies: &'a PolicyBook,
    registry: &'a Registry,
    sets: Vec<Set>,
    /// The sets that a push into a repository meets: its own, its namespace's.
    of: HashMap<RepositoryId, [Option<usize>; 2]>,
}

/// Policies that are decided together.
struct Set {
    patterns: PatternSet,
    polarities: Vec<Polarity>,
}

/// Room to decide in, for one reader.
pub struct Scratches {
    scratches: Vec<Option<Scratch>>,
    last: (RepositoryId, [Option<usize>; 2]),
}

impl<'a> ScopeSets<'a> {
    /// Joins the active policies of each scope. A scope with a policy that has no pattern has no
    /// set: its tags are decided policy by policy.
    pub fn new(policies: &'a PolicyBook, registry: &'a Registry) -> Self {
        let mut sets = Vec::new();
        let mut by_scope: HashMap<Scope, usize> = HashMap::new();
        for scope in policies.active_scopes() {
            by_scope.insert(scope, sets.len());
            sets.push(Set::of(policies, scope));
        }
        let mut of = HashMap::new();
        for (id, repository) in &registry.repositories {
            let own = by_scope.get(&Scope::Repository(*id)).copied();
            let namespace = repository
                .namespace
                .and_then(|id| by_scope.get(&Scope::Namespace(id)).copied());
            if own.is_some() || namespace.is_some() {
                of.insert(*id, [own, namespace]);
            }
        }
        Self {
            policies,
            registry,
            sets,
            of,
        }
    }

    /// What a tag that some policy makes immutable, or may, can begin with.
    pub(super) fn openings(&self) -> Openings {
        let of_all = self.sets.iter().map(Set::openings);
        of_all.fold(Openings::NONE, Openings::and)
    }

    /// Room to decide in.
    pub(super) fn scratches(&self) -> Scratches {
        Scratches {
            scratches: self.sets.iter().map(|_| None).collect(),
            last: (RepositoryId(-1), [None, None]),
        }
    }

    /// Decides as [`PolicyBook::decide`] does.
    pub(super) fn decide(
        &self,
        repository: RepositoryId,
        tag: &str,
        room: &mut Scratches,
    ) -> Matched {
        if room.last.0 != repository {
            room.last = (
                repository,
                self.of.get(&repository).copied().unwrap_or_default(),
            );
        }
        let mut unknown = false;
        for place in room.last.1.into_iter().flatten() {
            let set = &self.sets[place];
            if set.polarities.is_empty() {
                return self.one_by_one(repository, tag);
            }
            let scratch = room.scratches[place].get_or_insert_with(|| set.patterns.scratch());
            let decisions = set.patterns.decide(tag, scratch);
            for (decision, polarity) in decisions.iter().zip(&set.polarities) {
                match decision {
                    pattern::Decision::Match if polarity.applies(true) => return Matched::Yes,
                    pattern::Decision::NoMatch if polarity.applies(false) => return Matched::Yes,
                    pattern::Decision::Undecided(_) => unknown = true,
                    _ => {}
                }
            }
        }
        if unknown {
            Matched::Unknown
        } else {
            Matched::No
        }
    }

    fn one_by_one(&self, repository: RepositoryId, tag: &str) -> Matched {
        let namespace = self.registry.namespace_of(repository);
        match self.policies.decide(repository, namespace, tag) {
            Decision::Immutable(_) => Matched::Yes,
            Decision::Mutable => Matched::No,
            Decision::Unknown(_) => Matched::Unknown,
        }
    }
}

impl Set {
    /// A policy that inverts, and one that is decided alone, may take any tag.
    fn openings(&self) -> Openings {
        let inverts = |polarity: &Polarity| polarity.applies(false);
        if self.polarities.is_empty() || self.polarities.iter().any(inverts) {
            return Openings::ALL;
        }
        self.patterns.openings()
    }

    fn of(policies: &PolicyBook, scope: Scope) -> Self {
        let mut texts = Vec::new();
        let mut polarities = Vec::new();
        for (_, reading) in policies.active_of(scope) {
            match reading {
                Reading::Pattern(policy, _) => {
                    texts.push(policy.pattern.as_str());
                    polarities.push(policy.polarity);
                }
                Reading::Raises(_) | Reading::NotTold(_) => {
                    texts.clear();
                    polarities.clear();
                    break;
                }
            }
        }
        Self {
            patterns: PatternSet::new(&texts),
            polarities,
        }
    }
}

//! The active policies of each scope as one set of patterns: one walk over a tag decides them all.
//! Scopes whose policies read the same share a set: it is made once, and stays in the processor's cache.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
    of: HashMap<RepositoryId, Places, BuildHasherDefault<Spread>>,
}

/// Ids come from a sequence and are looked up once a tag: a product spreads them well enough.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i32(i32::from(*byte));
        }
    }

    fn write_i32(&mut self, id: i32) {
        let id = u64::from(id.cast_unsigned());
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Policies that are decided together.
struct Set {
    patterns: PatternSet,
    polarities: Vec<Polarity>,
    /// No policy inverts.
    upright: bool,
}

/// Room to decide in, for one reader.
pub struct Scratches {
    scratches: Vec<Option<Scratch>>,
    last: (RepositoryId, Places),
}

/// Two sets by their places, in half the room that two options would take: it is looked up once a tag.
#[derive(Clone, Copy)]
struct Places([u32; 2]);

impl Places {
    const NONE: Self = Self([u32::MAX; 2]);

    fn of(sets: [Option<usize>; 2]) -> Self {
        Self(sets.map(|set| {
            set.and_then(|set| u32::try_from(set).ok())
                .unwrap_or(u32::MAX)
        }))
    }
}

impl<'a> ScopeSets<'a> {
    /// Joins the active policies of each scope. A scope with a policy that has no pattern has no
    /// set: its tags are decided policy by policy.
    pub fn new(policies: &'a PolicyBook, registry: &'a Registry) -> Self {
        let mut sets = Vec::new();
        let mut by_scope: HashMap<Scope, usize> = HashMap::new();
        let mut by_texts = HashMap::new();
        for scope in policies.active_scopes() {
            let texts = texts(policies, scope);
            let place = *by_texts.entry(texts).or_insert_with_key(|texts| {
                sets.push(Set::of(texts));
                sets.len() - 1
            });
            by_scope.insert(scope, place);
        }
        let mut of = HashMap::default();
        for (id, repository) in &registry.repositories {
            let own = by_scope.get(&Scope::Repository(*id)).copied();
            let namespace = repository
                .namespace
                .and_then(|id| by_scope.get(&Scope::Namespace(id)).copied());
            if own.is_some() || namespace.is_some() {
                of.insert(*id, Places::of([own, namespace]));
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
            last: (RepositoryId(-1), Places::NONE),
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
                self.of.get(&repository).copied().unwrap_or(Places::NONE),
            );
        }
        let mut unknown = false;
        for place in room.last.1.0 {
            let place = place as usize;
            let Some(set) = self.sets.get(place) else {
                continue;
            };
            if set.polarities.is_empty() {
                return self.one_by_one(repository, tag);
            }
            let scratch = room.scratches[place].get_or_insert_with(|| set.patterns.scratch());
            if set.upright {
                match set.patterns.any(tag, scratch) {
                    pattern::Decision::Match => return Matched::Yes,
                    pattern::Decision::Undecided(_) => unknown = true,
                    pattern::Decision::NoMatch => {}
                }
                continue;
            }
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

    fn of(policies: &[(&str, Polarity)]) -> Self {
        let texts: Vec<&str> = policies.iter().map(|(text, _)| *text).collect();
        let polarities: Vec<Polarity> = policies.iter().map(|(_, polarity)| *polarity).collect();
        Self {
            patterns: PatternSet::new(&texts),
            upright: polarities.iter().all(|polarity| polarity.applies(true)),
            polarities,
        }
    }
}

/// A scope's active policies; none where one of them has no pattern.
fn texts(policies: &PolicyBook, scope: Scope) -> Vec<(&str, Polarity)> {
    let mut texts = Vec::new();
    for (_, reading) in policies.active_of(scope) {
        match reading {
            Reading::Pattern(policy, _) => texts.push((policy.pattern.as_str(), policy.polarity)),
            Reading::Raises(_) | Reading::NotTold(_) => return Vec::new(),
        }
    }
    texts
}

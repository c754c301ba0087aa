//! The orphans of a plan: what is decided about them, and which policy accounts for them.

use std::collections::{BTreeMap, HashMap};

use super::{Choices, Impact, Operation, Recreation};
use crate::evaluate::{
    Activity, Decision, PolicyBook, PolicySubject, Subject, TagSubject, Violation,
};
use crate::quay::{NamespaceId, PolicyText, RepositoryId, Scope, StoredPolicy, TagId};
use crate::rules::{Catalogue, RemedyKind, Rule};

/// What becomes of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Somebody has to decide.
    Open,
    /// It becomes mutable.
    Released,
    /// It is declared to be meant.
    Kept,
    /// A policy that is created again accounts for it.
    Recreated,
}

/// Every orphan of a check, and what becomes of it.
#[derive(Default)]
pub(super) struct Orphans {
    fates: HashMap<TagId, Fate>,
    open: Vec<TagSubject>,
    /// What is created again.
    pub(super) recreations: Vec<Operation>,
}

/// Orphans that wait for a decision, and policies that may tell something about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOrphans<'v> {
    /// The orphans.
    pub tags: Vec<&'v TagSubject>,
    /// Policies that a rule complains of: one that was left inactive may be theirs.
    known: Vec<&'v PolicySubject>,
}

impl<'v> OpenOrphans<'v> {
    /// Those among some violations.
    pub fn among(violations: &'v [Violation], catalogue: &Catalogue, choices: &Choices) -> Self {
        let mut open = Self::default();
        for violation in violations {
            let Ok(rule) = catalogue.get(&violation.rule.0) else {
                continue;
            };
            match &violation.subject {
                Subject::Tag(tag)
                    if is_about_orphans(rule)
                        && tag.interrupted().is_none()
                        && choices.remedy_on(rule, &violation.subject).is_none() =>
                {
                    open.tags.push(tag);
                }
                Subject::Policy(policy) if policy.activity == Activity::Inactive => {
                    open.known.push(policy);
                }
                _ => {}
            }
        }
        open
    }

    /// The policies of a scope that may be theirs.
    pub fn known_in(&self, namespace: &str, repository: Option<&str>) -> Vec<StoredPolicy> {
        let known = self.known.iter().filter(|policy| {
            policy.namespace == namespace
                && (policy.repository.is_none() || policy.repository.as_deref() == repository)
        });
        known
            .filter_map(|policy| policy.text.parse().ok())
            .collect()
    }
}

/// Whether a rule is about orphans: what can be done is to create their policy again.
pub(super) fn is_about_orphans(rule: &Rule) -> bool {
    rule.remedies
        .iter()
        .any(|remedy| remedy.name == RemedyKind::Recreate)
}

impl Orphans {
    pub(super) fn of(violations: &[Violation], catalogue: &Catalogue, choices: &Choices) -> Self {
        let mut orphans = Self::default();
        // By the decision that asks for it: what is said about one scope makes a policy of that scope.
        let mut lost: BTreeMap<Option<usize>, Vec<&TagSubject>> = BTreeMap::new();
        for violation in violations {
            let Ok(rule) = catalogue.get(&violation.rule.0) else {
                continue;
            };
            let (Subject::Tag(tag), true) = (&violation.subject, is_about_orphans(rule)) else {
                continue;
            };
            if tag.interrupted().is_some() {
                orphans.fates.insert(tag.row.id, Fate::Open);
                continue;
            }
            let chosen = choices.remedy_on(rule, &violation.subject);
            let fate = match chosen.map(|(remedy, _, by)| (remedy, by)) {
                Some((RemedyKind::Release, _)) => Fate::Released,
                Some((RemedyKind::Keep, _)) => Fate::Kept,
                Some((RemedyKind::Recreate, by)) => {
                    lost.entry(by).or_default().push(tag);
                    continue;
                }
                _ => Fate::Open,
            };
            orphans.fates.insert(tag.row.id, fate);
            if fate == Fate::Open {
                orphans.open.push(tag.clone());
            }
        }
        for (by, lost) in lost {
            if let Some(policy) = choices.recreate(by) {
                orphans.recreate(&lost, policy);
            }
        }
        orphans
    }

    /// What becomes of a tag, where it is an orphan.
    pub(super) fn fate(&self, tag: TagId) -> Option<Fate> {
        self.fates.get(&tag).copied()
    }

    /// Creates a policy again wherever it explains an orphan: in the repository where it explains
    /// some of one, in the namespace where it explains some of several. What it does not explain
    /// stays open.
    fn recreate(&mut self, lost: &[&TagSubject], policy: &StoredPolicy) {
        let book = book(&policy.to_text());
        let mut explained: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for tag in lost {
            let fate = if is_made(&book, &tag.row.name) {
                *explained
                    .entry(&tag.namespace)
                    .or_default()
                    .entry(&tag.repository)
                    .or_default() += 1;
                Fate::Recreated
            } else {
                self.open.push((*tag).clone());
                Fate::Open
            };
            self.fates.insert(tag.row.id, fate);
        }
        for (namespace, repositories) in explained {
            let repository = match repositories.keys().next() {
                Some(only) if repositories.len() == 1 => Some((*only).to_owned()),
                _ => None,
            };
            self.recreations.push(Operation::Recreate(Recreation {
                namespace: namespace.to_owned(),
                repository,
                policy: policy.clone(),
                explains: repositories.values().sum(),
                impact: Impact::default(),
            }));
        }
    }

    /// Whether a policy may account for an orphan of its scope that waits for a decision.
    pub(super) fn are_left_by(&self, policy: &PolicySubject) -> bool {
        let book = book(&policy.text);
        let of_scope = |tag: &&TagSubject| {
            tag.namespace == policy.namespace
                && policy
                    .repository
                    .as_ref()
                    .is_none_or(|repository| *repository == tag.repository)
        };
        self.open
            .iter()
            .filter(of_scope)
            .any(|tag| is_made(&book, &tag.row.name))
    }
}

/// A text asked on its own: scopes are compared by the caller.
const ANYWHERE: NamespaceId = NamespaceId(0);

fn book(text: &PolicyText) -> PolicyBook {
    PolicyBook::of_one(Scope::Namespace(ANYWHERE), text.clone())
}

/// Whether the text makes a tag immutable, or may.
fn is_made(book: &PolicyBook, name: &str) -> bool {
    book.decide(RepositoryId(0), Some(ANYWHERE), name) != Decision::Mutable
}

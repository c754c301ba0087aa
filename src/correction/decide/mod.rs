//! Decisions by scope, from a file: raw as typed, then valid as meant, then held against the
//! registry's names.

mod read;

use std::collections::{BTreeSet, HashSet};

use super::PlanError;
use crate::config::nearest;
use crate::evaluate::{Registry, Subject};
use crate::quay::{PolicyUuid, StoredPolicy};
use crate::rules::{RemedyKind, RuleId};

/// What a decision is about. A smaller place outweighs a larger one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Namespace(String),
    Repository(String, String),
    Policy(PolicyUuid),
}

impl Place {
    fn weight(&self) -> u8 {
        match self {
            Self::Namespace(_) => 0,
            Self::Repository(..) => 1,
            Self::Policy(_) => 2,
        }
    }

    fn holds(&self, subject: &Subject) -> bool {
        let (namespace, repository) = subject.place();
        match (self, subject) {
            (Self::Namespace(name), _) => name == namespace,
            (Self::Repository(of, name), _) => of == namespace && name == repository,
            (Self::Policy(uuid), Subject::Policy(policy)) => policy.uuid == *uuid,
            (Self::Policy(_), _) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Decision {
    rule: RuleId,
    remedy: RemedyKind,
    place: Place,
    /// What `recreate` creates here.
    recreate: Option<StoredPolicy>,
    line: usize,
    /// The line that names what is inside the namespace.
    inner_line: usize,
}

/// The decisions of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    file: String,
    all: Vec<Decision>,
}

impl Decisions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them creates a policy again and does not say which.
    pub(super) fn want_a_pattern(&self) -> bool {
        let mut recreations = self
            .all
            .iter()
            .filter(|decision| decision.remedy == RemedyKind::Recreate);
        recreations.any(|decision| decision.recreate.is_none())
    }

    /// What a decision, by its place in the file, creates again.
    pub(super) fn recreate(&self, index: usize) -> Option<&StoredPolicy> {
        self.all.get(index)?.recreate.as_ref()
    }

    /// Asks about each policy that is to be created; a complaint, its sentence and its help, is told
    /// with its line.
    ///
    /// # Errors
    /// [`PlanError::Decision`] for the first one.
    pub fn only_usable(
        &self,
        complaint: impl Fn(&StoredPolicy) -> Option<(String, String)>,
    ) -> Result<(), PlanError> {
        for decision in &self.all {
            if let Some((reason, help)) = decision.recreate.as_ref().and_then(&complaint) {
                return Err(PlanError::Decision {
                    file: self.file.clone(),
                    line: decision.line,
                    reason,
                    help,
                });
            }
        }
        Ok(())
    }

    /// Holds the decisions' scopes against what is there: a name that nothing has is a mistake.
    ///
    /// # Errors
    /// [`PlanError::Decision`] with the line and the nearest name.
    pub fn only_about(
        &self,
        registry: &Registry,
        policies: &HashSet<PolicyUuid>,
    ) -> Result<(), PlanError> {
        let namespaces: BTreeSet<&str> = registry
            .namespaces
            .values()
            .map(|namespace| namespace.name.as_str())
            .collect();
        let repositories: BTreeSet<(&str, &str)> = registry
            .repositories
            .keys()
            .map(|id| registry.repository_names(*id))
            .collect();
        for decision in &self.all {
            let unknown = |line, what: &str, name: &str, near: Option<&str>| PlanError::Decision {
                file: self.file.clone(),
                line,
                reason: format!("there is no {what} `{}`", name.escape_debug()),
                help: near.map_or_else(
                    || format!("no {what} has a name like it"),
                    |near| format!("did you mean `{}`?", near.escape_debug()),
                ),
            };
            match &decision.place {
                Place::Namespace(name) | Place::Repository(name, _)
                    if !namespaces.contains(name.as_str()) =>
                {
                    let near = nearest(name, namespaces.iter().copied());
                    return Err(unknown(decision.line, "namespace", name, near));
                }
                Place::Repository(namespace, name)
                    if !repositories.contains(&(namespace.as_str(), name.as_str())) =>
                {
                    let inside = repositories.iter().filter(|(of, _)| of == namespace);
                    let near = nearest(name, inside.map(|(_, name)| *name));
                    return Err(unknown(decision.inner_line, "repository", name, near));
                }
                Place::Policy(uuid) if !policies.contains(uuid) => {
                    let near = nearest(&uuid.0, policies.iter().map(|uuid| uuid.0.as_str()));
                    return Err(unknown(decision.line, "policy", &uuid.0, near));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The decision on a subject, by its place in the file, where there is one: of several the one
    /// about the smallest scope.
    pub(super) fn on(&self, rule: &RuleId, subject: &Subject) -> Option<(usize, RemedyKind)> {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, decision)| decision.rule == *rule && decision.place.holds(subject))
            .max_by_key(|(_, decision)| decision.place.weight())
            .map(|(index, decision)| (index, decision.remedy))
    }

    /// Those that decided nothing, a sentence each.
    pub(super) fn idle(&self, used: &BTreeSet<usize>) -> Vec<String> {
        let idle = self.all.iter().enumerate();
        idle.filter(|(index, _)| !used.contains(index))
            .map(|(_, decision)| {
                format!(
                    "{}:{}: nothing here violates `{}`",
                    self.file, decision.line, decision.rule
                )
            })
            .collect()
    }
}

//! The scope or the policy that an operation is about, found by name.

use super::{Pick, PolicyError};
use crate::evaluate::PolicyRow;
use crate::journal::{ActiveColumn, SchemaState};
use crate::pg::Statements;
use crate::quay::{NamespaceId, PolicyTable, PolicyUuid, RepositoryId, Scope};
use crate::relations::{
    PoliciesOf, PolicySchema, namespace_by_name, namespace_name, policies, registry_of,
    repository_by_name,
};

/// A scope with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scope: Scope,
    /// The namespace that it belongs to.
    pub(super) namespace: NamespaceId,
    pub(super) namespace_name: String,
    pub(super) repository: Option<(RepositoryId, String)>,
}

impl Target {
    /// The repository's id and name.
    pub(super) fn repository(&self) -> Option<(RepositoryId, &str)> {
        self.repository
            .as_ref()
            .map(|(id, name)| (*id, name.as_str()))
    }

    /// The names, for the journal.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        (
            &self.namespace_name,
            self.repository.as_ref().map(|(_, name)| name.as_str()),
        )
    }
}

/// Refuses a database that lacks the journal or the column.
pub(super) fn ready(schema: &SchemaState) -> Result<(), PolicyError> {
    schema.needs_journal()?;
    for table in PolicyTable::IN_LOCK_ORDER {
        match schema.policies(table).active() {
            ActiveColumn::Usable => {}
            ActiveColumn::Absent => {
                return Err(PolicyError::refused(
                    format!("{} has no column `active`", table.name()),
                    "run `quay-doctor migrate up`: without it no policy can be staged",
                ));
            }
            ActiveColumn::Unusable(why) => {
                return Err(PolicyError::refused(
                    format!("the column {}.active cannot be used: {why}", table.name()),
                    "it must be boolean NOT NULL; see `quay-doctor migrate status`",
                ));
            }
        }
    }
    Ok(())
}

/// Finds the scope of a new policy: an enabled namespace that is no robot and no mirror
/// (immutability.py:115-120), and a repository of it.
pub(super) fn find(pg: &mut impl Statements, pick: &Pick) -> Result<Target, PolicyError> {
    let name = &pick.namespace;
    let Some(namespace) = namespace_by_name(pg, name)? else {
        return Err(PolicyError::refused(
            format!("there is no namespace `{name}`"),
            "names are compared exactly, capitals included",
        ));
    };
    if namespace.robot {
        return Err(PolicyError::refused(
            format!("`{name}` is a robot, and a robot has no policies"),
            "name the namespace that the robot works for",
        ));
    }
    if !namespace.enabled {
        return Err(PolicyError::refused(
            format!("the namespace `{name}` is disabled"),
            "Quay refuses it, too; enable it first",
        ));
    }
    if namespace.mirrored && pick.repository.is_none() {
        return Err(PolicyError::refused(
            format!("`{name}` is a mirrored organisation"),
            "its tags come and go with their origin, and Quay refuses a policy there",
        ));
    }
    let repository = match &pick.repository {
        None => None,
        Some(repository) => match repository_by_name(pg, namespace.id, repository)? {
            Some(id) => Some((id, repository.clone())),
            None => {
                return Err(PolicyError::refused(
                    format!("there is no repository `{repository}` in `{name}`"),
                    "names are compared exactly, capitals included",
                ));
            }
        },
    };
    Ok(Target {
        scope: repository
            .as_ref()
            .map_or(Scope::Namespace(namespace.id), |(id, _)| {
                Scope::Repository(*id)
            }),
        namespace: namespace.id,
        namespace_name: name.clone(),
        repository,
    })
}

/// Finds a policy by its uuid, and what it governs.
pub(super) fn find_policy(
    pg: &mut impl Statements,
    schema: PolicySchema,
    uuid: &PolicyUuid,
) -> Result<(PolicyRow, Target), PolicyError> {
    let row = policies(pg, schema, &PoliciesOf::All)?
        .into_iter()
        .find(|row| row.uuid == *uuid)
        .ok_or_else(|| {
            PolicyError::refused(
                format!("there is no policy {uuid}"),
                "`quay-doctor policy list` shows them all",
            )
        })?;
    let target = target_of_scope(pg, row.scope)?;
    Ok((row, target))
}

/// The target of an operation whose policy row may be gone.
pub(super) fn target_of_scope(
    pg: &mut impl Statements,
    scope: Scope,
) -> Result<Target, PolicyError> {
    match scope {
        Scope::Namespace(id) => Ok(Target {
            scope,
            namespace: id,
            namespace_name: namespace_name(pg, id)?,
            repository: None,
        }),
        Scope::Repository(id) => {
            let registry = registry_of(pg, &[id])?;
            let (namespace_name, name) = registry.repository_names(id);
            Ok(Target {
                scope,
                namespace: registry.namespace_of(id).unwrap_or(NamespaceId(0)),
                namespace_name: namespace_name.to_owned(),
                repository: Some((id, name.to_owned())),
            })
        }
    }
}

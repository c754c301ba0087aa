//! Namespaces and repositories by id: names for people, and who governs what.

use std::collections::HashMap;

use crate::quay::{NamespaceId, RepositoryId, RepositoryState, Scope};

/// A repository, as far as rules and reports need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `namespace_user_id`; may be NULL.
    pub namespace: Option<NamespaceId>,
    /// `name`.
    pub name: String,
    /// `state`.
    pub state: RepositoryState,
}

/// A row of `"user"` that is a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `username`.
    pub name: String,
}

/// Where an organisation's images come from, other than from pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Another registry, on a schedule (`orgmirrorconfig`).
    Mirror,
    /// Another registry, when somebody asks (`proxycacheconfig`).
    ProxyCache,
}

/// All namespaces and repositories of a snapshot. Some hundred bytes each; their number does not
/// grow with the number of tags.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// By `repository.id`.
    pub repositories: HashMap<RepositoryId, Repository>,
    /// By `"user".id`.
    pub namespaces: HashMap<NamespaceId, Namespace>,
    /// Organisations that do not live from pushes.
    pub sources: HashMap<NamespaceId, Source>,
    /// The table that would have said more about sources, and could not be read.
    pub sources_unreadable: Option<&'static str>,
}

impl Registry {
    /// The namespace that governs a repository: `repository.namespace_user_id`
    /// (immutability.py:641-672).
    pub fn namespace_of(&self, repository: RepositoryId) -> Option<NamespaceId> {
        self.repositories.get(&repository)?.namespace
    }

    /// The name of a namespace; empty where the row is not there.
    pub fn namespace_name(&self, id: NamespaceId) -> &str {
        self.namespaces
            .get(&id)
            .map_or("", |namespace| &namespace.name)
    }

    /// The names of a repository: its namespace's and its own.
    pub fn repository_names(&self, id: RepositoryId) -> (&str, &str) {
        self.repositories.get(&id).map_or(("", ""), |repository| {
            let namespace = repository
                .namespace
                .map_or("", |id| self.namespace_name(id));
            (namespace, &repository.name)
        })
    }

    /// The namespace and, for a repository's scope, the repository.
    pub fn scope_names(&self, scope: Scope) -> (&str, Option<&str>) {
        match scope {
            Scope::Namespace(id) => (self.namespace_name(id), None),
            Scope::Repository(id) => {
                let (namespace, repository) = self.repository_names(id);
                (namespace, Some(repository))
            }
        }
    }
}

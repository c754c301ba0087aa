//! The scope of a policy: one namespace or one repository, each with a table of its own.

use serde::{Deserialize, Serialize};

use super::{NamespaceId, RepositoryId};

/// What a policy governs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "id")]
pub enum Scope {
    /// Every repository of a namespace.
    Namespace(NamespaceId),
    /// One repository.
    Repository(RepositoryId),
}

impl Scope {
    /// The table that holds the policies of such a scope.
    pub fn table(self) -> PolicyTable {
        match self {
            Self::Namespace(_) => PolicyTable::Namespace,
            Self::Repository(_) => PolicyTable::Repository,
        }
    }
}

/// Quay's two policy tables. A push evaluates the repository's policies first
/// (immutability.py:641-672), and whoever locks both takes them in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyTable {
    /// `repositoryimmutabilitypolicy`.
    Repository,
    /// `namespaceimmutabilitypolicy`.
    Namespace,
}

impl PolicyTable {
    /// Both tables, in the order in which they are locked.
    pub const IN_LOCK_ORDER: [Self; 2] = [Self::Repository, Self::Namespace];

    /// The table's name, unquoted; it needs no quoting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Repository => "repositoryimmutabilitypolicy",
            Self::Namespace => "namespaceimmutabilitypolicy",
        }
    }

    /// The column that holds the scope's id.
    pub fn scope_column(self) -> &'static str {
        match self {
            Self::Repository => "repository_id",
            Self::Namespace => "namespace_id",
        }
    }
}

/// `repository.state`, an integer enumeration without a table (database.py, RepositoryState).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryState {
    /// 0.
    Normal,
    /// 1.
    ReadOnly,
    /// 2.
    Mirror,
    /// 3.
    MarkedForDeletion,
    /// 4.
    OrganizationMirror,
    /// A number this version does not know.
    Unknown(i32),
}

impl From<i32> for RepositoryState {
    fn from(value: i32) -> Self {
        match value {
            0 => Self::Normal,
            1 => Self::ReadOnly,
            2 => Self::Mirror,
            3 => Self::MarkedForDeletion,
            4 => Self::OrganizationMirror,
            other => Self::Unknown(other),
        }
    }
}

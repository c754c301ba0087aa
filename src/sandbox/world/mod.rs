//! Worlds: a few lines of TOML that stand for a registry's rows, from ten tags to ten million.
//!
//! A description is read in two steps, raw as typed and then valid as meant; seeding walks it once
//! a table and streams the rows by COPY, so that our memory depends on the number of repositories
//! and not of tags. The same seed and the same moment give the same rows, ids included.

mod audit;
mod block;
mod index;
mod line;
mod name;
mod random;
mod raw;
mod rows;
mod seed;
mod valid;

use std::time::Duration;

use super::SandboxError;
use name::Template;

pub use seed::Seeded;

/// A registry described: who, which repositories, which tags, which policies.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) seed: u64,
    namespaces: Vec<Namespace>,
}

impl World {
    /// Reads a description; `fixtures/worlds/acme.toml` shows every key.
    ///
    /// ```
    /// use quay_doctor::sandbox::world::World;
    ///
    /// let text = r#"
    ///     seed = 1
    ///     [[namespace]]
    ///     name = "team"
    ///     [[namespace.policy]]
    ///     pattern = "v.*"
    ///     [[namespace.repository]]
    ///     name = "app"
    ///     [[namespace.repository.tags]]
    ///     name = "v1.{minor}"
    ///     count = 1_000
    ///     immutable = true
    /// "#;
    /// assert!(World::parse(text).is_ok());
    /// let error = World::parse(&text.replace("immutable", "imutable")).unwrap_err();
    /// assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "did you mean `immutable`?");
    /// ```
    ///
    /// # Errors
    /// [`SandboxError::World`], with the place and, for a wrong key, a suggestion.
    pub fn parse(text: &str) -> Result<Self, SandboxError> {
        valid::world(raw::parse(text)?)
    }

    /// A handful of tags of every kind.
    ///
    /// # Errors
    /// [`SandboxError::World`] where the description that is built in were wrong.
    pub fn tiny() -> Result<Self, SandboxError> {
        Self::parse(include_str!("../../../fixtures/worlds/tiny.toml"))
    }

    /// A small company's registry, with a case of everything that a rule looks at.
    ///
    /// # Errors
    /// [`SandboxError::World`] where the description that is built in were wrong.
    pub fn acme() -> Result<Self, SandboxError> {
        Self::parse(include_str!("../../../fixtures/worlds/acme.toml"))
    }

    /// A million tags.
    ///
    /// # Errors
    /// [`SandboxError::World`] where the description that is built in were wrong.
    pub fn scale() -> Result<Self, SandboxError> {
        Self::parse(include_str!("../../../fixtures/worlds/scale.toml"))
    }
}

/// A row of `"user"` and what belongs to it.
#[derive(Clone, Debug)]
struct Namespace {
    name: String,
    kind: NamespaceKind,
    enabled: bool,
    source: Source,
    policies: Vec<Policy>,
    repositories: Vec<Repositories>,
    audit: Vec<Audit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamespaceKind {
    User,
    Organization,
    Robot,
}

/// Where an organisation's images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// From pushes.
    Pushes,
    /// From another registry, on a schedule (`orgmirrorconfig`).
    Mirror,
    /// From another registry, when somebody asks (`proxycacheconfig`).
    ProxyCache,
}

/// A policy's row.
#[derive(Clone, Debug)]
struct Policy {
    /// As stored.
    text: String,
    uuid: Option<String>,
    /// A repository policy's own `namespace_id`, where it is not its repository's.
    namespace: Option<String>,
}

/// One or more repositories that differ in their names only.
#[derive(Clone, Debug)]
struct Repositories {
    name: Template,
    count: u32,
    state: i32,
    policies: Vec<Policy>,
    tags: Vec<Tags>,
}

/// Tags of one repository that differ in their names only.
#[derive(Clone, Debug)]
struct Tags {
    name: Template,
    count: u32,
    life: Life,
    immutable: bool,
    /// The oldest of them was pushed this long ago, the youngest half as long.
    age: Duration,
    tags_per_manifest: u32,
    evidence: Evidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Without an end.
    Live,
    /// Ends so long from now.
    Expiring(Duration),
    /// Ended so long ago.
    Dead(Duration),
    /// A temporary tag, ends so long from now.
    Hidden(Duration),
}

/// What accounts for a tag's immutability, or for the lack of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    None,
    /// An audit entry: a user set it.
    SetByUser,
    /// An audit entry: an administrator took it off.
    TakenOff,
    /// An audit entry: a policy made it immutable at the push.
    MadeByPolicy,
    /// The label `quay.immutable=true` on its manifest.
    Label,
}

impl Evidence {
    /// Whether each tag has an audit entry.
    fn is_audited(self) -> bool {
        matches!(self, Self::SetByUser | Self::TakenOff | Self::MadeByPolicy)
    }
}

/// Audit entries that are written down one by one.
#[derive(Clone, Debug)]
struct Audit {
    kind: String,
    repository: Option<String>,
    ago: Duration,
    count: u32,
    metadata: String,
}

//! Rows as they come from a scan, and the sink that takes them.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::quay::{
    Expiry, Immutability, ManifestId, NamespaceId, OperationId, PolicyRowId, PolicyText,
    PolicyUuid, RepositoryId, Scope, TagId, UnixMillis,
};

/// What the rules need of a row of `tag`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagRow {
    /// `id`.
    pub id: TagId,
    /// `repository_id`.
    #[serde(rename = "repository_id")]
    pub repository: RepositoryId,
    /// `name`.
    pub name: String,
    /// `manifest_id`.
    #[serde(rename = "manifest_id")]
    pub manifest: Option<ManifestId>,
    /// `lifetime_start_ms`.
    #[serde(rename = "lifetime_start_ms")]
    pub start: UnixMillis,
    /// `lifetime_end_ms`.
    #[serde(rename = "lifetime_end_ms")]
    pub expiry: Expiry,
    /// `immutable`.
    pub immutability: Immutability,
    /// `hidden`.
    pub hidden: bool,
}

/// Whether Quay is to enforce a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// `active` is true, or the column does not exist: every policy counts.
    Active,
    /// `active` is false.
    Inactive,
}

/// A row of one of the two policy tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    /// `id`.
    pub id: PolicyRowId,
    /// `uuid`.
    pub uuid: PolicyUuid,
    /// What it governs; the scope's kind names the table.
    pub scope: Scope,
    /// `namespace_id`; on repository policies Quay does not look at it.
    pub namespace: NamespaceId,
    /// `policy`, as stored.
    pub text: PolicyText,
    /// `active`.
    pub activity: Activity,
    /// `created_date`; unknown on rows older than the column.
    pub created: Option<DateTime<Utc>>,
}

/// What the journal knows about a policy row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyStanding {
    /// The unfinished operation that owns it, and whether its worker lives.
    pub owner: Option<(OperationId, WorkerLife)>,
    /// Whether an operation left it inactive on purpose.
    pub staged: bool,
}

/// Whether the worker of an unfinished operation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerLife {
    /// It holds its liveness lock, or its heartbeat is fresh.
    Alive,
    /// Neither.
    Gone,
}

/// Takes tag rows, a batch at a time; says when it has seen enough.
pub trait TagSink {
    /// What can go wrong while a batch is taken.
    type Error;

    /// Takes a batch.
    ///
    /// # Errors
    /// The sink's own; the scan then ends with it.
    fn take(&mut self, batch: Vec<TagRow>) -> Result<ControlFlow<()>, Self::Error>;
}

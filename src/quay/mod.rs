//! Quay's own nouns: ids, scopes, tags, policies as stored, audit entries, lock keys.
//!
//! Pure data and pure functions; nothing here connects, reads a file or knows the time. Every
//! statement about Quay carries its source: Quay's code at commit ffba0c70e2d8 (August 2026),
//! as `file:lines`.

mod audit;
mod ids;
mod lock;
mod policy;
mod python_json;
mod scope;
mod tag;

pub use audit::{AuditKind, AuditedChange, ImmutabilityChange, MARK_KEY};
pub use ids::{
    AuditEntryId, ManifestId, NamespaceId, OperationId, PolicyRowId, PolicyUuid, RepositoryId,
    RunId, TagId,
};
pub use lock::retarget_lock_key;
pub use policy::{Polarity, PolicyText, StoredPolicy, Unusable};
pub use python_json::dumps;
pub use scope::{PolicyTable, RepositoryState, Scope};
pub use tag::{Expiry, Immutability, UnixMillis, is_alive};

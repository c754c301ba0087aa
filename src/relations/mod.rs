//! Quay's relations as SQL: one file a relation, each statement beside the rows it reads or writes.
//!
//! Generic over [`crate::pg::Statements`], so that a scan, a second look and a write transaction
//! read by the same text. Nothing here decides: rows go to `evaluate` as they are.

mod audit;
mod census;
mod clock;
mod evidence;
mod labels;
mod policies;
mod tags;

pub use audit::{AuditLog, AuditTrail, MarkedChange, audit_log, write_marked_changes};
pub use census::{Selection, add_sources, census, registry_of};
pub use clock::server_clock;
pub use evidence::accounts;
pub use policies::{
    PoliciesOf, PolicySchema, delete_inactive_policy, lock_policy_tables, policies, restore_policy,
};
pub use tags::{
    RowLock, TAG_COLUMNS, lock_repository, names_alive_twice, tag_row, tags_by_id, write_tags,
};

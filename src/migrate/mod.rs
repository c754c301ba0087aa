//! The schema's versions: what is there, what is due, up, down, and whether it is as promised.
//!
//! Collects three migrations: V1 our own schema, V2 two columns on Quay's policy tables, V3 an
//! index on each. refinery runs them and keeps the history; which steps of a script there are to run
//! is decided here. Never waits for a lock on a table of Quay's, never holds one for longer than a
//! few statements, never drops what Quay brought, and never goes down over an inactive policy or an
//! unfinished operation.

mod backoff;
mod catalogue;
mod concurrent;
mod decide;
mod down;
mod error;
mod export;
mod history;
mod holders;
mod lock;
mod notice;
mod plan;
mod refusal;
mod rights;
mod scene;
mod script;
mod session;
mod status;
mod store;
mod transactional;
mod up;
mod verify;

pub use catalogue::{Embedded, MIGRATIONS};
pub use down::{DownReport, Journal, down, hand_over};
pub use error::{Blame, MigrateError};
pub use export::{Exported, default_path as default_export_path};
pub use holders::{Holder, Holders};
pub use notice::{Notice, Sink};
pub use plan::{Plan, Planned, plan};
pub use refusal::{
    Listed, ListedOperation, ListedOperations, ListedPolicies, ListedPolicy, Undoable,
};
pub use session::Patience;
pub use status::{JournalSize, MigrationStatus, ServerRole, Status, TableSize, status};
pub use up::{AppliedMigration, UpReport, up};
pub use verify::{Difference, Verification, own_objects, verify};

/// How a command that changes the schema ended: what it did, and what stopped it, if anything.
/// What succeeded before a fault is never lost on the way.
#[derive(Debug)]
pub struct Ended<R> {
    /// What was done.
    pub report: R,
    /// What stopped it.
    pub fault: Option<MigrateError>,
}

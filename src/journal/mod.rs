//! The journal: operations, before-images, evidence, and what the schema carries of ours.
//!
//! Its tables are those of migration V1. Everything that changes a row of Quay's writes its
//! before-image through here, in the transaction of the change. Nothing here decides whether a
//! change is right, and nothing here touches a table of Quay's.

mod advance;
mod database;
mod error;
mod fix_run;
mod history;
mod kept;
mod linked;
mod liveness;
mod operation;
mod policy_change;
mod policy_operation;
mod scan;
mod scanner;
mod schema;
mod tag_change;
mod told;
mod under_way;

pub use advance::{Step, add_to, advance, heartbeat, last_transaction, take_over};
pub use database::database_identity;
pub use error::JournalError;
pub use fix_run::{FixRun, FixTotals, RunRow, begin_fix, fix_run, run_state};
pub use history::{
    Counted, HistoryChange, HistoryOf, HistoryRow, TagPath, changes, history, how_many,
};
pub use kept::{Kept, KeptWhat, kept, kept_since, record_kept, record_kept_policy, withdraw_kept};
pub use linked::{Linked, close_as_taken_back, link, linked_to, open_again, was_activated};
pub use liveness::{
    BackendPid, HAND_CLASS, LINGERING, LIVENESS_CLASS, Part, backend, become_hand, end_hands,
    hold_liveness, hold_liveness_within, holder_of, liveness_held, liveness_key,
};
pub use operation::{
    Identity, Kind, LifeSign, OperationRow, Phase, policy_standings, unfinished_operations,
};
pub use policy_change::{PolicyChange, changed_policies, mark_policy_undone, record_policy_change};
pub use policy_operation::{
    Cursor, NewOperation, OperationOptions, PolicyOperation, Sums, TagsChoice, begin_operation,
    being_undone, changed_since, operation, operation_by_fence, owner_of,
};
pub use scan::{RecordedScan, latest_scan, record_scan, recorded_scans};
pub use scanner::{scanner_held, scanner_holder, take_scanner};
pub use schema::{
    ActiveColumn, AlembicRevisions, IndexValidity, JournalState, LiveColumn, LiveIndex, MARK,
    Nullness, Origin, PolicyTableState, QuaySchema, SCHEMA, SchemaState, TABLES, TESTED_REVISIONS,
    active_index_definition, active_index_name,
};
pub use tag_change::{
    PartOf, TagChange, TagImage, carry_images, changed_tags, is_worth_parting, mark_undone,
    newest_changes, record_tag_changes,
};
pub use told::{ToldChange, told_changes};
pub use under_way::{UnderWay, under_way};

//! Outcomes, rendered: for people, and as JSON.
//!
//! Pure. Names of tags, repositories and namespaces are data: whatever they contain is made
//! harmless before it reaches a terminal.

mod check;
mod fix;
mod harmless;
mod human;
mod json;

pub use check::{CheckReport, DatabaseFacts, Standing};
pub use fix::{ApplyReport, PlanReport, UndoReport};
pub use harmless::harmless;
pub use human::{apply_for_people, check_for_people, plan_for_people, undo_for_people};
pub use json::{apply_json, check_json, plan_json, undo_json};

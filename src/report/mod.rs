//! Outcomes, rendered: for people, and as JSON.
//!
//! Pure. Names of tags, repositories and namespaces are data: whatever they contain is made
//! harmless before it reaches a terminal.

mod check;
mod fix;
mod harmless;
mod human_check;
mod human_fix;
mod json;
mod rule_page;
mod words;

pub use check::{CheckReport, DatabaseFacts, Settling, Standing};
pub use fix::{ApplyReport, PlanReport, UndoReport};
pub use harmless::harmless;
pub use human_check::check_for_people;
pub use human_fix::{apply_for_people, plan_for_people, undo_for_people};
pub use json::{apply_json, check_json, plan_json, undo_json};
pub use rule_page::{examples_for_people, rule_index, rule_list, rule_page};

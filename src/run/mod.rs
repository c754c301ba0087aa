//! The conductor: check, plan, apply and undo, put together from the engines below.
//!
//! No SQL and no rule logic; what is read, judged, written and rendered is done by the rooms that
//! know how.

mod check;
mod conduct;
mod error;
mod explain;
mod fix;
mod history;
mod history_of_scans;
mod kept;
mod notes;
mod overview;
mod plan_file;
mod progress;
mod propose;
mod prune;
mod queries;
mod recover;
mod request;
mod rounds;
mod second_look;

pub use check::{Event, Told, check, check_telling};
pub use error::RunError;
pub use explain::{ExplainRequest, explain_tag};
pub use fix::{FixRequest, apply_fix, plan_fix, print_fix, undo_fix};
pub use history::{History, read_history};
pub use history_of_scans::{ScanHistory, recent_scans};
pub use overview::{OperationView, operations_under_way};
pub use plan_file::{read_decisions_file, read_plan_file, write_plan_file};
pub use progress::{NoProgress, Progress};
pub use prune::{prune, prune_preview};
pub use recover::{RecoverRequest, Recovered, recover, unfinished};
pub use request::CheckRequest;
pub use rounds::apply_fix_to_its_end;

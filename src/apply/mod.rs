//! Corrections carried out, and taken back: batches in write transactions, journaled.
//!
//! Every batch looks again under lock before it writes, writes its before-images in the same
//! transaction, and judges the rows it touched once more before it commits. What no longer holds
//! is skipped and counted, never forced.

mod atomic;
mod batch;
mod carry;
mod error;
mod guard;
mod options;
mod policies;
mod prune;
mod record;
mod restore;
mod run;
mod script;
mod taking_back;
mod undo;

pub use error::ApplyError;
pub use options::{ApplyOptions, AuditDetail, FixStrategy, PastExpiry, PlanOrigin};
pub use prune::{Pruned, prune, prune_preview};
pub use record::record;
pub use run::{Applied, Conduct, apply};
pub use script::{Printed, print_sql};
pub use undo::{LeftAsIs, Refusal, TakenBack, Undone, leave_as_is, undo};

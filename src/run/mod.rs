//! The conductor: check, plan, apply and undo, put together from the engines below.
//!
//! No SQL and no rule logic; what is read, judged, written and rendered is done by the rooms that
//! know how.

mod check;
mod error;
mod fix;
mod progress;
mod recover;
mod second_look;
#[cfg(feature = "testkit")]
mod subject;

pub use check::{CheckRequest, check};
pub use error::RunError;
pub use fix::{FixRequest, apply_fix, plan_fix, undo_fix};
pub use progress::{NoProgress, Progress};
pub use recover::{RecoverRequest, Recovered, recover, unfinished};
#[cfg(feature = "testkit")]
pub use subject::Ours;

//! The loop that changes tags, for every verb alike.
//!
//! A verb says in an [`Action`] what one transaction does with its rows; everything else is here, and
//! once: how many rows a batch takes, what is tried again and what is split, which rows are left for
//! later, when it waits for others and when it rests.

mod action;
mod queue;
mod rows;
mod size;
mod throttle;
mod yielding;

pub use action::{Action, BatchError, Changed, MOST_REPOSITORIES};
pub use rows::{Patience, change_rows, come_back};
pub use size::BatchSize;
pub use throttle::{Limits, Throttle, ThrottleError, refuse_invisible};
pub use yielding::{Sliced, Yielding, in_slices};

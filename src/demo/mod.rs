//! The whole story on a throw-away PostgreSQL: both failures that Quay has, found, mended, undone.
//!
//! Plays with a server of its own, which is gone afterwards, and tells what it does through a
//! [`Narrator`]; it never prints. Nothing here is faked: the faults are a real time-out and a real
//! lost connection, and every step is what the program's verbs run.

mod error;
mod story;

pub use error::DemoError;
pub use story::{Ending, Narrator, tell};

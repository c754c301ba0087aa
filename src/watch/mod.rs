//! Watching: scans on a schedule, and what they found as pages and metrics.
//!
//! One thread scans, one serves, and the caller's waits for what the operator wants. They meet at a
//! board: the scanner writes what it knows and how it knows it, the pages read. The driver blocks, so
//! nothing that answers a request ever speaks to the database. What is not known is never shown as
//! well: figures are given only for a scan that was complete, is not too old, and was made by a
//! process that still has the scanner's lock and reaches the database.
//!
//! This room collects violations up to the check's limit and a bounded trend, and it never writes
//! into Quay's tables; into our own only where `--record` asks for it.

mod board;
mod door;
mod error;
mod knowledge;
mod metrics;
mod page;
mod plan;
mod routes;
mod scanner;
mod server;
mod service;
mod session;
mod trend;

pub use error::WatchError;
pub use plan::{SHORTEST_TOKEN, WatchPlan, check_token};
pub use service::{Orders, watch};

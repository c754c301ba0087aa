//! Scanning: what a snapshot holds, streamed into row sinks.
//!
//! Reads only, needs no more than SELECT, works on a standby and on a database without our
//! migrations. It decides nothing: rows go to a [`crate::evaluate::TagSink`].

mod blocks;
mod error;
mod grounds;
mod pass;
mod pieces;
mod rows;
mod shard;

pub use blocks::{Readers, reads_ranges};
pub use error::ScanError;
pub use grounds::{Database, Grounds};
pub use pass::{Wanted, estimated_tags, tags};
pub use rows::{QueryEnded, rows};
pub use shard::Shard;

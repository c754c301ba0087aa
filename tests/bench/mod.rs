//! Measurements, on demand only: `make bench` runs them all and writes the table of
//! docs/benchmarks.md. One alone, of the release build:
//!
//! ```text
//! cargo build --release
//! QUAY_DOCTOR_PROGRAM=target/release/quay-doctor cargo test --test integration \
//!     -- --ignored --nocapture bench_a_creation
//! ```
//!
//! Two things are measured in turn in one run, and the medians are set beside each other.
//! `QUAY_DOCTOR_RUNS` says how often (5).

mod create;
mod evaluate;
mod figures;
mod fix;
mod migrate;
mod release;
mod scan;
pub mod stage;
mod start;
mod wide;

//! quay-doctor: migrates, checks and repairs the tag-immutability data of a Quay registry.
//!
//! The crate is laid out in rooms on floors; imports only point down (`ARCHITECTURE.md` draws the
//! map, `tests/floors.rs` holds it). The library never prints and never ends the process.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// floor 0: pure nouns
pub mod pattern;
pub mod quay;

// floor 1: what was asked for
pub mod config;
pub mod rules;

// floor 2: pure engines
pub mod correction;
pub mod evaluate;
pub mod report;

// floor 3: the database
pub mod journal;
pub mod pg;

// floor 4: what reads and writes
pub mod apply;
pub mod migrate;
pub mod sandbox;
pub mod scan;

// floor 5: the conductor
pub mod run;

// floor 6: the story
pub mod demo;

// The front page: what the program is built from.
pub use config::{ConfigError, ConnectionSettings};
pub use pattern::{
    Compiled, Engine, Explanation, InvalidPattern, Matcher, PatternSet, SqlCondition, SqlText,
    Undecidable, compile as compile_pattern, explain as explain_pattern,
};
pub use pg::PgError;

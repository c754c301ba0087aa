//! The one integration binary: black-box tests through the program and the public library.
// Helper functions of tests lie outside `#[test]`, where clippy.toml does not reach.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod bench;
mod campaign;
mod checker;
mod connection;
mod deploy;
mod documents;
mod floors;
mod guard;
mod line;
mod migrate;
mod model;
mod pattern;
mod policy;
mod pooler;
mod program;
mod remedies;
mod sandbox;
mod scale;
mod settings;
mod watch;

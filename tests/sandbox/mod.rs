//! The throw-away server and the data in it.
// clippy.toml's permissions reach test functions only, not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod catalog;
mod cluster;
mod ending;
mod example;
mod proxy;
mod shared;
mod world;

//! Tests of migrate: the program on databases that have Quay's own tables.
#![allow(clippy::expect_used, clippy::panic, reason = "a stage that cannot be set ends the test")]

mod adoption;
mod down;
mod history;
mod indexes;
mod locks;
mod plan;
mod promise;
mod setup;
mod stage;
mod up;

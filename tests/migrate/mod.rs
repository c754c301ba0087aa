//! Tests of migrate: the program on databases that have Quay's own tables.

mod adoption;
mod down;
mod history;
mod indexes;
mod kills;
mod locks;
mod plan;
mod promise;
mod setup;
mod stage;
mod up;

//! The main job, from one end to the other: migrate, check, fix, check, undo.

mod atomic;
mod company;
mod decisions;
mod evidence;
mod faults;
mod hands;
mod history;
mod input;
mod journal;
pub mod output;
mod places;
mod plan_file;
mod policies;
mod property;
mod prune;
mod recheck;
pub mod script;
pub mod stage;
mod trail;
mod whole;

//! Policy operations that no fault leaves half done: create, update, delete, activate, deactivate.
//!
//! An operation is a row in the journal and a walk in phases; every transaction ends with a
//! compare-and-set on that row, so that whoever continues (this worker after a lost connection, or
//! `recover` after a crash) reads from it what is left to do. The rules are in
//! docs/protocol.md; `tests/mutants/` removes them one by one, and a test shows what then goes wrong.

mod activate;
mod attempt;
mod batch;
mod begin;
mod cancelled;
mod change;
mod create;
mod end;
mod error;
mod evaluate;
mod exempt;
mod hands;
mod identity;
mod mark;
mod not_written;
mod outcome;
mod own_row;
mod preflight;
mod pushed;
mod reconnect;
mod recover;
mod release;
mod request;
mod roll_back;
mod settle;
mod small;
mod take_back;
mod target;
mod validate;
mod view;
mod walk;
mod worker;

pub use change::{activate, update};
pub use create::create;
pub use end::{deactivate, delete};
pub use error::PolicyError;
pub use evaluate::{Evaluated, PolicyEvaluator, evaluate};
pub use outcome::{Ended, Outcome};
pub use preflight::{Checked, Preflight};
pub use recover::{Found, How, interrupted, recover};
pub use request::{Create, NewPattern, OnFault, Pick, PolicyOptions, Strategy, UndoRule, Update};
pub use take_back::take_back;
pub use validate::refuse_pattern;
pub use view::{Impact, PolicyState, PolicyView, list, preview};
pub use worker::Watcher;

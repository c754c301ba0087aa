//! From violations to a plan: typed corrections, and the questions that somebody has to answer.
//!
//! Pure. A correction that takes protection away is never chosen unasked; where evidence is missing
//! the plan holds a decision, and the default changes nothing. What a correction is, what it asks
//! for and what takes it back stands in one place, [`Correction`]; how it is done, in the rooms
//! above.

mod choice;
mod corrections;
mod decide;
mod document;
mod error;
mod identity;
pub mod infer;
mod once;
mod operations;
mod orphans;
mod plan;
mod remedy;

pub use choice::Choices;
pub use corrections::{Correction, ExpiryChange, TagTarget};
pub use decide::Decisions;
pub use document::{
    PlanDigest, PlanDocument, PlanFileError, PlanHead, PlanRest, SHAPE as PLAN_SHAPE, read_plan,
    write_plan,
};
pub use error::PlanError;
pub use identity::DatabaseIdentity;
pub use infer::{Proposal, ScopeProposal};
pub use operations::{Impact, Interrupted, Operation, Recovery, Recreation};
pub use orphans::OpenOrphans;
pub use plan::{LeftAlone, OpenDecision, Plan, Planned};

//! Rules: what must hold, as data. One file a rule in `checks/`, built into the program.
//!
//! A rule names facts about its subject; what the facts mean is decided in `evaluate`. This room
//! parses and validates; it never looks at a registry. Adding a rule over existing facts touches
//! no code but the list of built-in files below.

mod catalogue;
mod error;
mod fact;
mod rule;

pub use catalogue::Catalogue;
pub use error::RuleError;
pub use fact::{Evidence, Fact, SubjectKind};
pub use rule::{Remedy, RemedyKind, Rule, RuleId, Severity, Weight};

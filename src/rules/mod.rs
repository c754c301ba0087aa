//! Rules: what must hold, as data. One file a rule in `checks/`, built into the program.
//!
//! A rule names facts about its subject; what the facts mean is decided in `evaluate`. This room
//! parses and validates; it never looks at a registry. Adding a rule over existing facts touches
//! no code: `build.rs` lists the folder.

mod catalogue;
mod error;
mod example;
mod fact;
mod folder;
mod rule;
mod valid;

pub use catalogue::Catalogue;
pub use error::RuleError;
pub use example::{
    Example, ExampleAge, ExampleEnd, ExampleOperation, ExamplePolicy, ExampleScope, ExampleSource,
    ExampleTag, ExampleWorker, Shows,
};
pub use fact::{Evidence, Fact, SubjectKind};
pub use folder::rules_in;
pub use rule::{Doer, Milder, Remedy, RemedyKind, RowQuery, Rule, RuleId, Severity, Weight};

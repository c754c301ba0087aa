//! Room pattern: decides tag patterns exactly as Quay does, or says that it cannot.
//!
//! Quay asks Python's third-party `regex` module (2026.2.28, its default version 0 dialect) for a
//! full match. A pattern is read here by a parser of that dialect, which rejects what the module
//! rejects; its tree is taken through the module's own rewriting, reduced to sets of characters,
//! and handed to the cheapest engine that is exact: fixed texts, an automaton, or backtracking with
//! a step limit. What is not modelled is declared undecidable, never guessed.
//!
//! Pure: it never reads a file, the clock or the network, never panics on any pattern or tag, and
//! bounds time and memory for each.

mod automaton;
mod backtrack;
mod chars;
mod compact;
mod error;
mod escape;
mod explain;
mod first;
mod flags;
mod fuzzy;
mod groups;
mod lower;
mod matcher;
mod meaning;
mod names;
mod one;
mod openings;
mod parens;
mod parse;
mod paths;
mod property;
mod reshape;
mod samples;
mod sets;
mod several;
mod shape;
mod slow;
mod source;
mod sql;
mod tree;
mod words;

pub use error::{Complaint, InvalidPattern, Undecidable};
pub use explain::{Explanation, Warning, explain};
pub use matcher::{Engine, Matcher};
pub use openings::Openings;
pub use several::{Decision, PatternSet, Scratch};
pub use slow::{SlowReason, Slowness, slow_judgement};
pub use sql::{SqlCondition, SqlText};

use error::Refusal;

/// Longest pattern that is looked at, in characters.
pub const MAX_PATTERN_CHARS: usize = 4096;

/// Longest tag that is decided, in characters; Quay allows 128.
pub const MAX_TAG_CHARS: usize = 256;

/// What became of a pattern.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Nearly every pattern is valid.
pub enum Compiled {
    /// Ready to decide tags.
    Valid(Matcher),
    /// Quay rejects it too, and then counts it as "no match".
    Invalid(InvalidPattern),
    /// Not decided here.
    Undecidable(Undecidable),
}

/// Compiles a pattern. Never panics; time and memory are bounded.
pub fn compile(pattern: &str) -> Compiled {
    let parsed = match parse::parse(pattern) {
        Ok(parsed) => parsed,
        Err(Refusal::Invalid(invalid)) => return Compiled::Invalid(invalid),
        Err(Refusal::Undecidable(reason)) => return Compiled::Undecidable(reason),
    };
    match meaning::understand(parsed).and_then(Matcher::new) {
        Ok(matcher) => Compiled::Valid(matcher),
        Err(reason) => Compiled::Undecidable(reason),
    }
}

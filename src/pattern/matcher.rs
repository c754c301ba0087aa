//! One pattern, ready to decide tags with the cheapest engine that is exact for it.

use std::fmt;
use std::sync::OnceLock;

use super::MAX_TAG_CHARS;
use super::automaton::{Automaton, is_ordinary};
use super::backtrack::{Backtracker, Range};
use super::error::Undecidable;
use super::first::FirstCharacter;
use super::meaning::{Meaning, Power, Reservations, Understood};
use super::openings::Openings;
use super::shape::Shape;
use super::slow::{Slowness, judge};
use super::sql::SqlCondition;

/// Which engine decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Comparison with fixed texts.
    Literal,
    /// A table walk, linear in the tag's length.
    Automaton,
    /// Backtracking with a step limit.
    Backtracking,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal => "literal",
            Self::Automaton => "automaton",
            Self::Backtracking => "backtracking",
        })
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Matcher {
    meaning: Meaning,
    first: FirstCharacter,
    openings: Openings,
    reservations: Reservations,
    shape: Option<Shape>,
    ordinary: Ordinary,
    /// For tags with other characters than printable ASCII; they are rare, so it is built late.
    unusual: OnceLock<Result<Backtracker, Undecidable>>,
    slowness: OnceLock<Slowness>,
}

/// The engine for ordinary tags.
#[derive(Debug)]
enum Ordinary {
    Literal,
    Automaton(Automaton),
    Backtracking(Backtracker),
}

impl Matcher {
    /// Chooses and builds the engine.
    pub(super) fn new(understood: Understood) -> Result<Self, Undecidable> {
        // A shape speaks of every text, and so may not know less than that.
        let knows_all =
            understood.first == FirstCharacter::Harmless && !understood.reservations.unicode;
        let shape = knows_all.then(|| Shape::of(&understood.meaning)).flatten();
        let ordinary = match (&shape, understood.power) {
            (Some(_), _) => Ordinary::Literal,
            (None, Power::Regular) => Ordinary::Automaton(Automaton::new(&understood.meaning)?),
            (None, Power::Backtracking) => {
                Ordinary::Backtracking(Backtracker::new(&understood.meaning, Range::Ordinary)?)
            }
        };
        Ok(Self {
            openings: Openings::of(&understood),
            meaning: understood.meaning,
            first: understood.first,
            reservations: understood.reservations,
            shape,
            ordinary,
            unusual: OnceLock::new(),
            slowness: OnceLock::new(),
        })
    }

    /// Whether the pattern matches the whole tag, as Quay decides it given the time.
    ///
    /// Quay counts a match that takes longer than a second as none; see
    /// [`slow_judgement`](super::slow_judgement).
    pub fn decide(&self, tag: &str) -> Result<bool, Undecidable> {
        if tag.len() > MAX_TAG_CHARS && tag.chars().count() > MAX_TAG_CHARS {
            return Err(Undecidable::TagTooLong);
        }
        if !self.openings.let_in(tag) {
            return Ok(false);
        }
        if !is_ordinary(tag) {
            return self.decide_unusual(tag);
        }
        if !self.lets_in(tag) {
            return Ok(false);
        }
        match &self.ordinary {
            Ordinary::Literal => Ok(self.shape.as_ref().is_some_and(|shape| shape.matches(tag))),
            Ordinary::Automaton(automaton) => automaton.matches(tag),
            Ordinary::Backtracking(backtracker) => backtracker.matches(tag),
        }
    }

    /// Whether Quay's engine can run into its time-out; judged once.
    pub fn slowness(&self) -> Slowness {
        *self.slowness.get_or_init(|| judge(&self.meaning))
    }

    /// Which engine decides ordinary tags.
    pub fn engine(&self) -> Engine {
        match self.ordinary {
            Ordinary::Literal => Engine::Literal,
            Ordinary::Automaton(_) => Engine::Automaton,
            Ordinary::Backtracking(_) => Engine::Backtracking,
        }
    }

    /// A condition that PostgreSQL can check itself and that holds for exactly the same tags.
    pub fn sql(&self) -> Option<SqlCondition> {
        SqlCondition::of(self.shape.as_ref()?)
    }

    /// The characters that a matching tag can begin with.
    pub fn openings(&self) -> Openings {
        self.openings
    }

    /// What the pattern means.
    pub(super) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// The fixed texts that decide, if that is all it takes.
    pub(super) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// Whether the matcher can be merged with others into one table.
    pub(super) fn is_plainly_regular(&self) -> bool {
        !matches!(self.first, FirstCharacter::OneOf(_))
            && !matches!(self.ordinary, Ordinary::Backtracking(_))
    }

    /// The engine's look at the first character.
    fn lets_in(&self, tag: &str) -> bool {
        match self.first {
            FirstCharacter::OneOf(set) => tag
                .bytes()
                .next()
                .is_some_and(|byte| byte < 128 && set >> byte & 1 == 1),
            _ => true,
        }
    }

    fn decide_unusual(&self, tag: &str) -> Result<bool, Undecidable> {
        if self.reservations.unicode && !tag.is_ascii() {
            return Err(Undecidable::UnicodeTag);
        }
        if self.reservations.controls {
            return Err(Undecidable::ControlCharacter);
        }
        if !self.lets_in(tag) {
            return Ok(false);
        }
        match self
            .unusual
            .get_or_init(|| Backtracker::new(&self.meaning, Range::Any))
        {
            Ok(backtracker) => backtracker.matches(tag),
            Err(reason) => Err(*reason),
        }
    }
}

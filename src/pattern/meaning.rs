//! What a pattern means, in few kinds of node: sets of characters instead of classes and flags,
//! bounded repeats, and only the groups that something refers to.

use super::chars::{Alphabet, CharSet};
use super::error::Undecidable;
use super::first::{FirstCharacter, first_character};
use super::flags::{Case, Flags};
use super::lower::Lowering;
use super::reshape::{Direction, reshape};
use super::tree::{Look, Parsed};

/// A node of meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Matches nowhere.
    Never,
    /// One character of a set.
    Chars(CharSet),
    /// One after another; none: nothing at all.
    Sequence(Vec<Meaning>),
    /// One or another, earlier ones first.
    Branch(Vec<Meaning>),
    /// Several times.
    Repeat(Box<Loop>),
    /// Once matched, not tried again.
    Atomic(Box<Meaning>),
    /// A look-around.
    Look(Look, Box<Meaning>),
    /// A group that is referred to, with a number of our own.
    Capture(u32, Box<Meaning>),
    /// What a group took, again.
    Reference(u32, Case),
    /// The first if the group took something, else the second.
    Condition(u32, Box<(Meaning, Meaning)>),
    /// A place.
    Place(Place),
}

/// A repeated node.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// What is repeated.
    pub node: Meaning,
    /// At least so often.
    pub minimum: u32,
    /// At most so often.
    pub maximum: Option<u32>,
    /// As often as possible first, or as rarely.
    pub greedy: bool,
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its start.
    Start,
    /// Its end.
    End,
    /// Its end, or before a line feed there.
    EndOrLastLineFeed,
    /// Its end, or before a Unicode line break there.
    EndOrLastLineBreak,
    /// Its start, or after a line feed.
    LineStart,
    /// Its start, or after a Unicode line break.
    UnicodeLineStart,
    /// Its end, or before a line feed.
    LineEnd,
    /// Its end, or before a Unicode line break.
    UnicodeLineEnd,
    /// Between a word character and another.
    WordBoundary,
    /// Anywhere else.
    NotWordBoundary,
    /// Before a word.
    WordStart,
    /// After a word.
    WordEnd,
}

/// What the tree needs to be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// An automaton will do.
    Regular,
    /// Look-around, atomic groups or references: it must backtrack.
    Backtracking,
}

/// Which tags are decided only on a closer look, or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    /// Something depends on Unicode tables: no decision on a tag outside ASCII.
    pub unicode: bool,
    /// `\X` and such: no decision on a tag with control characters.
    pub controls: bool,
}

/// A pattern's whole meaning.
#[derive(Clone, Debug)]
pub struct Understood {
    /// The tree.
    pub meaning: Meaning,
    /// What it needs.
    pub power: Power,
    /// What the engine wants of the first character.
    pub first: FirstCharacter,
    /// Which tags it leaves out.
    pub reservations: Reservations,
}

/// Works out what a parsed pattern means.
pub fn understand(parsed: Parsed) -> Result<Understood, Undecidable> {
    if parsed.uses_locale {
        return Err(Undecidable::Locale);
    }
    let direction = if parsed.flags.has(Flags::REVERSE) {
        Direction::Backward
    } else {
        Direction::Forward
    };
    let alphabet = if parsed.flags.has(Flags::ASCII) {
        Alphabet::Ascii
    } else {
        Alphabet::Unicode
    };
    let root = reshape(parsed.root, direction)?;
    let lowering = Lowering::new(&root, alphabet, direction);
    let (meaning, mut reservations) = lowering.lower(&root)?;
    let first = first_character(&root, direction, alphabet)?;
    reservations.unicode |= first != FirstCharacter::Harmless;
    let power = meaning.power();
    if direction == Direction::Backward && power != Power::Regular {
        return Err(Undecidable::Reverse);
    }
    Ok(Understood {
        meaning,
        power,
        first,
        reservations,
    })
}

impl Meaning {
    /// Takes nothing, always matches.
    pub fn nothing() -> Self {
        Self::Sequence(Vec::new())
    }

    /// What an engine must be able to do.
    pub fn power(&self) -> Power {
        match self {
            Self::Never | Self::Chars(_) | Self::Place(_) => Power::Regular,
            Self::Sequence(nodes) | Self::Branch(nodes) => nodes
                .iter()
                .map(Meaning::power)
                .max()
                .unwrap_or(Power::Regular),
            Self::Repeat(repeat) => repeat.node.power(),
            Self::Capture(_, node) => node.power(),
            Self::Atomic(_) | Self::Look(..) | Self::Reference(..) | Self::Condition(..) => {
                Power::Backtracking
            }
        }
    }

    /// The fewest characters that it takes.
    pub fn least_length(&self) -> u32 {
        match self {
            Self::Never => u32::MAX,
            Self::Chars(_) => 1,
            Self::Sequence(nodes) => nodes
                .iter()
                .fold(0, |sum: u32, node| sum.saturating_add(node.least_length())),
            Self::Branch(nodes) => nodes.iter().map(Meaning::least_length).min().unwrap_or(0),
            Self::Repeat(repeat) => repeat.node.least_length().saturating_mul(repeat.minimum),
            Self::Capture(_, node) | Self::Atomic(node) => node.least_length(),
            Self::Condition(_, both) => both.0.least_length().min(both.1.least_length()),
            Self::Look(..) | Self::Reference(..) | Self::Place(_) => 0,
        }
    }

    /// Whether it is nothing but places and look-arounds.
    pub fn takes_no_character(&self) -> bool {
        match self {
            Self::Place(_) | Self::Look(..) => true,
            Self::Sequence(nodes) | Self::Branch(nodes) => {
                nodes.iter().all(Meaning::takes_no_character)
            }
            Self::Repeat(repeat) => repeat.node.takes_no_character(),
            Self::Atomic(node) => node.takes_no_character(),
            Self::Never | Self::Chars(_) => false,
            Self::Capture(..) | Self::Reference(..) | Self::Condition(..) => false,
        }
    }

    /// Whether it matches the empty text wherever it stands.
    pub fn always_allows_nothing(&self) -> bool {
        match self {
            Self::Never | Self::Chars(_) | Self::Place(_) | Self::Look(..) => false,
            Self::Reference(..) | Self::Condition(..) => false,
            Self::Sequence(nodes) => nodes.iter().all(Meaning::always_allows_nothing),
            Self::Branch(nodes) => nodes.iter().any(Meaning::always_allows_nothing),
            Self::Repeat(repeat) => repeat.minimum == 0 || repeat.node.always_allows_nothing(),
            Self::Capture(_, node) | Self::Atomic(node) => node.always_allows_nothing(),
        }
    }
}

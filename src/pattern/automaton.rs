//! Regular patterns as automata over bytes: one table walk decides one pattern, or many at once.
//!
//! The automata know ordinary tags only, which is printable ASCII. There the end of the text, of a
//! line, and before a last line feed are one place, and every character is one byte.

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::hybrid::dfa as lazy;
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{self, Class, ClassBytes, ClassBytesRange, Hir};

use super::error::Undecidable;
use super::meaning::{Meaning, Place};
use super::tree::Look;

/// Memory for the states of one pattern before they are made deterministic.
const NFA_BYTES: usize = 4 << 20;

/// Memory for one ready-made table, and for making it.
const TABLE_BYTES: usize = 512 << 10;

/// Memory for a table that is made while matching.
const LAZY_BYTES: usize = 2 << 20;

/// The characters of ordinary tags.
pub const ORDINARY: u128 = 0x7fff_ffff_ffff_ffff_ffff_ffff_0000_0000;

/// Whether a tag consists of printable ASCII.
pub fn is_ordinary(tag: &str) -> bool {
    tag.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// A regular meaning as the tree that automata are built from.
pub fn hir(meaning: &Meaning) -> Hir {
    match meaning {
        Meaning::Never => Hir::fail(),
        Meaning::Chars(set) => class(set.ascii & ORDINARY),
        Meaning::Sequence(nodes) => Hir::concat(nodes.iter().map(hir).collect()),
        Meaning::Branch(nodes) => Hir::alternation(nodes.iter().map(hir).collect()),
        Meaning::Repeat(repeat) => Hir::repetition(hir::Repetition {
            min: repeat.minimum,
            max: repeat.maximum,
            greedy: repeat.greedy,
            sub: Box::new(hir(&repeat.node)),
        }),
        Meaning::Capture(_, node) => hir(node),
        Meaning::Place(place) => Hir::look(match place {
            Place::Start | Place::LineStart | Place::UnicodeLineStart => hir::Look::Start,
            Place::End
            | Place::EndOrLastLineFeed
            | Place::EndOrLastLineBreak
            | Place::LineEnd
            | Place::UnicodeLineEnd => hir::Look::End,
            Place::WordBoundary => hir::Look::WordAscii,
            Place::NotWordBoundary => hir::Look::WordAsciiNegate,
            Place::WordStart => hir::Look::WordStartAscii,
            Place::WordEnd => hir::Look::WordEndAscii,
        }),
        // These need a power that automata do not have; nothing regular holds them.
        Meaning::Atomic(_) | Meaning::Reference(..) | Meaning::Condition(..) => Hir::fail(),
        Meaning::Look(Look::Ahead | Look::NotAhead | Look::Behind | Look::NotBehind, _) => {
            Hir::fail()
        }
    }
}

fn class(set: u128) -> Hir {
    let ranges = (0..128_u8)
        .filter(|&byte| set >> byte & 1 == 1)
        .map(|byte| ClassBytesRange::new(byte, byte));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

/// The states of one or more patterns.
pub fn states(hirs: &[Hir]) -> Result<NFA, Undecidable> {
    thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(thompson::WhichCaptures::None)
                .nfa_size_limit(Some(NFA_BYTES)),
        )
        .build_many_from_hir(hirs)
        .map_err(|_| Undecidable::TooLarge)
}

/// A table for these states, unless it would grow beyond the limit.
pub fn table(states: &NFA, bytes: usize) -> Option<dense::DFA<Vec<u32>>> {
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .start_kind(regex_automata::dfa::StartKind::Anchored)
                .match_kind(MatchKind::All)
                .dfa_size_limit(Some(bytes))
                .determinize_size_limit(Some(bytes)),
        )
        .build_from_nfa(states)
        .ok()
}

/// One pattern's automaton.
#[derive(Debug)]
pub enum Automaton {
    /// Every state worked out beforehand.
    Table(Box<dense::DFA<Vec<u32>>>),
    /// States worked out when they are reached.
    Lazy(Box<LazyAutomaton>),
}

/// A table that grows while matching, with room to work in.
#[derive(Debug)]
pub struct LazyAutomaton {
    table: lazy::DFA,
    room: std::sync::Mutex<lazy::Cache>,
}

impl Automaton {
    /// Builds the automaton of a regular meaning.
    pub fn new(meaning: &Meaning) -> Result<Self, Undecidable> {
        let states = states(&[hir(meaning)])?;
        if let Some(table) = table(&states, TABLE_BYTES) {
            return Ok(Self::Table(Box::new(table)));
        }
        let table = lazy_table(states, LAZY_BYTES)?;
        let room = std::sync::Mutex::new(table.create_cache());
        Ok(Self::Lazy(Box::new(LazyAutomaton { table, room })))
    }

    /// Whether the whole of an ordinary tag matches.
    pub fn matches(&self, tag: &str) -> Result<bool, Undecidable> {
        match self {
            Self::Table(table) => {
                let mut matched = false;
                walk(table, tag, |_| matched = true)?;
                Ok(matched)
            }
            Self::Lazy(lazy) => {
                let mut matched = false;
                let mut room = match lazy.room.lock() {
                    Ok(room) => room,
                    // A panic elsewhere may have left the table half grown.
                    Err(poisoned) => {
                        let mut room = poisoned.into_inner();
                        room.reset(&lazy.table);
                        room
                    }
                };
                walk_lazy(&lazy.table, &mut room, tag, |_| matched = true)?;
                Ok(matched)
            }
        }
    }
}

/// A table that grows while matching.
pub fn lazy_table(states: NFA, bytes: usize) -> Result<lazy::DFA, Undecidable> {
    lazy::Builder::new()
        .configure(
            lazy::Config::new()
                .match_kind(MatchKind::All)
                .cache_capacity(bytes)
                .skip_cache_capacity_check(true),
        )
        .build_from_nfa(states)
        .map_err(|_| Undecidable::TooLarge)
}

/// Every match begins where the tag does.
pub fn anchored() -> start::Config {
    start::Config::new().anchored(Anchored::Yes)
}

/// Walks a whole ordinary tag, and reports the number of every pattern that matches all of it.
pub fn walk(
    table: &dense::DFA<Vec<u32>>,
    tag: &str,
    mut report: impl FnMut(usize),
) -> Result<(), Undecidable> {
    let mut state = table
        .start_state(&anchored())
        .map_err(|_| Undecidable::TooLarge)?;
    for byte in tag.bytes() {
        state = table.next_state(state, byte);
        if table.is_dead_state(state) {
            return Ok(());
        }
    }
    state = table.next_eoi_state(state);
    if table.is_match_state(state) {
        for index in 0..table.match_len(state) {
            report(table.match_pattern(state, index).as_usize());
        }
    }
    Ok(())
}

/// As `walk`, with a table that may still have to grow.
pub fn walk_lazy(
    table: &lazy::DFA,
    room: &mut lazy::Cache,
    tag: &str,
    mut report: impl FnMut(usize),
) -> Result<(), Undecidable> {
    let mut state = table
        .start_state(room, &anchored())
        .map_err(|_| Undecidable::TooLarge)?;
    for byte in tag.bytes() {
        state = table
            .next_state(room, state, byte)
            .map_err(|_| Undecidable::TooLarge)?;
        if state.is_dead() {
            return Ok(());
        }
    }
    state = table
        .next_eoi_state(room, state)
        .map_err(|_| Undecidable::TooLarge)?;
    if state.is_match() {
        for index in 0..table.match_len(room, state) {
            report(table.match_pattern(room, state, index).as_usize());
        }
    }
    Ok(())
}

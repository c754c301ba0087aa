//! Patterns that need look-around, atomic groups or references, written out for `fancy-regex`.
//!
//! The text is made from the meaning, never from the pattern's own text: every character is a class
//! of code points, every group says what it is, and no flag is used but to ignore case in a
//! reference. So nothing is left that the two dialects could read differently.

use std::fmt::Write as _;

use super::automaton::ORDINARY;
use super::chars::{Beyond, CharSet};
use super::error::Undecidable;
use super::meaning::{Meaning, Place};
use super::tree::Look;

/// Steps back before a decision is given up.
const STEPS: usize = 200_000;

/// Memory for the parts that the backtracking engine hands to automata.
const PART_BYTES: usize = 2 << 20;

/// Length of the text handed over.
const TEXT_BYTES: usize = 256 << 10;

/// Which characters the text has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Printable ASCII, as in every tag that Quay lets in.
    Ordinary,
    /// Any character at all.
    Any,
}

/// A pattern for the backtracking engine.
#[derive(Debug)]
pub struct Backtracker {
    regex: fancy_regex::Regex,
}

impl Backtracker {
    /// Builds the matcher of any meaning.
    pub fn new(meaning: &Meaning, range: Range) -> Result<Self, Undecidable> {
        let mut text = String::from(r"\A(?:");
        write(meaning, range, &mut text)?;
        text.push_str(r")\z");
        let regex = fancy_regex::RegexBuilder::new(&text)
            .backtrack_limit(STEPS)
            .delegate_size_limit(PART_BYTES)
            .delegate_dfa_size_limit(PART_BYTES)
            .build()
            .map_err(|_| Undecidable::TooLarge)?;
        Ok(Self { regex })
    }

    /// Whether the whole tag matches.
    pub fn matches(&self, tag: &str) -> Result<bool, Undecidable> {
        self.regex.is_match(tag).map_err(|_| Undecidable::StepLimit)
    }
}

/// Writes a node so that it stands alone, whatever comes next to it.
fn write(meaning: &Meaning, range: Range, text: &mut String) -> Result<(), Undecidable> {
    if text.len() > TEXT_BYTES {
        return Err(Undecidable::TooLarge);
    }
    match meaning {
        Meaning::Never => text.push_str("(?!)"),
        Meaning::Chars(set) => write_class(set, range, text),
        Meaning::Sequence(nodes) => {
            text.push_str("(?:");
            for node in nodes {
                write(node, range, text)?;
            }
            text.push(')');
        }
        Meaning::Branch(nodes) => {
            text.push_str("(?:");
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    text.push('|');
                }
                write(node, range, text)?;
            }
            text.push(')');
        }
        Meaning::Repeat(repeat) => {
            text.push_str("(?:(?:");
            write(&repeat.node, range, text)?;
            text.push(')');
            write_counts(repeat.minimum, repeat.maximum, text);
            text.push_str(if repeat.greedy { ")" } else { "?)" });
        }
        Meaning::Atomic(node) => write_in("(?>", node, range, text)?,
        Meaning::Look(look, node) => {
            let opening = match look {
                Look::Ahead => "(?=",
                Look::NotAhead => "(?!",
                Look::Behind => "(?<=",
                Look::NotBehind => "(?<!",
            };
            write_in(opening, node, range, text)?;
        }
        // Groups come in the order of their numbers, because only those referred to are written.
        Meaning::Capture(number, node) => {
            write_in(&format!("(?<g{number}>"), node, range, text)?;
        }
        Meaning::Reference(number, case) => {
            let flag = if case.is_ignored() { "i" } else { "" };
            let _ = write!(text, r"(?{flag}:\k<g{number}>)");
        }
        Meaning::Condition(number, both) => {
            // An empty look-ahead keeps a branch from being empty: with two empty branches the
            // engine would ask for the group instead of choosing.
            let _ = write!(text, "(?(<g{number}>)(?=)");
            write(&both.0, range, text)?;
            text.push_str("|(?=)");
            write(&both.1, range, text)?;
            text.push(')');
        }
        Meaning::Place(place) => text.push_str(place_text(*place, range)),
    }
    Ok(())
}

fn write_in(
    opening: &str,
    node: &Meaning,
    range: Range,
    text: &mut String,
) -> Result<(), Undecidable> {
    text.push_str(opening);
    write(node, range, text)?;
    text.push(')');
    Ok(())
}

fn write_counts(minimum: u32, maximum: Option<u32>, text: &mut String) {
    let _ = match (minimum, maximum) {
        (0, None) => write!(text, "*"),
        (1, None) => write!(text, "+"),
        (0, Some(1)) => write!(text, "?"),
        (minimum, None) => write!(text, "{{{minimum},}}"),
        (minimum, Some(maximum)) => write!(text, "{{{minimum},{maximum}}}"),
    };
}

fn place_text(place: Place, range: Range) -> &'static str {
    match (place, range) {
        (Place::Start, _) => r"\A",
        (Place::LineStart | Place::UnicodeLineStart, Range::Ordinary) => r"\A",
        (Place::End, _) => r"\z",
        (
            Place::EndOrLastLineFeed
            | Place::EndOrLastLineBreak
            | Place::LineEnd
            | Place::UnicodeLineEnd,
            Range::Ordinary,
        ) => r"\z",
        (Place::EndOrLastLineFeed, Range::Any) => r"(?=\x0A?\z)",
        (Place::LineStart, Range::Any) => r"(?:\A|(?<=\x0A))",
        (Place::LineEnd, Range::Any) => r"(?=\x0A|\z)",
        // No tag with line breaks gets here; see the reservations of a meaning.
        (Place::UnicodeLineStart, Range::Any) => r"\A",
        (Place::EndOrLastLineBreak | Place::UnicodeLineEnd, Range::Any) => r"\z",
        // Only ASCII text comes here; `\w` of ASCII is the same in both engines.
        (Place::WordBoundary, _) => {
            "(?:(?<=[0-9A-Z_a-z])(?![0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?=[0-9A-Z_a-z]))"
        }
        (Place::NotWordBoundary, _) => {
            "(?:(?<=[0-9A-Z_a-z])(?=[0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?![0-9A-Z_a-z]))"
        }
        (Place::WordStart, _) => "(?:(?<![0-9A-Z_a-z])(?=[0-9A-Z_a-z]))",
        (Place::WordEnd, _) => "(?:(?<=[0-9A-Z_a-z])(?![0-9A-Z_a-z]))",
    }
}

fn write_class(set: &CharSet, range: Range, text: &mut String) {
    let ascii = match range {
        Range::Ordinary => set.ascii & ORDINARY,
        Range::Any => set.ascii,
    };
    let beyond: &[(char, char)] = match (&set.beyond, range) {
        (Beyond::Known(ranges), Range::Any) => ranges,
        // An unknown set meets ASCII text only.
        _ => &[],
    };
    if ascii == 0 && beyond.is_empty() {
        text.push_str("(?!)");
        return;
    }
    text.push('[');
    let mut low = 0_u32;
    while low < 128 {
        if ascii >> low & 1 == 0 {
            low += 1;
            continue;
        }
        let mut high = low;
        while high < 127 && ascii >> (high + 1) & 1 == 1 {
            high += 1;
        }
        write_range(low, high, text);
        low = high + 1;
    }
    for &(low, high) in beyond {
        write_range(u32::from(low), u32::from(high), text);
    }
    text.push(']');
}

fn write_range(low: u32, high: u32, text: &mut String) {
    let _ = if low == high {
        write!(text, "\\x{{{low:X}}}")
    } else {
        write!(text, "\\x{{{low:X}}}-\\x{{{high:X}}}")
    };
}

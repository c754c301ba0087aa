//! The ways through a pattern: its characters as positions, and which may follow which.
//!
//! Repeats that the engine remembers by position (see `slow`) are marked, bounded loops are unrolled
//! a few times, and look-arounds, which start afresh, are listed apart.

use std::collections::HashSet;

use super::automaton::ORDINARY;
use super::meaning::{Loop, Meaning};

/// More positions or steps than this are not judged.
const MAX_POSITIONS: usize = 600;
const MAX_STEPS: usize = 60_000;

/// Times a bounded loop is unrolled; more rounds only make a slow loop slower.
const ROUNDS: u32 = 6;

/// A character of the pattern.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The ordinary characters that it takes.
    pub set: u128,
    /// Whether the engine goes on from it only once for each place in the tag.
    pub remembered: bool,
}

/// All ways through a pattern.
#[derive(Debug, Default)]
pub struct Paths {
    /// The characters.
    pub positions: Vec<Position>,
    /// What may follow each.
    pub next: Vec<Vec<usize>>,
    /// What may come first.
    pub first: Vec<usize>,
    /// Whether a loop has several ways of taking nothing, or of going on from a character to the next.
    pub has_equal_choices: bool,
    /// Steps back that the engine does not remember.
    free: HashSet<(usize, usize)>,
    steps: usize,
}

/// The pattern is too large to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// A part of the pattern: how it begins, how it ends, and whether it may be left out.
#[derive(Clone, Debug)]
struct Part {
    first: Vec<usize>,
    last: Vec<usize>,
    optional: bool,
}

#[derive(Clone, Copy)]
struct Inside {
    bounded_loop: bool,
    any_loop: bool,
}

impl Paths {
    /// The ways through a meaning, and the contents of its look-arounds.
    pub fn of<'m>(
        meaning: &'m Meaning,
        looks: &mut Vec<&'m Meaning>,
        trusts_memory: bool,
    ) -> Result<Self, TooLarge> {
        let mut paths = Self::default();
        let inside = Inside {
            bounded_loop: !trusts_memory,
            any_loop: false,
        };
        let part = paths.part(meaning, inside, looks)?;
        paths.first = part.first;
        Ok(paths)
    }

    fn part<'m>(
        &mut self,
        meaning: &'m Meaning,
        inside: Inside,
        looks: &mut Vec<&'m Meaning>,
    ) -> Result<Part, TooLarge> {
        match meaning {
            Meaning::Never | Meaning::Place(_) => Ok(Part::nothing()),
            Meaning::Chars(set) => self.character(set.ascii & ORDINARY, false),
            // What a reference takes can be anything.
            Meaning::Reference(..) => {
                let part = self.character(ORDINARY, false)?;
                self.connect(&part.last, &part.first, true)?;
                Ok(part)
            }
            Meaning::Sequence(nodes) => {
                let mut whole = Part::nothing();
                for node in nodes {
                    let part = self.part(node, inside, looks)?;
                    whole = self.joined(whole, part)?;
                }
                Ok(whole)
            }
            Meaning::Branch(nodes) => {
                let mut parts = Vec::new();
                for node in nodes {
                    parts.push(self.part(node, inside, looks)?);
                }
                let ways_out = parts.iter().filter(|part| part.optional).count();
                self.has_equal_choices |= inside.any_loop && ways_out > 1;
                Ok(Part::either(parts))
            }
            Meaning::Condition(_, both) => {
                let yes = self.part(&both.0, inside, looks)?;
                let no = self.part(&both.1, inside, looks)?;
                Ok(Part::either(vec![yes, no]))
            }
            Meaning::Repeat(repeat) => self.repeat(repeat, inside, looks),
            Meaning::Atomic(node) | Meaning::Capture(_, node) => self.part(node, inside, looks),
            Meaning::Look(_, node) => {
                looks.push(node);
                Ok(Part::nothing())
            }
        }
    }

    fn repeat<'m>(
        &mut self,
        repeat: &'m Loop,
        inside: Inside,
        looks: &mut Vec<&'m Meaning>,
    ) -> Result<Part, TooLarge> {
        if let Some(set) = single_set(&repeat.node) {
            let remembered = repeat.greedy && !inside.bounded_loop;
            let mut part = self.character(set & ORDINARY, remembered)?;
            if repeat.maximum != Some(1) {
                self.connect(&part.last, &part.first, remembered)?;
            }
            part.optional = repeat.minimum == 0;
            return Ok(part);
        }
        let rounds = match repeat.maximum {
            None => 1,
            Some(maximum) => maximum.min(ROUNDS),
        };
        let below = Inside {
            bounded_loop: inside.bounded_loop || repeat.maximum.is_some(),
            any_loop: true,
        };
        let mut whole = Part::nothing();
        for round in 0..rounds {
            let mut part = self.part(&repeat.node, below, looks)?;
            if repeat.maximum.is_none() {
                let remembered = repeat.greedy && !inside.bounded_loop;
                self.connect(&part.last, &part.first, remembered)?;
            }
            part.optional |= round >= repeat.minimum;
            whole = self.joined(whole, part)?;
        }
        Ok(whole)
    }

    fn character(&mut self, set: u128, remembered: bool) -> Result<Part, TooLarge> {
        let position = self.positions.len();
        if position >= MAX_POSITIONS {
            return Err(TooLarge);
        }
        self.positions.push(Position { set, remembered });
        self.next.push(Vec::new());
        Ok(Part {
            first: vec![position],
            last: vec![position],
            optional: false,
        })
    }

    fn connect(&mut self, from: &[usize], to: &[usize], remembered: bool) -> Result<(), TooLarge> {
        for &one in from {
            for &other in to {
                self.steps += 1;
                if self.steps > MAX_STEPS {
                    return Err(TooLarge);
                }
                let is_new = !self.next[one].contains(&other);
                if is_new {
                    self.next[one].push(other);
                }
                let is_free = !remembered || self.free.contains(&(one, other));
                self.has_equal_choices |= is_free && !is_new;
                if is_free {
                    self.free.insert((one, other));
                }
            }
        }
        Ok(())
    }

    fn joined(&mut self, mut whole: Part, part: Part) -> Result<Part, TooLarge> {
        self.connect(&whole.last, &part.first, true)?;
        if whole.optional {
            whole.first.extend(&part.first);
        }
        if part.optional {
            whole.last.extend(part.last);
        } else {
            whole.last = part.last;
        }
        whole.optional &= part.optional;
        Ok(whole)
    }
}

impl Part {
    fn nothing() -> Self {
        Self {
            first: Vec::new(),
            last: Vec::new(),
            optional: true,
        }
    }

    fn either(parts: Vec<Part>) -> Self {
        Self {
            optional: parts.iter().any(|part| part.optional),
            first: parts.iter().flat_map(|part| part.first.clone()).collect(),
            last: parts.into_iter().flat_map(|part| part.last).collect(),
        }
    }
}

/// The set of a node that is one character and nothing else.
fn single_set(meaning: &Meaning) -> Option<u128> {
    match meaning {
        Meaning::Chars(set) => Some(set.ascii),
        Meaning::Sequence(nodes) => match nodes.as_slice() {
            [node] => single_set(node),
            _ => None,
        },
        _ => None,
    }
}

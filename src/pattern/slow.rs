//! Which patterns can make Python's engine run for more than a second on a tag of 128 characters.
//!
//! What the judgement rests on. The engine backtracks: where a match fails, it tries every way of
//! reading the tag. It runs too long where the number of ways grows with the tag's length
//! exponentially, or like a high power.
//!
//! * *Exponential*: a loop in which one character of the pattern can be reached again from itself in
//!   two ways by the same text, as in `(?:a|aa)*b`. This is the textbook test for automata whose
//!   ambiguity is exponential (Weber and Seidl, 1991); it is made on all pairs of positions, and
//!   finds every such loop.
//! * *A high power*: the ways are counted on texts of 128 equal characters and on repeats of the
//!   pattern's own loops. From [`WAYS`] on the pattern counts as slow.
//! * *What the engine remembers*: a greedy repeat of one character goes on only once from each place
//!   in the tag, so that `(?:[a-z]+-?)+\d` is fast although automata theory calls it exponential.
//!   This was read off the engine's source, and measured: it does not hold for lazy repeats, nor
//!   inside a loop with an upper bound (`(?:a+){1,30}b` runs for minutes).
//!
//! Wrong in one direction only, as far as that was measured: a pattern may be called slow that is
//! not, because the engine first looks for a text that must occur, or because it remembers more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::error::Refusal;
use super::meaning::Meaning;
use super::parse;
use super::paths::{Paths, TooLarge};

/// The longest tag that Quay accepts, in characters.
const TAG_CHARS: usize = 128;

/// Ways that take the engine about a second; it takes some ten million a second.
const WAYS: f64 = 3e6;

/// Pairs of positions that are looked at before the pattern counts as too large.
const MAX_PAIRS: usize = 2_000_000;

/// Whether a pattern can run into Quay's time-out of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowness {
    /// It cannot, on any tag that Quay accepts.
    Fast,
    /// It can, on some tag.
    CanBeSlow(SlowReason),
    /// Not judged.
    Unknown,
}

/// Why a pattern can be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowReason {
    /// A loop reads the same text in two ways.
    AmbiguousLoop,
    /// Several repeats in a row divide the same text among themselves.
    ManyDivisions,
}

impl fmt::Display for SlowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmbiguousLoop => {
                "a loop can read the same characters in more than one way, and every further \
                 character multiplies the ways that Quay's engine tries"
            }
            Self::ManyDivisions => {
                "several repeats can divide the same characters among themselves in millions of \
                 ways, and Quay's engine tries them all"
            }
        })
    }
}

/// Judges a pattern.
pub fn slow_judgement(pattern: &str) -> Slowness {
    match parse::parse(pattern) {
        // What cannot be compiled cannot run.
        Err(Refusal::Invalid(_)) => Slowness::Fast,
        Err(Refusal::Undecidable(_)) => Slowness::Unknown,
        Ok(parsed) => match super::meaning::understand(parsed) {
            Ok(understood) => judge(&understood.meaning),
            Err(_) => Slowness::Unknown,
        },
    }
}

/// Judges a meaning and the look-arounds in it.
pub(super) fn judge(meaning: &Meaning) -> Slowness {
    let trusts_memory = !holds_a_reference(meaning);
    let mut to_judge = vec![meaning];
    while let Some(part) = to_judge.pop() {
        let Ok(paths) = Paths::of(part, &mut to_judge, trusts_memory) else {
            return Slowness::Unknown;
        };
        if paths.has_equal_choices {
            return Slowness::CanBeSlow(SlowReason::AmbiguousLoop);
        }
        match has_ambiguous_loop(&paths) {
            Ok(true) => return Slowness::CanBeSlow(SlowReason::AmbiguousLoop),
            Ok(false) => {}
            Err(TooLarge) => return Slowness::Unknown,
        }
        if most_ways(&paths) > WAYS {
            return Slowness::CanBeSlow(SlowReason::ManyDivisions);
        }
    }
    Slowness::Fast
}

/// With references the engine remembers nothing.
fn holds_a_reference(meaning: &Meaning) -> bool {
    match meaning {
        Meaning::Reference(..) | Meaning::Condition(..) => true,
        Meaning::Never | Meaning::Chars(_) | Meaning::Place(_) => false,
        Meaning::Sequence(nodes) | Meaning::Branch(nodes) => nodes.iter().any(holds_a_reference),
        Meaning::Repeat(repeat) => holds_a_reference(&repeat.node),
        Meaning::Atomic(node) | Meaning::Capture(_, node) | Meaning::Look(_, node) => {
            holds_a_reference(node)
        }
    }
}

/// Steps that the engine takes anew each time.
fn free_steps(paths: &Paths, from: usize) -> impl Iterator<Item = usize> + '_ {
    let remembered = paths.positions[from].remembered;
    paths.next[from]
        .iter()
        .copied()
        .filter(move |&to| !remembered && !paths.positions[to].remembered)
}

/// Whether some position comes back to itself in two ways by one text.
fn has_ambiguous_loop(paths: &Paths) -> Result<bool, TooLarge> {
    let mut looked_at = 0;
    for start in 0..paths.positions.len() {
        if !free_steps(paths, start).any(|to| reaches(paths, to, start)) {
            continue;
        }
        // Pairs that two ways of one text lead to from the start; parted once they differ.
        let mut seen: HashSet<(usize, usize, bool)> = HashSet::new();
        let mut queue = VecDeque::from([(start, start, false)]);
        while let Some((one, other, parted)) = queue.pop_front() {
            for to_one in free_steps(paths, one) {
                for to_other in free_steps(paths, other) {
                    looked_at += 1;
                    if looked_at > MAX_PAIRS {
                        return Err(TooLarge);
                    }
                    if paths.positions[to_one].set & paths.positions[to_other].set == 0 {
                        continue;
                    }
                    let parted = parted || to_one != to_other;
                    if parted && to_one == start && to_other == start {
                        return Ok(true);
                    }
                    if seen.insert((to_one, to_other, parted)) {
                        queue.push_back((to_one, to_other, parted));
                    }
                }
            }
        }
    }
    Ok(false)
}

fn reaches(paths: &Paths, from: usize, goal: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(position) = open.pop() {
        if position == goal {
            return true;
        }
        open.extend(free_steps(paths, position).filter(|&to| seen.insert(to)));
    }
    false
}

/// The most ways that a text of the longest kind can be read in, over a few promising texts.
fn most_ways(paths: &Paths) -> f64 {
    let mut most: f64 = 0.0;
    for text in promising_texts(paths) {
        most = most.max(ways(paths, &text));
    }
    most
}

/// Equal characters, one of each kind, and loops gone round and round.
fn promising_texts(paths: &Paths) -> Vec<Vec<u128>> {
    let mut kinds: Vec<u128> = Vec::new();
    for character in 0x20..0x7f_u32 {
        let bit = 1_u128 << character;
        let known = kinds.iter().any(|&kind| {
            paths
                .positions
                .iter()
                .all(|position| (position.set & bit == 0) == (position.set & kind == 0))
        });
        if !known {
            kinds.push(bit);
        }
        if kinds.len() >= 32 {
            break;
        }
    }
    let mut texts: Vec<Vec<u128>> = kinds.iter().map(|&kind| vec![kind; TAG_CHARS]).collect();
    for start in 0..paths.positions.len().min(64) {
        if let Some(round) = shortest_round(paths, start) {
            texts.push(round.into_iter().cycle().take(TAG_CHARS).collect());
        }
    }
    texts
}

/// The characters of the shortest way from a position back to itself.
fn shortest_round(paths: &Paths, start: usize) -> Option<Vec<u128>> {
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(position) = queue.pop_front() {
        for &to in &paths.next[position] {
            if to == start {
                let mut round = Vec::new();
                let mut at = Some(position);
                while let Some(position) = at {
                    let set = paths.positions[position].set;
                    round.push(1_u128.checked_shl(set.trailing_zeros())?);
                    at = came_from.get(&position).copied();
                }
                round.reverse();
                return Some(round);
            }
            if to != start && !came_from.contains_key(&to) {
                came_from.insert(to, position);
                queue.push_back(to);
            }
        }
    }
    None
}

/// In how many ways beginnings of the text can be read, all lengths together.
fn ways(paths: &Paths, text: &[u128]) -> f64 {
    let mut total = 0.0;
    let mut at: Vec<f64> = vec![0.0; paths.positions.len()];
    for (place, &character) in text.iter().enumerate() {
        let mut then = vec![0.0; at.len()];
        let mut arrive = |to: usize, count: f64| {
            if paths.positions[to].set & character != 0 {
                then[to] += count;
            }
        };
        if place == 0 {
            paths.first.iter().for_each(|&to| arrive(to, 1.0));
        }
        for (from, &count) in at.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let count = if paths.positions[from].remembered {
                1.0
            } else {
                count
            };
            paths.next[from].iter().for_each(|&to| arrive(to, count));
        }
        at = then;
        total += at.iter().sum::<f64>();
        if total > WAYS {
            break;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_that_read_a_text_in_two_ways_are_slow() {
        for pattern in [
            "(a|a)*b",
            "(?:a|aa)*b",
            "(?:(?:a|aa){2})*b",
            "(?:a+?)+b",
            "(?:a+){1,30}b",
            "(?:a{1,30}){1,30}b",
            "(?:(?:|)a)*b",
            "(?:a*(?:b|b))*c",
            "(?!(?:a|a)*b).*",
            "(?:ab|a|b)*c",
        ] {
            assert!(
                matches!(slow_judgement(pattern), Slowness::CanBeSlow(_)),
                "{pattern}"
            );
        }
    }

    #[test]
    fn repeats_that_the_engine_remembers_are_fast() {
        for pattern in [
            ".*",
            "v.*",
            r"v\d+\.\d+\.\d+(-rc\d+)?",
            "(a+)+b",
            "(?:a*a*)*b",
            "(x+x+)+y",
            r"(?:[a-z]+-?)+\d",
            "a*a*a*a*a*a*b",
            "(?:release|stable|prod)-.*",
            "(?!latest$).*",
            r"^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$",
        ] {
            assert_eq!(slow_judgement(pattern), Slowness::Fast, "{pattern}");
        }
    }

    #[test]
    fn many_lazy_repeats_in_a_row_are_slow() {
        assert_eq!(
            slow_judgement("a*?a*?a*?a*?a*?a*?b"),
            Slowness::CanBeSlow(SlowReason::ManyDivisions)
        );
    }
}

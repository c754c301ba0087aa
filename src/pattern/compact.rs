//! Whether any of several patterns matches an ordinary tag, by a table that is small enough for a
//! processor to keep beside those of other scopes: the tags of a table come from all of them in turn.

use std::collections::HashMap;

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;

use super::automaton::anchored;

/// Bytes of ordinary tags.
const ORDINARY: std::ops::Range<u8> = 0x20..0x7f;

/// The place of a state's mark, whether a tag that ends there matches.
const ACCEPTS: usize = 0;

/// A row for each state: its mark, and then the state after a byte of each class. A state is the place of
/// its row; the first is the one that nothing leads out of.
#[derive(Debug)]
pub struct Compact {
    table: Vec<u16>,
    classes: Box<[u8; 256]>,
    start: u16,
}

impl Compact {
    /// The same decisions as those of an automaton; none where the table would not be small.
    pub fn of(automaton: &dense::DFA<Vec<u32>>) -> Option<Self> {
        let mut states = States::default();
        let start = automaton.start_state(&anchored()).ok()?;
        let start = states.number(automaton, start)?;
        let mut columns = vec![Vec::new(); ORDINARY.len()];
        let mut accepts = Vec::new();
        // States are numbered as they are found, and so each is looked at once.
        while let Some(state) = states.found.get(accepts.len()).copied() {
            accepts.push(automaton.is_match_state(automaton.next_eoi_state(state)));
            for (byte, column) in ORDINARY.zip(&mut columns) {
                column.push(states.number(automaton, automaton.next_state(state, byte))?);
            }
        }
        // Bytes that lead to the same states are one class. That of all other bytes leads nowhere.
        let nowhere = vec![0; accepts.len()];
        let mut numbers: HashMap<&[usize], u8> = HashMap::from([(nowhere.as_slice(), 1)]);
        let mut distinct = vec![&nowhere];
        let mut classes = Box::new([1; 256]);
        for (byte, column) in ORDINARY.zip(&columns) {
            let class = *numbers.entry(column).or_insert_with(|| {
                distinct.push(column);
                // There are fewer ordinary bytes than numbers.
                u8::try_from(distinct.len()).unwrap_or(u8::MAX)
            });
            classes[usize::from(byte)] = class;
        }
        let width = 1 + distinct.len();
        let place = |state: usize| u16::try_from(state * width).ok();
        let mut table = vec![0; width];
        for (state, accepts) in accepts.into_iter().enumerate() {
            table.push(u16::from(accepts));
            for column in &distinct {
                table.push(place(column[state])?);
            }
        }
        Some(Self {
            table,
            classes,
            start: place(start)?,
        })
    }

    /// Whether a pattern matches the whole tag; never, where the tag is not ordinary.
    pub fn matches(&self, tag: &str) -> bool {
        let mut state = usize::from(self.start);
        for byte in tag.bytes() {
            let class = self.classes[usize::from(byte)];
            state = usize::from(self.table[state + usize::from(class)]);
            if state == 0 {
                return false;
            }
        }
        self.table[state + ACCEPTS] == 1
    }
}

/// The states that were found, numbered from 1; 0 is that which nothing leads out of.
#[derive(Default)]
struct States {
    found: Vec<StateID>,
    numbers: HashMap<StateID, usize>,
}

impl States {
    /// The number of a state; none where there are too many, or it is one that gives up.
    fn number(&mut self, automaton: &dense::DFA<Vec<u32>>, state: StateID) -> Option<usize> {
        if automaton.is_dead_state(state) {
            return Some(0);
        }
        if automaton.is_quit_state(state) || self.found.len() > usize::from(u16::MAX) / 2 {
            return None;
        }
        Some(*self.numbers.entry(state).or_insert_with(|| {
            self.found.push(state);
            self.found.len()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::automaton::{hir, states, table, walk};
    use super::super::{Compiled, compile};
    use super::*;

    fn automaton(patterns: &[&str]) -> dense::DFA<Vec<u32>> {
        let compiled: Vec<Compiled> = patterns.iter().map(|pattern| compile(pattern)).collect();
        let hirs: Vec<_> = compiled
            .iter()
            .map(|pattern| match pattern {
                Compiled::Valid(matcher) => hir(matcher.meaning()),
                _ => panic!("{patterns:?}"),
            })
            .collect();
        table(&states(&hirs).expect("states"), 16 << 20).expect("a table")
    }

    /// Every text of up to so many of these characters.
    fn texts(alphabet: &str, most: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut longest = all.clone();
        for _ in 0..most {
            let longer = longest.iter().flat_map(|text| {
                let longer = alphabet.chars().map(move |next| format!("{text}{next}"));
                longer.collect::<Vec<_>>()
            });
            longest = longer.collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    #[test]
    fn the_small_table_says_what_the_automaton_says() {
        let texts = texts("av1.- ~\n\u{e9}", 4);
        for patterns in [
            &["v.*"][..],
            &[r"v\d+\.\d+", "a-.*", "[^v]+1"],
            &[r".*\b1.*"],
            &["(?i)V1?", r"\w+-", " *"],
            &[".{2}", "(?!)", ""],
            &[r"(?:a|v1){2,3}"],
        ] {
            let automaton = automaton(patterns);
            let small = Compact::of(&automaton).expect("a small table");
            let mut matching = 0;
            for text in &texts {
                let mut matches = false;
                walk(&automaton, text, |_| matches = true).expect("an answer");
                assert_eq!(small.matches(text), matches, "{patterns:?} on {text:?}");
                matching += usize::from(matches);
            }
            assert!(0 < matching && matching < texts.len(), "{patterns:?}");
        }
    }

    #[test]
    fn a_large_table_is_not_made_small() {
        let automaton = automaton(&[".*a.{13}"]);
        assert!(Compact::of(&automaton).is_none());
    }
}

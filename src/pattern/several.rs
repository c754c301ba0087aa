//! All patterns of a scope at once: one walk over the tag decides every regular one of them.

use std::collections::{BTreeSet, HashMap};

use regex_automata::dfa::dense;
use regex_automata::hybrid::dfa as lazy;

use super::automaton::{hir, is_ordinary, lazy_table, states, table, walk, walk_lazy};
use super::compact::Compact;
use super::error::Undecidable;
use super::matcher::Matcher;
use super::meaning::Meaning;
use super::openings::Openings;
use super::shape::Simple;
use super::{Compiled, compile};

/// Memory for the common table, and for making it.
const TABLE_BYTES: usize = 16 << 20;

/// Memory for a common table that grows while matching, for each scratch.
const LAZY_BYTES: usize = 32 << 20;

/// One pattern's answer on one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The pattern matches the whole tag.
    Match,
    /// It does not, or it is invalid.
    NoMatch,
    /// It cannot be told here.
    Undecided(Undecidable),
}

impl From<Result<bool, Undecidable>> for Decision {
    fn from(decided: Result<bool, Undecidable>) -> Self {
        match decided {
            Ok(true) => Self::Match,
            Ok(false) => Self::NoMatch,
            Err(reason) => Self::Undecided(reason),
        }
    }
}

/// The patterns of a scope.
#[derive(Debug)]
pub struct PatternSet {
    patterns: Vec<Compiled>,
    /// Which patterns are exactly this text.
    literals: HashMap<String, Vec<usize>>,
    /// How long these texts are, in bytes; few tags are, and no other is looked up.
    literal_lengths: BTreeSet<usize>,
    common: Option<Common>,
    /// The patterns that are looked at one by one.
    alone: Vec<usize>,
    /// The decision before anything was looked at.
    blank: Vec<Decision>,
    /// What is known together of a tag that no pattern surely matches.
    otherwise: Decision,
    /// What a tag that some valid pattern matches can begin with.
    openings: Openings,
}

/// One automaton for many patterns.
#[derive(Debug)]
struct Common {
    automaton: CommonAutomaton,
    /// The pattern's place in the set, by its place in the automaton.
    places: Vec<usize>,
    /// What tells whether any of them matches.
    any: Option<Compact>,
}

#[derive(Debug)]
enum CommonAutomaton {
    Table(Box<dense::DFA<Vec<u32>>>),
    Lazy(Box<lazy::DFA>),
}

/// Room to decide in, used again for every tag. Belongs to the set that it was made by.
#[derive(Debug)]
pub struct Scratch {
    decisions: Vec<Decision>,
    growing: Option<Box<lazy::Cache>>,
}

impl PatternSet {
    /// Compiles the patterns.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Self {
        let patterns: Vec<Compiled> = patterns.iter().map(|p| compile(p.as_ref())).collect();
        let blank: Vec<Decision> = patterns.iter().map(blank_decision).collect();
        let mut set = Self {
            otherwise: any_of(&blank),
            blank,
            openings: patterns.iter().fold(Openings::NONE, begins_with),
            patterns,
            literals: HashMap::new(),
            literal_lengths: BTreeSet::new(),
            common: None,
            alone: Vec::new(),
        };
        let mut together = Vec::new();
        for place in 0..set.patterns.len() {
            let Compiled::Valid(matcher) = &set.patterns[place] else {
                continue;
            };
            if let Some(texts) = only_literals(matcher) {
                for text in texts {
                    set.literal_lengths.insert(text.len());
                    set.literals.entry(text).or_default().push(place);
                }
            } else if matcher.is_plainly_regular() {
                together.push(place);
            } else {
                set.alone.push(place);
            }
        }
        set.join(together);
        set
    }

    /// The patterns, in the order in which they were given.
    pub fn patterns(&self) -> &[Compiled] {
        &self.patterns
    }

    /// What a tag that some pattern may match can begin with; everything where one of them cannot
    /// be told.
    pub fn openings(&self) -> Openings {
        let told = |pattern: &Compiled| !matches!(pattern, Compiled::Undecidable(_));
        if self.patterns.iter().all(told) {
            self.openings
        } else {
            Openings::ALL
        }
    }

    /// Room for deciding; make one for each thread.
    pub fn scratch(&self) -> Scratch {
        let growing = match &self.common {
            Some(Common {
                automaton: CommonAutomaton::Lazy(table),
                ..
            }) => Some(Box::new(table.create_cache())),
            _ => None,
        };
        Scratch {
            decisions: self.blank.clone(),
            growing,
        }
    }

    /// Decides every pattern on one tag; the answers stand in the patterns' order. Allocates
    /// nothing, unless the tag has characters other than printable ASCII.
    pub fn decide<'s>(&self, tag: &str, scratch: &'s mut Scratch) -> &'s [Decision] {
        scratch.decisions.clear();
        scratch.decisions.extend_from_slice(&self.blank);
        let fits = tag.len() <= super::MAX_TAG_CHARS;
        if fits && !self.openings.let_in(tag) {
            return &scratch.decisions;
        }
        if !(fits && is_ordinary(tag) && self.decide_together(tag, scratch).is_ok()) {
            self.decide_one_by_one(tag, scratch);
            return &scratch.decisions;
        }
        if self.literal_lengths.contains(&tag.len())
            && let Some(places) = self.literals.get(tag)
        {
            for &place in places {
                scratch.decisions[place] = Decision::Match;
            }
        }
        for &place in &self.alone {
            if let Compiled::Valid(matcher) = &self.patterns[place] {
                scratch.decisions[place] = matcher.decide(tag).into();
            }
        }
        &scratch.decisions
    }

    /// Whether some pattern matches; undecided where none surely does, and one may. The same as to ask
    /// [`PatternSet::decide`] for all of them, with less to do.
    pub fn any(&self, tag: &str, scratch: &mut Scratch) -> Decision {
        let fits = tag.len() <= super::MAX_TAG_CHARS;
        if fits && !self.openings.let_in(tag) {
            return self.otherwise;
        }
        match fits.then(|| self.one_together(tag, scratch)) {
            // The automaton steps over ordinary characters alone, so that what it matches is ordinary.
            Some(Ok(true)) => return Decision::Match,
            Some(Ok(false)) if is_ordinary(tag) => {}
            _ => {
                scratch.decisions.clone_from(&self.blank);
                self.decide_one_by_one(tag, scratch);
                return any_of(&scratch.decisions);
            }
        }
        if self.literal_lengths.contains(&tag.len()) && self.literals.contains_key(tag) {
            return Decision::Match;
        }
        let mut decided = self.otherwise;
        for &place in &self.alone {
            if let Compiled::Valid(matcher) = &self.patterns[place] {
                match matcher.decide(tag) {
                    Ok(true) => return Decision::Match,
                    Ok(false) => {}
                    Err(reason) => decided = Decision::Undecided(reason),
                }
            }
        }
        decided
    }

    /// Whether the automaton, if there is one, matches.
    fn one_together(&self, tag: &str, scratch: &mut Scratch) -> Result<bool, Undecidable> {
        let Some(common) = &self.common else {
            return Ok(false);
        };
        if let Some(any) = &common.any {
            return Ok(any.matches(tag));
        }
        let mut matched = false;
        let report = |_| matched = true;
        match (&common.automaton, &mut scratch.growing) {
            (CommonAutomaton::Table(table), _) => walk(table, tag, report)?,
            (CommonAutomaton::Lazy(table), Some(room)) => walk_lazy(table, room, tag, report)?,
            (CommonAutomaton::Lazy(_), None) => return Err(Undecidable::TooLarge),
        }
        Ok(matched)
    }

    fn decide_together(&self, tag: &str, scratch: &mut Scratch) -> Result<(), Undecidable> {
        let Some(common) = &self.common else {
            return Ok(());
        };
        let decisions = &mut scratch.decisions;
        let report = |number: usize| decisions[common.places[number]] = Decision::Match;
        match (&common.automaton, &mut scratch.growing) {
            (CommonAutomaton::Table(table), _) => walk(table, tag, report),
            (CommonAutomaton::Lazy(table), Some(room)) => walk_lazy(table, room, tag, report),
            // The scratch was made by another set.
            (CommonAutomaton::Lazy(_), None) => Err(Undecidable::TooLarge),
        }
    }

    fn decide_one_by_one(&self, tag: &str, scratch: &mut Scratch) {
        for (decision, pattern) in scratch.decisions.iter_mut().zip(&self.patterns) {
            if let Compiled::Valid(matcher) = pattern {
                *decision = matcher.decide(tag).into();
            }
        }
    }

    /// Joins the regular patterns; where that is too large, they stay alone.
    fn join(&mut self, together: Vec<usize>) {
        let meanings: Vec<&Meaning> = together
            .iter()
            .filter_map(|&place| match &self.patterns[place] {
                Compiled::Valid(matcher) => Some(matcher.meaning()),
                _ => None,
            })
            .collect();
        if meanings.is_empty() {
            return;
        }
        let hirs: Vec<_> = meanings.into_iter().map(hir).collect();
        let automaton = states(&hirs).and_then(|states| {
            Ok(match table(&states, TABLE_BYTES) {
                Some(table) => CommonAutomaton::Table(Box::new(table)),
                None => CommonAutomaton::Lazy(Box::new(lazy_table(states, LAZY_BYTES)?)),
            })
        });
        match automaton {
            Ok(automaton) => {
                self.common = Some(Common {
                    any: match &automaton {
                        CommonAutomaton::Table(table) => Compact::of(table),
                        CommonAutomaton::Lazy(_) => None,
                    },
                    automaton,
                    places: together,
                });
            }
            Err(_) => self.alone.extend(together),
        }
    }
}

fn begins_with(openings: Openings, pattern: &Compiled) -> Openings {
    match pattern {
        Compiled::Valid(matcher) => openings.and(matcher.openings()),
        Compiled::Invalid(_) | Compiled::Undecidable(_) => openings,
    }
}

fn blank_decision(pattern: &Compiled) -> Decision {
    match pattern {
        Compiled::Undecidable(reason) => Decision::Undecided(*reason),
        Compiled::Valid(_) | Compiled::Invalid(_) => Decision::NoMatch,
    }
}

fn any_of(decisions: &[Decision]) -> Decision {
    let undecided = decisions
        .iter()
        .find(|decision| matches!(decision, Decision::Undecided(_)));
    if decisions.contains(&Decision::Match) {
        Decision::Match
    } else {
        undecided.copied().unwrap_or(Decision::NoMatch)
    }
}

/// The texts of a pattern that is nothing but texts.
fn only_literals(matcher: &Matcher) -> Option<Vec<String>> {
    matcher
        .shape()?
        .any_of
        .iter()
        .map(|simple| match simple {
            Simple::Literal(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 14] = [
        "latest",
        "v.*",
        ".*-rc",
        r"v\d+\.\d+",
        "dev|test",
        "a**",
        "(?!latest$).*",
        "(?R)",
        "(?i)V1",
        "(?i:x)?[^ya]",
        "latest",
        r"\w+",
        "",
        "[0-9a-f]{7,40}",
    ];

    #[test]
    fn a_set_decides_each_pattern_as_it_is_decided_alone() {
        let set = PatternSet::new(&PATTERNS);
        let mut room = set.scratch();
        for tag in [
            "latest", "v1", "V1", "v1.2", "x-rc", "dev", "", "A", "0a1b2c3", "x\n", "v\u{e9}",
            "\u{212a}",
        ] {
            let together = set.decide(tag, &mut room).to_vec();
            for (pattern, decided) in PATTERNS.iter().zip(together) {
                let alone = match compile(pattern) {
                    Compiled::Valid(matcher) => matcher.decide(tag).into(),
                    Compiled::Invalid(_) => Decision::NoMatch,
                    Compiled::Undecidable(reason) => Decision::Undecided(reason),
                };
                assert_eq!(decided, alone, "{pattern} on {tag:?}");
            }
        }
    }

    #[test]
    fn whether_any_pattern_matches_is_what_all_of_them_say() {
        const TAGS: [&str; 16] = [
            "latest", "v1", "V1", "v1.2", "x-rc", "dev", "", "A", "0a1b2c3", "x\n", "v\u{e9}",
            "\u{212a}", "v\t", "dev\u{0}", "b1", "kx",
        ];
        let long = "v".repeat(super::super::MAX_TAG_CHARS + 1);
        let mut kinds = std::collections::HashSet::new();
        // Each pattern alone, all of them, and each two.
        let pairs = (0..PATTERNS.len()).flat_map(|a| (a..PATTERNS.len()).map(move |b| vec![a, b]));
        for some in pairs.chain([(0..PATTERNS.len()).collect()]) {
            let patterns: Vec<&str> = some.iter().map(|place| PATTERNS[*place]).collect();
            let set = PatternSet::new(&patterns);
            let mut room = set.scratch();
            for tag in TAGS.into_iter().chain([long.as_str()]) {
                let kind = |decision| std::mem::discriminant(&decision);
                let all = kind(any_of(set.decide(tag, &mut room)));
                let any = kind(set.any(tag, &mut room));
                assert_eq!(any, all, "{patterns:?} on {tag:?}");
                kinds.insert(any);
            }
        }
        assert_eq!(kinds.len(), 3, "matched, not matched, undecided");
    }

    #[test]
    fn a_set_too_large_for_a_ready_made_table_grows_one_while_matching() {
        let patterns: Vec<String> = (0..300)
            .map(|n| format!(".*{}.*{}.*[a-f]x", n % 17, n))
            .collect();
        let set = PatternSet::new(&patterns);
        let mut room = set.scratch();
        assert!(room.growing.is_some());
        let decisions = set.decide("a12b29cx", &mut room).to_vec();
        for (pattern, decided) in patterns.iter().zip(decisions) {
            let Compiled::Valid(matcher) = compile(pattern) else {
                panic!("{pattern}");
            };
            assert_eq!(decided, matcher.decide("a12b29cx").into(), "{pattern}");
        }
    }
}

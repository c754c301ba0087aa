//! What a pattern means, for people: words, examples, and where it is likely not what was meant.

use std::fmt;

use super::automaton::ORDINARY;
use super::matcher::{Engine, Matcher};
use super::meaning::{Loop, Meaning, Place};
use super::samples::samples;
use super::shape::{Gap, Simple};
use super::slow::{SlowReason, Slowness, judge};
use super::sql::SqlCondition;
use super::words::describe;

/// The longest tag that Quay accepts.
const TAG_CHARS: u32 = 128;

/// An explained pattern.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its meaning in words.
    pub words: String,
    /// The engine that decides it.
    pub engine: Engine,
    /// The same as SQL, if there is such a condition.
    pub sql: Option<SqlCondition>,
    /// Tags that match.
    pub matching: Vec<String>,
    /// Tags that do not.
    pub failing: Vec<String>,
    /// Where people usually err.
    pub warnings: Vec<Warning>,
}

/// Something about a pattern that its author may not have meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// `1.2` also takes `1x2`.
    UnescapedDot,
    /// `^` at the start, or `$` at the end.
    RedundantAnchor,
    /// `.*` and its like.
    CoversEverything,
    /// `v*` takes `vvv`, not `v1`.
    GlobStar,
    /// It needs more characters than a tag can have, or some that no tag has.
    MatchesNoTag,
    /// It can run into Quay's time-out.
    Slow(SlowReason),
    /// It was too large to tell whether it can.
    SlownessUnknown,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnescapedDot => f.write_str(
                "a dot between other characters takes any character, not only a dot; write \\. for a dot",
            ),
            Self::RedundantAnchor => f.write_str(
                "^ at the start and $ at the end change nothing: the pattern must match the whole tag anyway",
            ),
            Self::CoversEverything => f.write_str("this matches every tag"),
            Self::GlobStar => f.write_str(
                "a star after a plain character repeats that character; write .* for \"anything\"",
            ),
            Self::MatchesNoTag => f.write_str("no tag that Quay accepts can match this"),
            Self::Slow(reason) => write!(
                f,
                "on some tags Quay runs into its time-out of one second, and then counts them as not \
                 matching: {reason}"
            ),
            Self::SlownessUnknown => {
                f.write_str("it is too large to tell whether Quay runs into its time-out")
            }
        }
    }
}

/// Explains a compiled pattern.
pub fn explain(matcher: &Matcher) -> Explanation {
    let meaning = matcher.meaning();
    let (matching, failing) = samples(matcher);
    Explanation {
        words: describe(meaning),
        engine: matcher.engine(),
        sql: matcher.sql(),
        matching,
        failing,
        warnings: warnings(matcher, meaning),
    }
}

fn warnings(matcher: &Matcher, meaning: &Meaning) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if has_outer_anchor(meaning) {
        warnings.push(Warning::RedundantAnchor);
    }
    if any_sequence(meaning, &has_dot_between) {
        warnings.push(Warning::UnescapedDot);
    }
    if any_sequence(meaning, &ends_in_glob_star) {
        warnings.push(Warning::GlobStar);
    }
    if covers_everything(matcher) {
        warnings.push(Warning::CoversEverything);
    }
    if meaning.least_length() > TAG_CHARS {
        warnings.push(Warning::MatchesNoTag);
    }
    match judge(meaning) {
        Slowness::Fast => {}
        Slowness::CanBeSlow(reason) => warnings.push(Warning::Slow(reason)),
        Slowness::Unknown => warnings.push(Warning::SlownessUnknown),
    }
    warnings
}

fn flatten<'a>(meaning: &'a Meaning, items: &mut Vec<&'a Meaning>) {
    match meaning {
        Meaning::Sequence(nodes) => nodes.iter().for_each(|node| flatten(node, items)),
        other => items.push(other),
    }
}

/// An anchor at the outer end of the pattern, or of one of its alternatives.
fn has_outer_anchor(meaning: &Meaning) -> bool {
    let mut items = Vec::new();
    flatten(meaning, &mut items);
    if let [Meaning::Branch(nodes)] = items.as_slice() {
        return nodes.iter().any(has_outer_anchor);
    }
    let starts = matches!(
        items.first(),
        Some(Meaning::Place(Place::Start | Place::LineStart))
    );
    let ends = matches!(
        items.last(),
        Some(Meaning::Place(
            Place::End | Place::EndOrLastLineFeed | Place::LineEnd
        ))
    );
    starts || ends
}

/// Whether some sequence in the pattern, look-arounds included, has a trait.
fn any_sequence(meaning: &Meaning, has: &dyn Fn(&[&Meaning]) -> bool) -> bool {
    let mut items = Vec::new();
    flatten(meaning, &mut items);
    has(&items)
        || items.iter().any(|item| match item {
            Meaning::Branch(nodes) => nodes.iter().any(|node| any_sequence(node, has)),
            Meaning::Repeat(repeat) => any_sequence(&repeat.node, has),
            Meaning::Atomic(node) | Meaning::Look(_, node) | Meaning::Capture(_, node) => {
                any_sequence(node, has)
            }
            Meaning::Condition(_, both) => any_sequence(&both.0, has) || any_sequence(&both.1, has),
            _ => false,
        })
}

/// A single dot with digits or fixed characters on both sides.
fn has_dot_between(items: &[&Meaning]) -> bool {
    items.windows(3).any(|three| {
        let [before, dot, after] = three else {
            return false;
        };
        is_dot(dot) && takes_digit_or_fixed(before) && takes_digit_or_fixed(after)
    })
}

fn ordinary(meaning: &Meaning) -> Option<u128> {
    match meaning {
        Meaning::Chars(set) => Some(set.ascii & ORDINARY),
        Meaning::Repeat(repeat) => ordinary(&repeat.node),
        Meaning::Sequence(nodes) => match nodes.as_slice() {
            [node] => ordinary(node),
            _ => None,
        },
        Meaning::Capture(_, node) => ordinary(node),
        _ => None,
    }
}

fn is_dot(meaning: &Meaning) -> bool {
    matches!(meaning, Meaning::Chars(set) if set.ascii & ORDINARY == ORDINARY)
}

fn takes_digit_or_fixed(meaning: &Meaning) -> bool {
    const DIGITS: u128 = 0x3ff << b'0';
    ordinary(meaning)
        .is_some_and(|set| set != ORDINARY && (set.count_ones() == 1 || set & DIGITS == DIGITS))
}

/// A fixed text whose last character is starred, as in a shell.
fn ends_in_glob_star(items: &[&Meaning]) -> bool {
    let [.., before, Meaning::Repeat(repeat)] = items else {
        return false;
    };
    let Loop {
        minimum: 0,
        maximum: None,
        ..
    } = **repeat
    else {
        return false;
    };
    let is_fixed = |meaning: &Meaning| ordinary(meaning).is_some_and(|set| set.count_ones() == 1);
    is_fixed(before) && is_fixed(&repeat.node)
}

fn covers_everything(matcher: &Matcher) -> bool {
    let Some(shape) = matcher.shape() else {
        return false;
    };
    shape.any_of.iter().any(|simple| {
        matches!(
            simple,
            Simple::Affixes { prefix, gap: Gap { minimum: 0 | 1, maximum: None, .. }, suffix }
                if prefix.is_empty() && suffix.is_empty()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Compiled, compile};
    use super::*;

    fn warned(pattern: &str) -> Vec<Warning> {
        match compile(pattern) {
            Compiled::Valid(matcher) => explain(&matcher).warnings,
            other => panic!("{pattern}: {other:?}"),
        }
    }

    #[test]
    fn usual_mistakes_are_pointed_out() {
        assert_eq!(warned(r"v\d+.\d+"), [Warning::UnescapedDot]);
        assert_eq!(warned("1.2"), [Warning::UnescapedDot]);
        assert_eq!(warned("^latest$"), [Warning::RedundantAnchor]);
        assert_eq!(warned(".*"), [Warning::CoversEverything]);
        assert_eq!(warned("release-*"), [Warning::GlobStar]);
        assert_eq!(warned("a{200}"), [Warning::MatchesNoTag]);
        assert_eq!(
            warned("(?:a|aa)*b"),
            [Warning::Slow(SlowReason::AmbiguousLoop)]
        );
    }

    #[test]
    fn careful_patterns_get_no_warning() {
        for pattern in [
            r"v\d+\.\d+",
            "release-.*",
            "latest",
            "[a-z]+.*",
            "(?!dev).*",
        ] {
            assert_eq!(warned(pattern), [], "{pattern}");
        }
    }
}

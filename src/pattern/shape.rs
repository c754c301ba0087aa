//! Patterns that are fixed texts with at most one gap: literals, prefixes, suffixes.
//!
//! A shape holds for every text, not only for ordinary tags, so that it can become SQL.

use super::automaton::ORDINARY;
use super::chars::{Beyond, CharSet};
use super::meaning::{Meaning, Place};

/// How many texts a shape may list.
const MAX_TEXTS: usize = 64;

/// One of several simple shapes must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The alternatives; never empty.
    pub any_of: Vec<Simple>,
}

/// Fixed texts, with at most one gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simple {
    /// This text.
    Literal(String),
    /// A text at the start, a gap, a text at the end; both may be empty.
    Affixes {
        /// At the start.
        prefix: String,
        /// Between.
        gap: Gap,
        /// At the end.
        suffix: String,
    },
    /// A text with anything around it.
    Contains {
        /// The text.
        text: String,
        /// Whether line feeds may be around it.
        line_feeds: bool,
    },
}

/// Any characters, so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// At least.
    pub minimum: u32,
    /// At most.
    pub maximum: Option<u32>,
    /// Whether line feeds are among them.
    pub line_feeds: bool,
}

impl Shape {
    /// The shape of a meaning, if it is so simple.
    pub fn of(meaning: &Meaning) -> Option<Self> {
        let mut any_of = Vec::new();
        collect(meaning, &mut any_of)?;
        (!any_of.is_empty() && any_of.len() <= MAX_TEXTS).then_some(Self { any_of })
    }

    /// Whether an ordinary tag matches.
    pub fn matches(&self, tag: &str) -> bool {
        self.any_of.iter().any(|simple| simple.matches(tag))
    }
}

impl Simple {
    /// Whether an ordinary tag, of one byte a character, matches.
    pub fn matches(&self, tag: &str) -> bool {
        match self {
            Self::Literal(text) => tag == text,
            Self::Affixes {
                prefix,
                gap,
                suffix,
            } => {
                let Some(between) = tag.len().checked_sub(prefix.len() + suffix.len()) else {
                    return false;
                };
                between >= gap.minimum as usize
                    && gap
                        .maximum
                        .is_none_or(|maximum| between <= maximum as usize)
                    && tag.starts_with(prefix.as_str())
                    && tag.ends_with(suffix.as_str())
            }
            Self::Contains { text, .. } => tag.contains(text.as_str()),
        }
    }
}

fn collect(meaning: &Meaning, shapes: &mut Vec<Simple>) -> Option<()> {
    if shapes.len() > MAX_TEXTS {
        return None;
    }
    match meaning {
        Meaning::Branch(nodes) if !nodes.is_empty() => {
            nodes.iter().try_for_each(|node| collect(node, shapes))
        }
        Meaning::Sequence(nodes) if nodes.len() == 1 => {
            nodes.iter().try_for_each(|node| collect(node, shapes))
        }
        _ => {
            let mut items = Vec::new();
            flatten(meaning, &mut items);
            let items = without_outer_places(&items);
            match with_gap(items) {
                Some(simple) => shapes.push(simple),
                None => shapes.extend(literals(items)?.into_iter().map(Simple::Literal)),
            }
            Some(())
        }
    }
}

fn flatten<'a>(meaning: &'a Meaning, items: &mut Vec<&'a Meaning>) {
    match meaning {
        Meaning::Sequence(nodes) => nodes.iter().for_each(|node| flatten(node, items)),
        other => items.push(other),
    }
}

/// A place at the very start or end that says just that says nothing.
fn without_outer_places<'a, 'b>(items: &'b [&'a Meaning]) -> &'b [&'a Meaning] {
    let is_start = |item: &&Meaning| {
        matches!(
            item,
            Meaning::Place(Place::Start | Place::LineStart | Place::UnicodeLineStart)
        )
    };
    let is_end = |item: &&Meaning| {
        matches!(
            item,
            Meaning::Place(
                Place::End
                    | Place::EndOrLastLineFeed
                    | Place::EndOrLastLineBreak
                    | Place::LineEnd
                    | Place::UnicodeLineEnd
            )
        )
    };
    let from = items.iter().take_while(|item| is_start(item)).count();
    let items = items.get(from..).unwrap_or_default();
    let behind = items.iter().rev().take_while(|item| is_end(item)).count();
    items.get(..items.len() - behind).unwrap_or_default()
}

/// One gap with texts around it, or one text with gaps around it.
fn with_gap(items: &[&Meaning]) -> Option<Simple> {
    let from = items.iter().position(|item| gap(item).is_some())?;
    let run = |from: usize| {
        items
            .iter()
            .skip(from)
            .take_while(|item| gap(item).is_some())
            .count()
    };
    let length = run(from);
    let between = joined(items.get(from..from + length)?)?;
    let rest = items.get(from + length..)?;
    let before = text(items.get(..from)?)?;
    if let Some(after) = text(rest) {
        return Some(Simple::Affixes {
            prefix: before,
            gap: between,
            suffix: after,
        });
    }
    let again = rest.iter().position(|item| gap(item).is_some())?;
    let behind = joined(rest.get(again..)?)?;
    let anything = Gap {
        minimum: 0,
        maximum: None,
        line_feeds: between.line_feeds,
    };
    (before.is_empty() && between == anything && behind == anything).then_some(())?;
    Some(Simple::Contains {
        text: text(rest.get(..again)?)?,
        line_feeds: between.line_feeds,
    })
}

/// A run of dots as one gap, if they all are gaps of one kind.
fn joined(items: &[&Meaning]) -> Option<Gap> {
    let mut gaps = items.iter().map(|item| gap(item));
    let first = gaps.next()??;
    gaps.try_fold(first, |sum, next| {
        let next = next?;
        (next.line_feeds == sum.line_feeds).then_some(Gap {
            minimum: sum.minimum.saturating_add(next.minimum),
            maximum: match (sum.maximum, next.maximum) {
                (Some(one), Some(other)) => Some(one.saturating_add(other)),
                _ => None,
            },
            line_feeds: sum.line_feeds,
        })
    })
}

/// A dot, or a dot repeated.
fn gap(meaning: &Meaning) -> Option<Gap> {
    match meaning {
        Meaning::Chars(set) => dot(set).map(|line_feeds| Gap {
            minimum: 1,
            maximum: Some(1),
            line_feeds,
        }),
        Meaning::Repeat(repeat) => {
            let inner = gap(&repeat.node)?;
            (inner.minimum == 1 && inner.maximum == Some(1)).then_some(Gap {
                minimum: repeat.minimum,
                maximum: repeat.maximum,
                line_feeds: inner.line_feeds,
            })
        }
        Meaning::Sequence(nodes) => match nodes.as_slice() {
            [node] => gap(node),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a set is a dot, and then whether it takes line feeds.
fn dot(set: &CharSet) -> Option<bool> {
    let everything = Beyond::Known(vec![('\u{80}', '\u{d7ff}'), ('\u{e000}', '\u{10ffff}')]);
    if set.beyond != everything {
        None
    } else if set.ascii == u128::MAX {
        Some(true)
    } else if set.ascii == !(1 << b'\n') {
        Some(false)
    } else {
        None
    }
}

fn text(items: &[&Meaning]) -> Option<String> {
    let mut texts = literals(items)?;
    (texts.len() == 1).then(|| texts.swap_remove(0))
}

/// All texts that the items match, if they are few.
fn literals(items: &[&Meaning]) -> Option<Vec<String>> {
    let mut texts = vec![String::new()];
    for item in items {
        let endings = endings(item)?;
        if texts.len().checked_mul(endings.len())? > MAX_TEXTS {
            return None;
        }
        texts = texts
            .iter()
            .flat_map(|text| endings.iter().map(move |ending| format!("{text}{ending}")))
            .collect();
    }
    texts.sort_unstable();
    texts.dedup();
    (!texts.is_empty()).then_some(texts)
}

fn endings(meaning: &Meaning) -> Option<Vec<String>> {
    match meaning {
        Meaning::Chars(set) => characters(set),
        Meaning::Sequence(nodes) => literals(&nodes.iter().collect::<Vec<_>>()),
        Meaning::Capture(_, node) => endings(node),
        Meaning::Branch(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                all.extend(endings(node)?);
                if all.len() > MAX_TEXTS {
                    return None;
                }
            }
            Some(all)
        }
        Meaning::Repeat(repeat) => {
            let maximum = repeat.maximum.filter(|&maximum| maximum <= 16)?;
            let once = [&repeat.node];
            let mut all = Vec::new();
            for times in repeat.minimum..=maximum {
                let items: Vec<&Meaning> = (0..times).flat_map(|_| once).collect();
                all.extend(literals(&items)?);
                if all.len() > MAX_TEXTS {
                    return None;
                }
            }
            Some(all)
        }
        _ => None,
    }
}

fn characters(set: &CharSet) -> Option<Vec<String>> {
    let Beyond::Known(ranges) = &set.beyond else {
        return None;
    };
    let beyond: usize = ranges
        .iter()
        .map(|&(low, high)| (low..=high).take(MAX_TEXTS + 1).count())
        .sum();
    let count = set.ascii.count_ones() as usize + beyond;
    // Control characters are left to the engines; an empty set matches nothing and has no texts.
    if count == 0 || count > MAX_TEXTS || set.ascii & !ORDINARY != 0 {
        return None;
    }
    let ascii = (0..128_u8)
        .filter(|&byte| set.ascii >> byte & 1 == 1)
        .map(char::from);
    let beyond = ranges.iter().flat_map(|&(low, high)| low..=high);
    Some(ascii.chain(beyond).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Compiled, compile};
    use super::*;

    fn shape(pattern: &str) -> Option<Shape> {
        match compile(pattern) {
            Compiled::Valid(matcher) => matcher.shape().cloned(),
            other => panic!("{pattern}: {other:?}"),
        }
    }

    fn texts(pattern: &str) -> Vec<String> {
        let any_of = shape(pattern).map(|shape| shape.any_of).unwrap_or_default();
        any_of
            .into_iter()
            .map(|simple| match simple {
                Simple::Literal(text) => text,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn few_texts_are_listed() {
        assert_eq!(texts("^latest$"), ["latest"]);
        assert_eq!(texts("dev|test"), ["dev", "test"]);
        assert_eq!(
            texts("v[12](a|b)?"),
            ["v1", "v1a", "v1b", "v2", "v2a", "v2b"]
        );
        assert_eq!(texts("(?i)v1"), ["V1", "v1"]);
        assert_eq!(shape(r"v\d+"), None);
    }

    #[test]
    fn an_ignored_k_is_also_a_kelvin_sign_so_that_sql_finds_it() {
        assert_eq!(texts("(?i)k"), ["K", "k", "\u{212a}"]);
    }

    #[test]
    fn a_gap_has_its_length() {
        let one = |pattern| shape(pattern).and_then(|shape| shape.any_of.into_iter().next());
        assert_eq!(
            one("v.+-rc"),
            Some(Simple::Affixes {
                prefix: "v".to_owned(),
                gap: Gap {
                    minimum: 1,
                    maximum: None,
                    line_feeds: false
                },
                suffix: "-rc".to_owned(),
            })
        );
        assert_eq!(
            one(".*beta.*"),
            Some(Simple::Contains {
                text: "beta".to_owned(),
                line_feeds: false
            })
        );
        assert_eq!(one(".+beta.*"), None);
    }
}

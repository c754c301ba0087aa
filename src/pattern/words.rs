//! A pattern's meaning in words.

use super::automaton::ORDINARY;
use super::chars::CharSet;
use super::meaning::{Loop, Meaning, Place};
use super::tree::Look;

/// Longer descriptions are cut.
const MAX_CHARS: usize = 2000;

/// Sets that have a name of their own, among printable ASCII.
const NAMED: &[(&str, &str)] = &[
    ("a digit", "0-9"),
    ("a lower-case letter", "a-z"),
    ("an upper-case letter", "A-Z"),
    ("a letter", "A-Za-z"),
    ("a letter or digit", "0-9A-Za-z"),
    ("a lower-case letter or digit", "0-9a-z"),
    ("a hexadecimal digit", "0-9A-Fa-f"),
    ("a lower-case hexadecimal digit", "0-9a-f"),
    ("a letter, digit or underscore", "0-9A-Z_a-z"),
    ("a space", " "),
];

/// Describes a meaning.
pub fn describe(meaning: &Meaning) -> String {
    let mut words = phrase(meaning);
    if words.is_empty() {
        words = "nothing: only the empty tag".to_owned();
    }
    if words.chars().count() > MAX_CHARS {
        words = words.chars().take(MAX_CHARS).collect();
        words.push_str(" …");
    }
    words
}

fn phrase(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Never => "something that never matches".to_owned(),
        Meaning::Chars(set) => character(set),
        Meaning::Sequence(_) => sequence(meaning),
        Meaning::Branch(nodes) => {
            let choices: Vec<String> = nodes
                .iter()
                .map(|node| match phrase(node) {
                    words if words.is_empty() => "nothing".to_owned(),
                    words => words,
                })
                .collect();
            match choices.len() {
                1 => choices.join(""),
                _ => format!("either ({})", choices.join(") or (")),
            }
        }
        Meaning::Repeat(repeat) => repeated(repeat),
        Meaning::Atomic(node) => format!("({}), as much as it can and never less", phrase(node)),
        Meaning::Look(look, node) => {
            let place = match look {
                Look::Ahead => "here comes",
                Look::NotAhead => "here does not come",
                Look::Behind => "just before stands",
                Look::NotBehind => "just before does not stand",
            };
            format!("[{place}: {}]", phrase(node))
        }
        Meaning::Capture(number, node) => format!("({}) as group {number}", phrase(node)),
        Meaning::Reference(number, _) => format!("what group {number} took, again"),
        Meaning::Condition(number, both) => format!(
            "if group {number} took something ({}), else ({})",
            phrase(&both.0),
            phrase(&both.1)
        ),
        Meaning::Place(place) => match place {
            Place::Start | Place::LineStart | Place::UnicodeLineStart => "[the start]",
            Place::End
            | Place::EndOrLastLineFeed
            | Place::EndOrLastLineBreak
            | Place::LineEnd
            | Place::UnicodeLineEnd => "[the end]",
            Place::WordBoundary => "[a word's edge]",
            Place::NotWordBoundary => "[no word's edge]",
            Place::WordStart => "[a word's start]",
            Place::WordEnd => "[a word's end]",
        }
        .to_owned(),
    }
}

fn sequence(meaning: &Meaning) -> String {
    let mut items = Vec::new();
    flatten(meaning, &mut items);
    let mut phrases: Vec<String> = Vec::new();
    let mut text = String::new();
    for item in items {
        match item {
            Meaning::Chars(set) if fixed(set).is_some() => text.extend(fixed(set)),
            _ => {
                flush(&mut text, &mut phrases);
                phrases.push(phrase(item));
            }
        }
    }
    flush(&mut text, &mut phrases);
    phrases.retain(|words| !words.is_empty());
    phrases.join(", then ")
}

fn flush(text: &mut String, phrases: &mut Vec<String>) {
    if !text.is_empty() {
        phrases.push(format!("\"{text}\""));
        text.clear();
    }
}

fn flatten<'a>(meaning: &'a Meaning, items: &mut Vec<&'a Meaning>) {
    match meaning {
        Meaning::Sequence(nodes) => nodes.iter().for_each(|node| flatten(node, items)),
        other => items.push(other),
    }
}

/// The only ordinary character of a set.
fn fixed(set: &CharSet) -> Option<char> {
    let ordinary = set.ascii & ORDINARY;
    (ordinary.count_ones() == 1)
        .then(|| char::from_u32(ordinary.trailing_zeros()))
        .flatten()
}

fn character(set: &CharSet) -> String {
    let ordinary = set.ascii & ORDINARY;
    if let Some(character) = fixed(set) {
        return format!("\"{character}\"");
    }
    if ordinary == ORDINARY {
        return "any character".to_owned();
    }
    if ordinary == 0 {
        return "a character that no ordinary tag has".to_owned();
    }
    if let Some(name) = named(ordinary) {
        return name.to_owned();
    }
    let others = ORDINARY & !ordinary;
    match named(others) {
        Some(name) => format!("any character but {name}"),
        None if others.count_ones() < ordinary.count_ones() => {
            format!("any character but one of {}", listed(others))
        }
        None => format!("one of {}", listed(ordinary)),
    }
}

fn named(set: u128) -> Option<&'static str> {
    NAMED
        .iter()
        .find(|(_, ranges)| ranges_of(ranges) == set)
        .map(|(name, _)| *name)
}

fn ranges_of(text: &str) -> u128 {
    let bytes = text.as_bytes();
    let mut set = 0;
    let mut at = 0;
    while let Some(&low) = bytes.get(at) {
        let is_range = bytes.get(at + 1) == Some(&b'-');
        let high = if is_range {
            bytes.get(at + 2).copied().unwrap_or(low)
        } else {
            low
        };
        for byte in low..=high {
            set |= 1_u128 << byte;
        }
        at += if is_range { 3 } else { 1 };
    }
    set
}

/// A set as ranges, in the order of the characters.
fn listed(set: u128) -> String {
    let mut parts = Vec::new();
    let mut low = 0_u32;
    while low < 128 {
        if set >> low & 1 == 0 {
            low += 1;
            continue;
        }
        let run = (set >> low).trailing_ones();
        let high = low + run - 1;
        let name = |value: u32| char::from_u32(value).map(String::from).unwrap_or_default();
        parts.push(match run {
            1 => name(low),
            2 => format!("{} {}", name(low), name(high)),
            _ => format!("{}-{}", name(low), name(high)),
        });
        low = high + 1;
    }
    parts.join(" ").replace("  ", " the space ")
}

fn repeated(repeat: &Loop) -> String {
    let once = phrase(&repeat.node);
    let what = match &repeat.node {
        Meaning::Sequence(nodes) if nodes.len() != 1 => format!("({once})"),
        _ => once,
    };
    let how_often = match (repeat.minimum, repeat.maximum) {
        (0, None) => "any number of times".to_owned(),
        (1, None) => "once or more".to_owned(),
        (0, Some(1)) => "or nothing".to_owned(),
        (minimum, None) => format!("{minimum} times or more"),
        (0, Some(maximum)) => format!("at most {maximum} times"),
        (minimum, Some(maximum)) if minimum == maximum => format!("{minimum} times"),
        (minimum, Some(maximum)) => format!("{minimum} to {maximum} times"),
    };
    format!("{what} {how_often}")
}

#[cfg(test)]
mod tests {
    use super::super::{Compiled, compile};
    use super::*;

    fn words(pattern: &str) -> String {
        match compile(pattern) {
            Compiled::Valid(matcher) => describe(matcher.meaning()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn patterns_read_like_sentences() {
        assert_eq!(
            words(r"v\d+\.\d+"),
            "\"v\", then a digit once or more, then \".\", then a digit once or more"
        );
        assert_eq!(
            words("(?:dev|test)-.*"),
            "either (\"dev\") or (\"test\"), then \"-\", then any character any number of times"
        );
        assert_eq!(
            words("(?!latest$).+"),
            "[here does not come: \"latest\", then [the end]], then any character once or more"
        );
        assert_eq!(words("[^a-f]"), "any character but one of a-f");
    }
}

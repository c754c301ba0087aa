//! Which characters a one-character node takes: every ASCII character exactly, the rest if known.

use super::flags::Case;
use super::one::{One, OneKind, SetOperation};

/// The characters of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharSet {
    /// Bit n for character n below 128.
    pub ascii: u128,
    /// The characters from 128 on.
    pub beyond: Beyond,
}

/// What is known about characters outside ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Exactly these ranges, ascending, both ends included.
    Known(Vec<(char, char)>),
    /// It depends on Unicode tables of a certain version.
    Unknown,
}

/// Which letters are the same when case is ignored: the flag that stands at the pattern's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// `(?a)`: ASCII letters only.
    Ascii,
    /// Unicode's, with the engine's Turkish i.
    Unicode,
}

/// Characters outside ASCII that have an ASCII letter as another case.
pub const ASCII_RELATIVES: [(u32, &[u8]); 4] = [
    (0x130, b"i"),
    (0x131, b"I"),
    (0x17f, b"sS"),
    (0x212a, b"kK"),
];

/// A value that no item of a set names.
const NOWHERE: u32 = u32::MAX;

impl CharSet {
    /// The characters that `one` takes.
    pub fn of(one: &One, alphabet: Alphabet) -> Self {
        Self {
            ascii: ascii(one, alphabet),
            beyond: beyond(one, alphabet),
        }
    }
}

/// The ASCII characters that the node takes. Most nodes are one letter, and need not be asked about each.
fn ascii(one: &One, alphabet: Alphabet) -> u128 {
    if let (OneKind::Literal(value), false) = (&one.kind, one.case.is_ignored()) {
        let own = if *value < 128 { 1 << value } else { 0 };
        return if one.positive { own } else { !own };
    }
    let mut ascii = 0;
    for character in 0..128_u32 {
        if takes(one, character, alphabet) {
            ascii |= 1 << character;
        }
    }
    ascii
}

/// Whether the node takes this character.
fn takes(one: &One, character: u32, alphabet: Alphabet) -> bool {
    if !one.case.is_ignored() {
        return member(one, character) == one.positive;
    }
    let cases = cases(character, alphabet);
    let inside = match &one.kind {
        OneKind::Property(value) => value.holds_ignoring_case(character),
        OneKind::Literal(value) => cases_of_literal(*value, alphabet).contains(&character),
        OneKind::Set(operation, items) => {
            set_holds(*operation, items, |item| member_ignoring_case(item, &cases))
        }
        _ => cases.iter().any(|&case| member(one, case)),
    };
    inside == one.positive
}

/// Whether the node's positive form holds the character, case minded.
fn member(one: &One, character: u32) -> bool {
    match &one.kind {
        OneKind::Literal(value) => *value == character,
        OneKind::Property(value) => value.holds(character),
        OneKind::Range(low, high) => (*low..=*high).contains(&character),
        OneKind::Everything => true,
        OneKind::NotLineFeed => character != 0x0a,
        OneKind::NotLineBreak => !matches!(character, 0x0a..=0x0d | 0x85 | 0x2028 | 0x2029),
        OneKind::Set(operation, items) => {
            set_holds(*operation, items, |item| member(item, character))
        }
    }
}

/// Whether the node's positive form holds any case of a character.
fn member_ignoring_case(one: &One, cases: &[u32]) -> bool {
    cases.iter().any(|&case| member(one, case))
}

fn set_holds(operation: SetOperation, items: &[One], inside: impl Fn(&One) -> bool) -> bool {
    let mut holding = items.iter().map(|item| inside(item) == item.positive);
    match operation {
        SetOperation::Union => {
            // The engine compiles all negative literals of a union into one list, and then takes
            // what is on none of its places rather than what is off any.
            let negative = |item: &&One| matches!(item.kind, OneKind::Literal(_)) && !item.positive;
            let mut refused = items.iter().filter(negative).peekable();
            (refused.peek().is_some() && refused.all(|item| !inside(item)))
                || items
                    .iter()
                    .filter(|item| !negative(item))
                    .any(|item| inside(item) == item.positive)
        }
        SetOperation::Intersection => holding.all(|holds| holds),
        SetOperation::Difference => holding.next().unwrap_or(false) && !holding.any(|holds| holds),
        SetOperation::SymmetricDifference => holding.filter(|&holds| holds).count() % 2 == 1,
    }
}

/// All cases of a character of the tag.
fn cases(character: u32, alphabet: Alphabet) -> Vec<u32> {
    let mut cases = vec![character];
    if let Some(letter) = ascii_letter(character) {
        cases.push(u32::from(letter ^ 0x20));
    }
    if alphabet == Alphabet::Unicode {
        for (relative, letters) in ASCII_RELATIVES {
            if ascii_letter(character).is_some_and(|letter| letters.contains(&letter)) {
                cases.push(relative);
            }
            if relative == character {
                cases.extend(letters.iter().map(|&letter| u32::from(letter)));
            }
        }
    }
    cases
}

/// All cases of a literal of the pattern; the engine looks from the literal's side there.
fn cases_of_literal(value: u32, alphabet: Alphabet) -> Vec<u32> {
    cases(value, alphabet)
}

fn ascii_letter(character: u32) -> Option<u8> {
    u8::try_from(character).ok().filter(u8::is_ascii_alphabetic)
}

fn beyond(one: &One, alphabet: Alphabet) -> Beyond {
    if one.case == Case::Folded || mentions_a_property(one) {
        return Beyond::Unknown;
    }
    let mut marks = Vec::new();
    collect_marks(one, &mut marks);
    if one.case.is_ignored() {
        if marks.iter().any(|&mark| mark > 0x80) {
            return Beyond::Unknown;
        }
        return Beyond::Known(ranges_of(
            &[0x80, 0x130, 0x132, 0x17f, 0x180, 0x212a, 0x212b],
            |start| match start {
                0x130 => None,
                0x17f | 0x212a => Some(takes(one, start, alphabet)),
                _ => Some(takes(one, NOWHERE, alphabet)),
            },
            |character| takes(one, character, alphabet),
        ));
    }
    marks.push(0x80);
    marks.retain(|&mark| (0x80..=0x10_ffff).contains(&mark));
    marks.sort_unstable();
    marks.dedup();
    Beyond::Known(ranges_of(
        &marks,
        |start| Some(takes(one, start, alphabet)),
        |character| takes(one, character, alphabet),
    ))
}

/// Ranges between marks on which membership does not change; where `of_range` cannot tell, each
/// character is asked.
fn ranges_of(
    marks: &[u32],
    of_range: impl Fn(u32) -> Option<bool>,
    of_character: impl Fn(u32) -> bool,
) -> Vec<(char, char)> {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let ends = marks.iter().skip(1).copied().chain([0x11_0000]);
    for (&start, end) in marks.iter().zip(ends) {
        match of_range(start) {
            Some(true) => push_scalars(&mut ranges, start, end - 1),
            Some(false) => {}
            None => {
                for character in (start..end).filter(|&character| of_character(character)) {
                    push_scalars(&mut ranges, character, character);
                }
            }
        }
    }
    ranges
}

/// Adds a range, without the surrogates, which no text holds.
fn push_scalars(ranges: &mut Vec<(char, char)>, low: u32, high: u32) {
    for (low, high) in [(low, high.min(0xd7ff)), (low.max(0xe000), high)] {
        if let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
            && low <= high
        {
            ranges.push((low, high));
        }
    }
}

fn mentions_a_property(one: &One) -> bool {
    match &one.kind {
        OneKind::Property(_) => true,
        OneKind::Set(_, items) => items.iter().any(mentions_a_property),
        _ => false,
    }
}

/// Where membership may change.
fn collect_marks(one: &One, marks: &mut Vec<u32>) {
    match &one.kind {
        OneKind::Literal(value) => marks.extend([*value, value.saturating_add(1)]),
        OneKind::Range(low, high) => marks.extend([*low, high.saturating_add(1)]),
        OneKind::NotLineBreak => marks.extend([0x85, 0x86, 0x2028, 0x202a]),
        OneKind::Set(_, items) => items.iter().for_each(|item| collect_marks(item, marks)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii(one: &One) -> String {
        let set = CharSet::of(one, Alphabet::Unicode);
        (0_u8..128)
            .filter(|&c| set.ascii >> c & 1 == 1)
            .map(char::from)
            .collect()
    }

    fn literal(character: char, case: Case) -> One {
        One::literal(u32::from(character), case)
    }

    #[test]
    fn the_turkish_dotless_i_is_an_upper_case_i_only() {
        assert_eq!(ascii(&literal('\u{131}', Case::Ignored)), "I");
        assert_eq!(ascii(&literal('\u{130}', Case::Ignored)), "i");
        assert_eq!(ascii(&literal('\u{212a}', Case::Ignored)), "Kk");
    }

    #[test]
    fn a_negative_class_takes_everything_outside_ascii() {
        let one = One {
            positive: false,
            ..literal('a', Case::Exact)
        };
        let set = CharSet::of(&one, Alphabet::Unicode);
        assert_eq!(set.ascii, !(1 << b'a'));
        assert_eq!(
            set.beyond,
            Beyond::Known(vec![('\u{80}', '\u{d7ff}'), ('\u{e000}', '\u{10ffff}')])
        );
    }

    #[test]
    fn negative_literals_in_one_union_exclude_each_other() {
        let not = |character| One {
            positive: false,
            ..literal(character, Case::Exact)
        };
        let both = One::union(vec![not('a'), not('b')]);
        assert_eq!(ascii(&both).len(), 126);
    }

    #[test]
    fn an_ignored_k_is_also_the_kelvin_sign() {
        let set = CharSet::of(&literal('k', Case::Ignored), Alphabet::Unicode);
        assert_eq!(set.beyond, Beyond::Known(vec![('\u{212a}', '\u{212a}')]));
        let set = CharSet::of(&literal('k', Case::Ignored), Alphabet::Ascii);
        assert_eq!(set.beyond, Beyond::Known(vec![]));
    }
}

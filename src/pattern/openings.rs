//! The ASCII characters that a matching text can begin with: one look turns most tags away.
//!
//! The set may hold too many, never too few. A text that begins with another character, or is
//! empty, is let in.

use super::meaning::{Meaning, Understood};

/// ASCII characters, bit n for character n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openings(u128);

impl Openings {
    /// Every character.
    pub const ALL: Self = Self(u128::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    /// What a pattern's matches can begin with.
    pub(super) fn of(understood: &Understood) -> Self {
        // What such a pattern takes of control characters is not known.
        if understood.reservations.controls {
            return Self::ALL;
        }
        Self(gather(&understood.meaning).characters)
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether a text may match.
    pub fn let_in(self, text: &str) -> bool {
        match text.bytes().next() {
            Some(byte) if byte < 128 => self.holds(byte),
            _ => true,
        }
    }

    /// Whether a character is one of them.
    pub fn holds(self, character: u8) -> bool {
        character < 128 && self.0 >> character & 1 == 1
    }

    /// The characters.
    pub fn characters(self) -> impl Iterator<Item = u8> {
        (0..128_u8).filter(move |character| self.holds(*character))
    }
}

/// What a node begins with.
struct Begin {
    characters: u128,
    /// It may take no character; what comes after it then begins.
    may_be_nothing: bool,
}

impl Begin {
    const NOTHING: Self = Self {
        characters: 0,
        may_be_nothing: true,
    };
}

fn gather(meaning: &Meaning) -> Begin {
    match meaning {
        Meaning::Never => Begin {
            characters: 0,
            may_be_nothing: false,
        },
        Meaning::Chars(set) => Begin {
            characters: set.ascii,
            may_be_nothing: false,
        },
        Meaning::Sequence(nodes) => {
            let mut all = Begin::NOTHING;
            for node in nodes {
                let next = gather(node);
                all.characters |= next.characters;
                if !next.may_be_nothing {
                    all.may_be_nothing = false;
                    break;
                }
            }
            all
        }
        Meaning::Branch(nodes) => any_of(nodes.iter()),
        Meaning::Condition(_, either) => any_of([&either.0, &either.1].into_iter()),
        Meaning::Repeat(repeat) if repeat.maximum == Some(0) => Begin::NOTHING,
        Meaning::Repeat(repeat) => {
            let mut begin = gather(&repeat.node);
            begin.may_be_nothing |= repeat.minimum == 0;
            begin
        }
        Meaning::Atomic(node) | Meaning::Capture(_, node) => gather(node),
        Meaning::Look(..) | Meaning::Place(_) => Begin::NOTHING,
        // A look-ahead may have taken the group, so that nothing need stand before it.
        Meaning::Reference(..) => Begin {
            characters: u128::MAX,
            may_be_nothing: true,
        },
    }
}

fn any_of<'a>(nodes: impl Iterator<Item = &'a Meaning>) -> Begin {
    let mut all = Begin {
        characters: 0,
        may_be_nothing: false,
    };
    for node in nodes {
        let next = gather(node);
        all.characters |= next.characters;
        all.may_be_nothing |= next.may_be_nothing;
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::pattern::{Compiled, compile};

    fn openings(pattern: &str) -> Option<String> {
        match compile(pattern) {
            Compiled::Valid(matcher) => {
                let characters = matcher.openings().characters();
                Some(characters.map(char::from).collect())
            }
            Compiled::Invalid(_) | Compiled::Undecidable(_) => None,
        }
    }

    #[test]
    fn what_a_match_begins_with_is_seen_through_what_takes_nothing() {
        for (pattern, begins) in [
            ("v.*", "v"),
            ("release-.*|stable", "rs"),
            ("(?i)v1", "Vv"),
            (r"^(?:a|b)?[c-e]x$", "abcde"),
            (r"(?=q)z", "z"),
            (r"(?>x*)y", "xy"),
            ("a{0}b", "b"),
            ("[0-9]+", "0123456789"),
            ("", ""),
            ("(?!)", ""),
        ] {
            assert_eq!(openings(pattern).as_deref(), Some(begins), "{pattern}");
        }
        for pattern in [".*-rc", "[^a]x", r"(x?)\1b"] {
            let begins = openings(pattern).unwrap_or_default();
            assert!(begins.contains('b'), "{pattern}");
            assert!(begins.len() > 90, "{pattern}");
        }
    }
}

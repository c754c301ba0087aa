//! A tag's name in parts: runs of digits, runs of letters, and what stands between them.

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Word<'n> {
    /// ASCII digits.
    Digits(&'n str),
    /// ASCII letters.
    Letters(&'n str),
    /// Anything else, a character each.
    Mark(&'n str),
}

impl<'n> Word<'n> {
    /// The text.
    pub(super) fn text(&self) -> &'n str {
        match self {
            Self::Digits(text) | Self::Letters(text) | Self::Mark(text) => text,
        }
    }

    /// Whether it is a run of digits.
    pub(super) fn is_digits(&self) -> bool {
        matches!(self, Self::Digits(_))
    }

    /// Whether both are of one kind, and alike but for the digits.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Digits(_), Self::Digits(_)) => true,
            _ => self == other,
        }
    }
}

/// The parts of a name, in order.
pub(super) fn words<'n>(name: &'n str) -> Vec<Word<'n>> {
    let mut words = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(&char) -> bool| -> usize {
            rest.chars().take_while(is).map(char::len_utf8).sum()
        };
        let (word, length): (fn(&'n str) -> Word<'n>, usize) = if first.is_ascii_digit() {
            (Word::Digits, run(char::is_ascii_digit))
        } else if first.is_ascii_alphabetic() {
            (Word::Letters, run(char::is_ascii_alphabetic))
        } else {
            (Word::Mark, first.len_utf8())
        };
        let (text, after) = rest.split_at(length);
        words.push(word(text));
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_falls_into_its_parts_and_nothing_is_lost() {
        let name = "v1.20-rc3\u{e4}";
        let parts = words(name);
        assert_eq!(
            parts[..4],
            [
                Word::Letters("v"),
                Word::Digits("1"),
                Word::Mark("."),
                Word::Digits("20")
            ]
        );
        let whole: String = parts.iter().map(Word::text).collect();
        assert_eq!(whole, name);
        assert!(words("").is_empty());
    }
}

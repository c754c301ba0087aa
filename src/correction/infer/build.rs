//! Patterns put together from parts, each with what it costs a person to think of it.

use super::words::Word;
use crate::quay::Polarity;

/// The longest pattern that Quay takes, in characters (immutability.py:95-112).
pub(super) const LONGEST: usize = 256;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// `[0-9]+`.
    Digits,
    /// `[0-9]{n}`.
    DigitsOf(usize),
    /// `[0-9a-f]{n}`.
    HexOf(usize),
    /// `.*`.
    Anything,
    /// `(?:\.[0-9]+)+`, with this mark.
    Numbered(String),
}

impl Part {
    fn text(&self) -> String {
        match self {
            Self::Literal(text) => escaped(text),
            Self::Digits => "[0-9]+".to_owned(),
            Self::DigitsOf(n) => format!("[0-9]{{{n}}}"),
            Self::HexOf(n) => format!("[0-9a-f]{{{n}}}"),
            Self::Anything => ".*".to_owned(),
            Self::Numbered(mark) => format!("(?:{}[0-9]+)+", escaped(mark)),
        }
    }

    /// In characters that have to be thought of, about: a class takes more than a letter.
    fn cost(&self) -> u32 {
        match self {
            Self::Literal(text) => {
                // A number in a pattern means one version of many: rarely what a policy is for.
                let numbers = text.chars().filter(char::is_ascii_digit).count();
                u32::try_from(text.chars().count() + 3 * numbers).unwrap_or(u32::MAX)
            }
            Self::Anything => 3,
            Self::Digits => 5,
            Self::DigitsOf(_) | Self::HexOf(_) => 7,
            Self::Numbered(_) => 6,
        }
    }
}

/// A sequence of parts: one branch of a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Branch(pub(super) Vec<Part>);

impl Branch {
    pub(super) fn literal(text: &str) -> Self {
        Self(vec![Part::Literal(text.to_owned())])
    }

    /// The same with something behind it.
    pub(super) fn then(mut self, part: Part) -> Self {
        self.0.push(part);
        self
    }

    /// The words of a name with every number generalised, `v1.2` as `v[0-9]+\.[0-9]+`.
    pub(super) fn of_words(words: &[Word<'_>]) -> Self {
        let parts = words.iter().map(|word| match word {
            Word::Digits(_) => Part::Digits,
            other => Part::Literal(other.text().to_owned()),
        });
        Self(joined(parts.collect()))
    }

    pub(super) fn text(&self) -> String {
        self.0.iter().map(Part::text).collect()
    }

    pub(super) fn cost(&self) -> u32 {
        match self.0.as_slice() {
            // It says nothing of the tags that it takes: where anything simple does, that is likelier.
            [Part::Anything] => 21,
            // People think of beginnings first.
            [Part::Anything, rest @ ..] => 8 + rest.iter().map(Part::cost).sum::<u32>(),
            parts => parts.iter().map(Part::cost).sum(),
        }
    }
}

/// Literals side by side are one.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Literal(before)), Part::Literal(more)) => before.push_str(&more),
            (_, part) => joined.push(part),
        }
    }
    joined
}

/// A pattern to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) pattern: String,
    pub(super) polarity: Polarity,
    /// How much a person had to think of: the less, the likelier.
    pub(super) cost: u32,
}

impl Candidate {
    /// Some branches, of which any may match.
    pub(super) fn any_of(branches: &[Branch], polarity: Polarity) -> Self {
        let texts: Vec<String> = branches.iter().map(Branch::text).collect();
        let costs: u32 = branches.iter().map(Branch::cost).sum();
        let more = u32::try_from(branches.len().saturating_sub(1)).unwrap_or(u32::MAX);
        Self {
            pattern: texts.join("|"),
            polarity,
            cost: costs.saturating_add(more.saturating_mul(6)).saturating_add(
                if polarity == Polarity::NotMatching {
                    6
                } else {
                    0
                },
            ),
        }
    }
}

/// A text that stands for itself in Quay's dialect.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

//! Inline flags of the dialect, as bits: which are on decides how the text after them is read.

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// No flag at all.
    pub const NONE: Self = Self(0);
    /// `a`: classes know ASCII only.
    pub const ASCII: Self = Self(1);
    /// `L`: classes follow the locale.
    pub const LOCALE: Self = Self(1 << 1);
    /// `u`: classes follow Unicode.
    pub const UNICODE: Self = Self(1 << 2);
    /// `b`: best fuzzy match.
    pub const BEST_MATCH: Self = Self(1 << 3);
    /// `e`: a better fuzzy match.
    pub const ENHANCE_MATCH: Self = Self(1 << 4);
    /// `f`: full case folding (one character may equal two).
    pub const FULL_CASE: Self = Self(1 << 5);
    /// `i`: case is ignored.
    pub const IGNORE_CASE: Self = Self(1 << 6);
    /// `m`: `^` and `$` also hold at line breaks.
    pub const MULTILINE: Self = Self(1 << 7);
    /// `p`: leftmost-longest.
    pub const POSIX: Self = Self(1 << 8);
    /// `r`: matches from the end backwards.
    pub const REVERSE: Self = Self(1 << 9);
    /// `s`: the dot takes line breaks too.
    pub const DOT_ALL: Self = Self(1 << 10);
    /// `V0`: the dialect that Quay gets by default.
    pub const VERSION_0: Self = Self(1 << 11);
    /// `V1`: the dialect with set operators.
    pub const VERSION_1: Self = Self(1 << 12);
    /// `w`: Unicode's own word and line boundaries.
    pub const WORD: Self = Self(1 << 13);
    /// `x`: white space and comments are skipped.
    pub const VERBOSE: Self = Self(1 << 14);

    /// Which characters classes know.
    pub const ENCODINGS: Self = Self(Self::ASCII.0 | Self::LOCALE.0 | Self::UNICODE.0);
    /// Both versions.
    pub const VERSIONS: Self = Self(Self::VERSION_0.0 | Self::VERSION_1.0);
    /// Flags that hold for the whole pattern wherever they stand.
    pub const GLOBAL: Self = Self(
        Self::VERSIONS.0
            | Self::BEST_MATCH.0
            | Self::ENHANCE_MATCH.0
            | Self::POSIX.0
            | Self::REVERSE.0,
    );

    /// Whether any of `other`'s flags is on.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no flag is on.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The flag that a letter (or `V0`, `V1`) stands for.
    pub fn from_letter(letter: char, version: Option<char>) -> Option<Self> {
        Some(match (letter, version) {
            ('a', None) => Self::ASCII,
            ('b', None) => Self::BEST_MATCH,
            ('e', None) => Self::ENHANCE_MATCH,
            ('f', None) => Self::FULL_CASE,
            ('i', None) => Self::IGNORE_CASE,
            ('L', None) => Self::LOCALE,
            ('m', None) => Self::MULTILINE,
            ('p', None) => Self::POSIX,
            ('r', None) => Self::REVERSE,
            ('s', None) => Self::DOT_ALL,
            ('u', None) => Self::UNICODE,
            ('V', Some('0')) => Self::VERSION_0,
            ('V', Some('1')) => Self::VERSION_1,
            ('w', None) => Self::WORD,
            ('x', None) => Self::VERBOSE,
            _ => return None,
        })
    }

    /// How a literal or class under these flags treats case.
    pub fn case(self) -> Case {
        match (
            self.has(Self::IGNORE_CASE),
            self.has(Self::FULL_CASE) && !self.has(Self::ASCII),
        ) {
            (false, _) => Case::Exact,
            (true, false) => Case::Ignored,
            (true, true) => Case::Folded,
        }
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// How one character of a pattern treats case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Case {
    /// `a` is `a`.
    #[default]
    Exact,
    /// `a` is also `A`; one character stays one.
    Ignored,
    /// As `Ignored`, and one character may equal two (`ß` and `ss`).
    Folded,
}

impl Case {
    /// Whether case is ignored at all.
    pub fn is_ignored(self) -> bool {
        self != Self::Exact
    }
}

//! The typed tree that a pattern is read into.

use super::flags::{Case, Flags};
use super::one::One;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// One character.
    One(One),
    /// A place in the text.
    Assertion(Assertion),
    /// One node after another.
    Sequence(Vec<Node>),
    /// One node or another.
    Branch(Vec<Node>),
    /// A node several times.
    Repeat(Box<Repeat>),
    /// `(...)`: a group that remembers what it took.
    Group(i32, Box<Node>),
    /// `(?=...)` and its three relatives.
    Look(Look, Box<Node>),
    /// `(?>...)`: never tried again once it matched.
    Atomic(Box<Node>),
    /// `\1`, `(?P=name)`.
    Reference(Reference),
    /// `(?(1)yes|no)`.
    Conditional(Box<Conditional>),
    /// `(?(?=...)yes|no)`.
    LookConditional(Box<LookConditional>),
    /// `(?1)`, `(?R)`, `(?&name)`, and where it stands.
    Call(Target, usize),
    /// `\R`.
    LineEnding,
    /// `\X`.
    Grapheme,
    /// `(*FAIL)`.
    Fail,
    /// `(*PRUNE)`, `(*SKIP)`.
    Verb,
    /// `(?:...){e<=1}`.
    Fuzzy(Box<Node>),
}

/// A place in the text that must be as said; takes no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// `\A`, `^`.
    TextStart,
    /// `\Z`, `\z`.
    TextEnd,
    /// `$`: the end, or before a line feed that ends the text.
    TextEndOrLastLineFeed,
    /// `$` under `(?w)`: as above, with every Unicode line break.
    TextEndOrLastLineBreak,
    /// `^` under `(?m)`.
    LineStart,
    /// `^` under `(?mw)`.
    UnicodeLineStart,
    /// `$` under `(?m)`.
    LineEnd,
    /// `$` under `(?mw)`.
    UnicodeLineEnd,
    /// `\b`.
    WordBoundary,
    /// `\B`.
    NotWordBoundary,
    /// `\m`.
    WordStart,
    /// `\M`.
    WordEnd,
    /// `\b`, `\B`, `\m` or `\M` under `(?w)`.
    DefaultBoundary,
    /// `\G`: where the search began.
    SearchStart,
    /// `\K`: what was taken so far is not part of the match; it still has to be taken.
    Keep,
}

/// How a repeat goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As often as possible first.
    Greedy,
    /// As rarely as possible first.
    Lazy,
    /// As often as possible, never less.
    Possessive,
}

/// A node several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// What is repeated.
    pub node: Node,
    /// At least so often.
    pub minimum: u32,
    /// At most so often; none for no limit.
    pub maximum: Option<u32>,
    /// In which order.
    pub mode: Mode,
}

/// Which look-around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// `(?=`
    Ahead,
    /// `(?!`
    NotAhead,
    /// `(?<=`
    Behind,
    /// `(?<!`
    NotBehind,
}

impl Look {
    /// The look-around that looks this way and wants this.
    pub fn new(behind: bool, positive: bool) -> Self {
        match (behind, positive) {
            (false, true) => Self::Ahead,
            (false, false) => Self::NotAhead,
            (true, true) => Self::Behind,
            (true, false) => Self::NotBehind,
        }
    }

    /// Whether it looks back.
    pub fn is_behind(self) -> bool {
        matches!(self, Self::Behind | Self::NotBehind)
    }

    /// Whether its content must match.
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Ahead | Self::Behind)
    }

    /// The look-around that holds where this one does not.
    pub fn opposite(self) -> Self {
        Self::new(self.is_behind(), !self.is_positive())
    }
}

/// Which group is meant, as written; resolved once all groups are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By number.
    Number(u64),
    /// By name.
    Name(String),
}

/// A reference to what a group took.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The group.
    pub target: Target,
    /// How case is treated.
    pub case: Case,
    /// Where it stands, for complaints.
    pub position: usize,
}

/// One of two nodes, depending on a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditional {
    /// The group.
    pub target: Target,
    /// Where it took something.
    pub yes: Node,
    /// Where it did not.
    pub no: Node,
    /// Where it stands, for complaints.
    pub position: usize,
}

/// One of two nodes, depending on a look-around.
#[derive(Clone, Debug)]
pub struct LookConditional {
    /// Which look-around.
    pub look: Look,
    /// Its content.
    pub condition: Node,
    /// Where it holds.
    pub yes: Node,
    /// Where it does not.
    pub no: Node,
}

/// The engine compares all but the kind of look-around when it looks for a common prefix.
impl PartialEq for LookConditional {
    fn eq(&self, other: &Self) -> bool {
        self.condition == other.condition && self.yes == other.yes && self.no == other.no
    }
}

/// A pattern that was read to its end, groups resolved.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The tree.
    pub root: Node,
    /// The flags at the pattern's end; the global ones hold everywhere.
    pub flags: Flags,
    /// Whether `(?L)` stands anywhere.
    pub uses_locale: bool,
}

impl Node {
    /// The node that takes nothing.
    pub fn nothing() -> Self {
        Self::Sequence(Vec::new())
    }

    /// The engine's own notion of an empty node, on which it ignores a quantifier. A condition on a
    /// look-around without a second branch counts as empty there, and is kept so here.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Sequence(nodes) | Self::Branch(nodes) => nodes.iter().all(Node::is_empty),
            Self::Atomic(node) | Self::Fuzzy(node) => node.is_empty(),
            Self::Repeat(repeat) => repeat.node.is_empty(),
            Self::Look(look, node) => look.is_positive() && node.is_empty(),
            Self::Conditional(conditional) => {
                conditional.yes.is_empty() && conditional.no.is_empty()
            }
            Self::LookConditional(conditional) => {
                conditional.condition.is_empty() && conditional.yes.is_empty()
                    || conditional.no.is_empty()
            }
            _ => false,
        }
    }

    /// The nodes right below this one, in the order in which they stand.
    pub fn children(&self) -> Vec<&Node> {
        match self {
            Self::Sequence(nodes) | Self::Branch(nodes) => nodes.iter().collect(),
            Self::Atomic(node) | Self::Fuzzy(node) | Self::Group(_, node) | Self::Look(_, node) => {
                vec![node]
            }
            Self::Repeat(repeat) => vec![&repeat.node],
            Self::Conditional(conditional) => vec![&conditional.yes, &conditional.no],
            Self::LookConditional(conditional) => {
                vec![&conditional.condition, &conditional.yes, &conditional.no]
            }
            _ => Vec::new(),
        }
    }
}

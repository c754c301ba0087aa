//! Why a pattern, or one tag under it, gets no decision: it is invalid, or undecidable here.

use std::fmt;

use miette::Diagnostic;
use thiserror::Error;

/// Quay cannot compile the pattern, and therefore treats it as matching nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("at character {}: {complaint}", position + 1)]
#[diagnostic(
    code(quay_doctor::pattern::invalid),
    help("Quay logs nothing and counts an invalid pattern as \"no match\"")
)]
pub struct InvalidPattern {
    /// Where it goes wrong, in characters from 0.
    pub position: usize,
    /// What is wrong there.
    pub complaint: Complaint,
}

/// What Python's engine rejects, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The sentences below say it.
pub enum Complaint {
    AmbiguousGroup,
    BadEscape(char),
    BadEscapeAtEnd,
    BadFlags,
    BadFuzzyCost,
    BadGroupName,
    BadRange,
    BadRelativeGroup,
    ExpectedClass,
    ExpectedLookaround,
    IncompleteEscape,
    Missing(&'static str),
    MissingGroupName,
    MinimumAboveMaximum,
    MultipleRepeat,
    NamedList,
    NoOffFlags,
    NothingForFuzzy,
    NothingToRepeat,
    OnAndOff,
    OpenGroup,
    RepeatTooBig,
    RepeatedFuzzyCost,
    UnbalancedParenthesis,
    UnknownCharacterName,
    UnknownExtension,
    UnknownGroup,
    UnknownProperty,
    UnknownPropertyValue,
    UnknownVerb,
    UnterminatedSet,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmbiguousGroup => "two groups answer to this call",
            Self::BadEscape(letter) => return write!(f, "\\{letter} is not an escape"),
            Self::BadEscapeAtEnd => "the pattern ends in a lone backslash",
            Self::BadFlags => "a flag for the whole pattern cannot be turned off",
            Self::BadFuzzyCost => "this fuzzy limit is no number, or out of order",
            Self::BadGroupName => "this is not a group's name",
            Self::BadRange => "the range ends before it begins",
            Self::BadRelativeGroup => "there is no such group before this one",
            Self::ExpectedClass => "a fuzzy test must be one character or class",
            Self::ExpectedLookaround => "a condition must be a group or a look-around",
            Self::IncompleteEscape => "the escape has too few or wrong digits",
            Self::Missing(what) => return write!(f, "a {what} is missing"),
            Self::MissingGroupName => "the group's name is missing",
            Self::MinimumAboveMaximum => "the least number of repeats is above the most",
            Self::MultipleRepeat => "a quantifier follows a quantifier",
            Self::NamedList => "named lists are not available here",
            Self::NoOffFlags => "no flag follows the minus sign",
            Self::NothingForFuzzy => "there is nothing before the fuzzy limit",
            Self::NothingToRepeat => "there is nothing before the quantifier",
            Self::OnAndOff => "a flag is turned on and off at once",
            Self::OpenGroup => "a group cannot refer to itself",
            Self::RepeatTooBig => "the number of repeats is too large",
            Self::RepeatedFuzzyCost => "a fuzzy cost is given twice",
            Self::UnbalancedParenthesis => "this parenthesis was never opened",
            Self::UnknownCharacterName => "no character has this name",
            Self::UnknownExtension => "no group begins like this",
            Self::UnknownGroup => "there is no such group",
            Self::UnknownProperty => "there is no such character property",
            Self::UnknownPropertyValue => "the property has no such value",
            Self::UnknownVerb => "there is no such verb",
            Self::UnterminatedSet => "the character set never ends",
        })
    }
}

/// What cannot be decided here exactly as Quay decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Diagnostic)]
#[diagnostic(
    code(quay_doctor::pattern::undecidable),
    help("Only Quay itself can tell; write the pattern in a simpler way if you can")
)]
#[allow(missing_docs)] // The sentences say it.
pub enum Undecidable {
    #[error("fuzzy matching is not modelled")]
    Fuzzy,
    #[error("a group that calls itself or another is not modelled")]
    Recursion,
    #[error("(*PRUNE) and (*SKIP) are not modelled")]
    Verb,
    #[error("searching backwards with captures or anchors is not modelled")]
    Reverse,
    #[error("Unicode's default word boundaries, (?w), are not modelled")]
    DefaultBoundary,
    #[error("classes that follow the server's locale, (?L), are not modelled")]
    Locale,
    #[error("full case folding of characters outside ASCII is not modelled")]
    FullCaseFolding,
    #[error("properties of upper and lower case under (?a) and (?i) at once are not modelled")]
    CaseProperty,
    #[error("this use of a reference to a group is not modelled")]
    Reference,
    #[error("this construct inside a look-behind is not modelled")]
    LookBehind,
    #[error("a loop that can match nothing, inside an atomic group, is not modelled")]
    EmptyLoop,
    #[error("a condition on what does not come is not modelled: Quay's engine itself errs there")]
    Condition,
    #[error("Quay's engine itself fails on this pattern, so that pushes fail")]
    EngineFault,
    #[error("this character name is not in the table here")]
    CharacterName,
    #[error("a group's name has characters outside ASCII")]
    GroupName,
    #[error("this numeric property value is not in the table here")]
    NumericProperty,
    #[error("the pattern is longer than {} characters", super::MAX_PATTERN_CHARS)]
    TooLong,
    #[error(
        "the pattern is nested deeper than {} levels",
        super::parse::MAX_NESTING
    )]
    TooDeep,
    #[error("the pattern needs more memory than is allowed")]
    TooLarge,
    #[error("the tag is longer than {} characters", super::MAX_TAG_CHARS)]
    TagTooLong,
    #[error("the tag has characters outside ASCII whose class is not known here")]
    UnicodeTag,
    #[error("the tag has control characters that this pattern treats specially")]
    ControlCharacter,
    #[error("the step limit was reached")]
    StepLimit,
}

/// Why parsing ended without a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Quay's engine rejects it too.
    Invalid(InvalidPattern),
    /// Not known whether Quay's engine rejects it, or what it does.
    Undecidable(Undecidable),
}

impl From<Undecidable> for Refusal {
    fn from(reason: Undecidable) -> Self {
        Self::Undecidable(reason)
    }
}

impl Refusal {
    /// The pattern is invalid at `position`.
    pub fn invalid(position: usize, complaint: Complaint) -> Self {
        Self::Invalid(InvalidPattern {
            position,
            complaint,
        })
    }
}

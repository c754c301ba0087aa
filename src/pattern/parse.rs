//! Reads a pattern into a tree, and rejects what Python's `regex` 2026.2.28 rejects.
//!
//! A hand-written descent over characters, because the dialect is not context-free: flags change
//! how the rest is read, a brace may be a quantifier, a fuzzy limit or itself, and a global flag
//! anywhere makes the engine start over.

use super::error::{Complaint, InvalidPattern, Refusal, Undecidable};
use super::escape::Place;
use super::flags::{Case, Flags};
use super::groups::Groups;
use super::one::{One, OneKind};
use super::source::Source;
use super::tree::{Assertion, Mode, Node, Parsed, Repeat};

/// Deeper nesting runs into Python's own recursion limit somewhere above this.
pub const MAX_NESTING: usize = 100;

/// The engine's word for "no limit"; a count must stay below it.
const UNLIMITED: u64 = u32::MAX as u64;

/// Why reading stopped.
#[derive(Debug)]
pub enum Stop {
    /// The pattern is refused.
    Refused(Refusal),
    /// A global flag was turned on: start over with these.
    StartOver(Flags),
}

impl<R: Into<Refusal>> From<R> for Stop {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<InvalidPattern> for Refusal {
    fn from(invalid: InvalidPattern) -> Self {
        Self::Invalid(invalid)
    }
}

/// The parser's state.
pub struct Parser {
    pub(super) source: Source,
    pub(super) flags: Flags,
    pub(super) global_flags: Flags,
    pub(super) groups: Groups,
    pub(super) uses_locale: bool,
    pub(super) ascii_case_property: bool,
    depth: usize,
}

/// Reads a whole pattern.
pub fn parse(pattern: &str) -> Result<Parsed, Refusal> {
    if pattern.chars().count() > super::MAX_PATTERN_CHARS {
        return Err(Undecidable::TooLong.into());
    }
    let mut global_flags = Flags::NONE;
    loop {
        let mut parser = Parser::new(pattern, global_flags)?;
        match parser.pattern() {
            Ok(root) => return parser.finish(root),
            Err(Stop::Refused(refusal)) => return Err(refusal),
            // Each round adds a flag, so that there are few.
            Err(Stop::StartOver(flags)) => global_flags = flags,
        }
    }
}

impl Parser {
    fn new(pattern: &str, global_flags: Flags) -> Result<Self, Refusal> {
        let mut flags = global_flags;
        if flags.has(Flags::VERSION_0) && flags.has(Flags::VERSION_1) {
            return Err(Undecidable::EngineFault.into());
        }
        if flags.has(Flags::VERSION_1) {
            flags |= Flags::FULL_CASE;
        }
        Ok(Self {
            source: Source::new(pattern),
            flags,
            global_flags: flags,
            groups: Groups::default(),
            uses_locale: false,
            ascii_case_property: false,
            depth: 0,
        })
    }

    fn finish(mut self, root: Node) -> Result<Parsed, Refusal> {
        if !self.source.at_end() {
            return Err(self.complain(Complaint::UnbalancedParenthesis));
        }
        let encodings = self.flags & Flags::ENCODINGS;
        let conflict = [Flags::ASCII, Flags::LOCALE, Flags::UNICODE]
            .into_iter()
            .filter(|&encoding| encodings.has(encoding))
            .count()
            > 1;
        if conflict {
            return Err(Undecidable::EngineFault.into());
        }
        if encodings.is_none() {
            self.flags |= Flags::UNICODE;
        }
        self.groups.check(&root)?;
        if self.ascii_case_property {
            // The engine decides these differently in a loop than outside.
            return Err(Undecidable::CaseProperty.into());
        }
        Ok(Parsed {
            root: self.groups.resolve(root),
            flags: self.flags,
            uses_locale: self.uses_locale,
        })
    }

    pub(super) fn complain(&self, complaint: Complaint) -> Refusal {
        Refusal::invalid(self.source.position, complaint)
    }

    pub(super) fn expect(&mut self, what: &'static str) -> Result<(), Refusal> {
        if self.source.accept(what) {
            Ok(())
        } else {
            Err(self.complain(Complaint::Missing(what)))
        }
    }

    /// Whether the dialect with set operators is in force.
    pub(super) fn is_version_1(&self) -> bool {
        self.flags.has(Flags::VERSION_1)
    }

    /// `a|b|c`, up to a closing parenthesis or the end.
    pub(super) fn pattern(&mut self) -> Result<Node, Stop> {
        let mut branches = vec![self.sequence()?];
        while self.source.accept("|") {
            branches.push(self.sequence()?);
        }
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Branch(branches),
        })
    }

    /// A pattern in parentheses whose flags end with it.
    pub(super) fn scoped_pattern(&mut self) -> Result<Node, Stop> {
        let saved = self.flags;
        let node = self.pattern()?;
        self.expect(")")?;
        self.restore_flags(saved);
        Ok(node)
    }

    pub(super) fn restore_flags(&mut self, flags: Flags) {
        self.flags = flags;
        self.source.ignore_space = flags.has(Flags::VERBOSE);
    }

    /// `abc`, up to a bar, a closing parenthesis or the end.
    pub(super) fn sequence(&mut self) -> Result<Node, Stop> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(Undecidable::TooDeep.into());
        }
        // A quantified element is followed by a gap, on which no second quantifier can stand.
        let mut sequence: Vec<Option<Node>> = vec![None];
        let mut case = self.flags.case();
        loop {
            let before = self.source.position;
            let Some(character) = self.source.get() else {
                self.source.position = before;
                break;
            };
            match character {
                ')' | '|' => {
                    self.source.position = before;
                    break;
                }
                '\\' => sequence.push(Some(self.escape(Place::Sequence)?)),
                '(' => match self.parenthesis()? {
                    Some(node) => sequence.push(Some(node)),
                    None => case = self.flags.case(),
                },
                '.' => sequence.push(Some(Node::One(self.dot()))),
                '[' => sequence.push(Some(Node::One(self.set()?))),
                '^' => sequence.push(Some(Node::Assertion(self.caret()))),
                '$' => sequence.push(Some(Node::Assertion(self.dollar()))),
                '?' | '*' | '+' | '{' => self.quantifier(character, case, before, &mut sequence)?,
                _ => sequence.push(Some(literal(character, case))),
            }
        }
        self.depth -= 1;
        Ok(Node::Sequence(sequence.into_iter().flatten().collect()))
    }

    pub(super) fn dot(&self) -> One {
        One::plain(if self.flags.has(Flags::DOT_ALL) {
            OneKind::Everything
        } else if self.flags.has(Flags::WORD) {
            OneKind::NotLineBreak
        } else {
            OneKind::NotLineFeed
        })
    }

    fn caret(&self) -> Assertion {
        match (
            self.flags.has(Flags::MULTILINE),
            self.flags.has(Flags::WORD),
        ) {
            (false, _) => Assertion::TextStart,
            (true, false) => Assertion::LineStart,
            (true, true) => Assertion::UnicodeLineStart,
        }
    }

    fn dollar(&self) -> Assertion {
        match (
            self.flags.has(Flags::MULTILINE),
            self.flags.has(Flags::WORD),
        ) {
            (false, false) => Assertion::TextEndOrLastLineFeed,
            (false, true) => Assertion::TextEndOrLastLineBreak,
            (true, false) => Assertion::LineEnd,
            (true, true) => Assertion::UnicodeLineEnd,
        }
    }

    /// What looks like a quantifier: one, a fuzzy limit, or a brace that means itself.
    fn quantifier(
        &mut self,
        character: char,
        case: Case,
        before: usize,
        sequence: &mut Vec<Option<Node>>,
    ) -> Result<(), Stop> {
        let counts = match character {
            '?' => Some((0, Some(1))),
            '*' => Some((0, None)),
            '+' => Some((1, None)),
            _ => self.counts()?,
        };
        if let Some((minimum, maximum)) = counts {
            let element = self.take_element(before, sequence)?;
            let mode = self.mode();
            sequence.push(Some(repeat(element, minimum, maximum, mode)));
            sequence.push(None);
        } else if let Some(limit) = self.fuzzy_limit()? {
            if limit.allows_errors() {
                match sequence.pop().flatten() {
                    None => {
                        let nothing = Refusal::invalid(before, Complaint::NothingForFuzzy);
                        return Err(nothing.into());
                    }
                    Some(element) => {
                        sequence.push(Some(Node::Fuzzy(Box::new(element))));
                        sequence.push(None);
                    }
                }
            }
        } else {
            sequence.push(Some(literal(character, case)));
        }
        Ok(())
    }

    fn take_element(
        &self,
        before: usize,
        sequence: &mut Vec<Option<Node>>,
    ) -> Result<Node, Refusal> {
        match sequence.pop().flatten() {
            Some(Node::Repeat(_)) => Err(Refusal::invalid(before, Complaint::MultipleRepeat)),
            Some(element) => Ok(element),
            None if sequence.is_empty() => {
                Err(Refusal::invalid(before, Complaint::NothingToRepeat))
            }
            None => Err(Refusal::invalid(before, Complaint::MultipleRepeat)),
        }
    }

    fn mode(&mut self) -> Mode {
        let before = self.source.position;
        match self.source.get() {
            Some('?') => Mode::Lazy,
            Some('+') => Mode::Possessive,
            _ => {
                self.source.position = before;
                Mode::Greedy
            }
        }
    }

    /// `{2}`, `{2,}`, `{,3}`, `{2,3}`, `{,}`, after the brace.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let before = self.source.position;
        let minimum = self.digits();
        let maximum = if self.source.accept(",") {
            let maximum = self.digits();
            (!maximum.is_empty()).then(|| number(&maximum))
        } else if minimum.is_empty() {
            self.source.position = before;
            return Ok(None);
        } else {
            Some(number(&minimum))
        };
        let minimum = number(&minimum);
        if !self.source.accept("}") {
            self.source.position = before;
            return Ok(None);
        }
        if minimum >= UNLIMITED || maximum.is_some_and(|maximum| maximum >= UNLIMITED) {
            return Err(Refusal::invalid(before, Complaint::RepeatTooBig));
        }
        if maximum.is_some_and(|maximum| minimum > maximum) {
            return Err(Refusal::invalid(before, Complaint::MinimumAboveMaximum));
        }
        Ok(Some((
            minimum as u32,
            maximum.map(|maximum| maximum as u32),
        )))
    }

    pub(super) fn digits(&mut self) -> String {
        self.source
            .get_while(|character| character.is_ascii_digit())
    }
}

/// A number of any length; no digits are 0.
pub(super) fn number(digits: &str) -> u64 {
    digits.bytes().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit.saturating_sub(b'0')))
    })
}

pub(super) fn literal(character: char, case: Case) -> Node {
    Node::One(One::literal(u32::from(character), case))
}

/// The engine ignores a quantifier on nothing, and one that says "once".
fn repeat(element: Node, minimum: u32, maximum: Option<u32>, mode: Mode) -> Node {
    if element.is_empty() || (minimum == 1 && maximum == Some(1)) {
        return element;
    }
    Node::Repeat(Box::new(Repeat {
        node: element,
        minimum,
        maximum,
        mode,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(pattern: &str) -> (usize, Complaint) {
        match parse(pattern) {
            Err(Refusal::Invalid(invalid)) => (invalid.position, invalid.complaint),
            other => panic!("{pattern}: {other:?}"),
        }
    }

    #[test]
    fn a_complaint_has_a_place() {
        assert_eq!(complaint("ab**"), (3, Complaint::MultipleRepeat));
        assert_eq!(complaint("*a"), (0, Complaint::NothingToRepeat));
        assert_eq!(complaint("(ab"), (3, Complaint::Missing(")")));
        assert_eq!(complaint("a)b"), (1, Complaint::UnbalancedParenthesis));
        assert_eq!(complaint("é{2,1}"), (2, Complaint::MinimumAboveMaximum));
        assert_eq!(complaint(r"a\"), (2, Complaint::BadEscapeAtEnd));
        assert_eq!(complaint(r"\2(a)").1, Complaint::UnknownGroup);
    }

    #[test]
    fn a_brace_that_is_no_quantifier_means_itself() {
        for pattern in ["a{", "a{a}", "a{1", "a{1,2 }", "{", "{}"] {
            assert!(parse(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn a_global_flag_holds_from_the_start_wherever_it_stands() {
        let Ok(parsed) = parse("[a||b](?V1)") else {
            panic!("valid");
        };
        assert!(parsed.flags.has(Flags::VERSION_1));
    }

    #[test]
    fn deep_nesting_and_long_patterns_are_refused_before_they_cost_anything() {
        let deep = "(".repeat(3000);
        assert_eq!(parse(&deep).err(), Some(Undecidable::TooDeep.into()));
        let long = "a".repeat(super::super::MAX_PATTERN_CHARS + 1);
        assert_eq!(parse(&long).err(), Some(Undecidable::TooLong.into()));
    }
}

//! Escapes: what a backslash and the characters after it stand for.

use super::error::{Complaint, Refusal, Undecidable};
use super::flags::{Case, Flags};
use super::names;
use super::one::{One, OneKind};
use super::parse::{Parser, Stop, number};
use super::property::{self, LookupFailure, PropertyValue};
use super::tree::{Assertion, Node, Reference, Target};

/// Where an escape stands: inside brackets most letters mean something else, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between other nodes.
    Sequence,
    /// Inside brackets.
    Set,
}

impl Parser {
    /// Reads an escape after its backslash.
    pub(super) fn escape(&mut self, place: Place) -> Result<Node, Stop> {
        let Some(character) = self.source.get_raw() else {
            return Err(self.complain(Complaint::BadEscapeAtEnd).into());
        };
        let in_set = place == Place::Set;
        match character {
            'x' => self.hexadecimal(2, place),
            'u' => self.hexadecimal(4, place),
            'U' => self.hexadecimal(8, place),
            'g' if !in_set => self.reference_or_g(),
            'G' if !in_set => Ok(Node::Assertion(Assertion::SearchStart)),
            'L' if !in_set => {
                self.expect("<")?;
                self.name(Numbers::Allowed)?;
                self.expect(">")?;
                Err(self.complain(Complaint::NamedList).into())
            }
            'N' => self.named_character(place),
            'p' | 'P' => self.property(character == 'p', place),
            'R' if !in_set => Ok(Node::LineEnding),
            'X' if !in_set => Ok(Node::Grapheme),
            _ if character.is_ascii_alphabetic() => self.letter(character, place),
            _ if character.is_ascii_digit() => self.numeric(character, place),
            _ => Ok(self.character(u32::from(character), place)),
        }
    }

    /// A literal: inside a set, case is a matter of the whole set.
    fn character(&self, value: u32, place: Place) -> Node {
        let case = match place {
            Place::Sequence => self.flags.case(),
            Place::Set => Case::Exact,
        };
        Node::One(One::literal(value, case))
    }

    fn letter(&mut self, letter: char, place: Place) -> Result<Node, Stop> {
        if place == Place::Sequence
            && let Some(assertion) = self.position_escape(letter)
        {
            return Ok(Node::Assertion(assertion));
        }
        if let Some(value) = property::shorthand(letter.to_ascii_lowercase())
            && letter != 'H'
        {
            // A shorthand never ignores case, wherever it stands.
            return Ok(Node::One(One {
                positive: letter.is_ascii_lowercase(),
                ..One::plain(OneKind::Property(value))
            }));
        }
        let control = match letter {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            _ => return Err(self.complain(Complaint::BadEscape(letter)).into()),
        };
        Ok(Node::One(One::literal(control, Case::Exact)))
    }

    fn position_escape(&self, letter: char) -> Option<Assertion> {
        let default_boundaries = self.flags.has(Flags::WORD);
        Some(match letter {
            'A' => Assertion::TextStart,
            'Z' | 'z' => Assertion::TextEnd,
            'K' => Assertion::Keep,
            'b' | 'B' | 'm' | 'M' if default_boundaries => Assertion::DefaultBoundary,
            'b' => Assertion::WordBoundary,
            'B' => Assertion::NotWordBoundary,
            'm' => Assertion::WordStart,
            'M' => Assertion::WordEnd,
            _ => return None,
        })
    }

    fn hexadecimal(&mut self, length: usize, place: Place) -> Result<Node, Stop> {
        let before = self.source.position;
        let mut value: u64 = 0;
        for _ in 0..length {
            match self.source.get().and_then(|digit| digit.to_digit(16)) {
                Some(digit) => value = value << 4 | u64::from(digit),
                None => {
                    return Err(Refusal::invalid(before, Complaint::IncompleteEscape).into());
                }
            }
        }
        match u32::try_from(value) {
            Ok(value) if value < 0x11_0000 => Ok(self.character(value, place)),
            _ => Err(Refusal::invalid(before, Complaint::IncompleteEscape).into()),
        }
    }

    /// `\1` refers to a group; `\0`, `\012` and three octal digits are a character.
    fn numeric(&mut self, first: char, place: Place) -> Result<Node, Stop> {
        if place == Place::Set || first == '0' {
            return self.octal(first, place);
        }
        let mut digits = String::from(first);
        let mut after = self.source.position;
        let mut next = self.source.get();
        if let Some(digit) = next.filter(char::is_ascii_digit) {
            digits.push(digit);
            after = self.source.position;
            next = self.source.get();
            if let Some(digit) = next.filter(|digit| digit.is_digit(8))
                && digits.bytes().all(|digit| digit < b'8')
            {
                digits.push(digit);
                let mask = match self.flags & Flags::ENCODINGS {
                    Flags::ASCII | Flags::LOCALE => 0xff,
                    _ => 0x1ff,
                };
                let value = octal_value(&digits) & mask;
                return Ok(self.character(value, Place::Sequence));
            }
        }
        self.source.position = after;
        let target = Target::Number(number(&digits));
        self.refer(target, self.source.position)
    }

    fn octal(&mut self, first: char, place: Place) -> Result<Node, Stop> {
        let mut digits = String::from(first);
        let mut after = self.source.position;
        while digits.len() < 3 {
            match self.source.get() {
                Some(digit) if digit.is_digit(8) => {
                    digits.push(digit);
                    after = self.source.position;
                }
                _ => break,
            }
        }
        self.source.position = after;
        if !first.is_digit(8) {
            return Err(self.complain(Complaint::BadEscape(first)).into());
        }
        Ok(self.character(octal_value(&digits), place))
    }

    /// `\g<name>`; anything else after `\g` makes it a plain g.
    fn reference_or_g(&mut self) -> Result<Node, Stop> {
        let before = self.source.position;
        match self.group_reference() {
            Err(Stop::Refused(Refusal::Invalid(_))) => {
                self.source.position = before;
                Ok(self.character(u32::from('g'), Place::Sequence))
            }
            other => other,
        }
    }

    fn group_reference(&mut self) -> Result<Node, Stop> {
        self.expect("<")?;
        let position = self.source.position;
        let target = self.name(Numbers::Allowed)?;
        self.expect(">")?;
        self.refer(target, position)
    }

    /// A reference, unless its group is still open (which only the newer dialect permits).
    pub(super) fn refer(&mut self, target: Target, position: usize) -> Result<Node, Stop> {
        if !self.is_version_1() && self.groups.is_open(&target) {
            return Err(self.complain(Complaint::OpenGroup).into());
        }
        Ok(Node::Reference(Reference {
            target,
            case: self.flags.case(),
            position,
        }))
    }

    /// `\N{name}`; without a well-formed name it is a plain N.
    fn named_character(&mut self, place: Place) -> Result<Node, Stop> {
        let before = self.source.position;
        if self.source.accept("{") {
            let name = self
                .source
                .get_while_raw(|c| c.is_ascii_alphanumeric() || c == ' ' || c == '-');
            if self.source.accept("}") {
                return match names::find(&name) {
                    names::Found::Character(value) => Ok(self.character(value, place)),
                    names::Found::Nothing => {
                        Err(self.complain(Complaint::UnknownCharacterName).into())
                    }
                    names::Found::NotModelled => Err(Undecidable::CharacterName.into()),
                };
            }
        }
        self.source.position = before;
        Ok(self.character(u32::from('N'), place))
    }

    /// `\p{...}`, `\pL`; anything else is a plain p.
    fn property(&mut self, positive: bool, place: Place) -> Result<Node, Stop> {
        let before = self.source.position;
        match self.source.get() {
            Some('{') => {
                let negate = self.source.accept("^");
                let (property, value) = self.property_name();
                if self.source.accept("}") {
                    let found =
                        self.look_up(property.as_deref(), &value, positive != negate, false)?;
                    return Ok(self.property_node(found, place));
                }
            }
            Some(letter) if "CLMNPSZ".contains(letter) => {
                let found = self.look_up(None, &letter.to_string(), positive, false)?;
                return Ok(self.property_node(found, place));
            }
            _ => {}
        }
        self.source.position = before;
        let letter = if positive { 'p' } else { 'P' };
        Ok(self.character(u32::from(letter), place))
    }

    fn property_node(&mut self, (value, positive): (PropertyValue, bool), place: Place) -> Node {
        self.ascii_case_property |=
            self.flags.has(Flags::ASCII) && self.flags.case().is_ignored() && value.is_about_case();
        Node::One(One {
            kind: OneKind::Property(value),
            positive,
            case: match place {
                Place::Sequence => self.flags.case(),
                Place::Set => Case::Exact,
            },
        })
    }

    pub(super) fn look_up(
        &self,
        property: Option<&str>,
        value: &str,
        positive: bool,
        posix: bool,
    ) -> Result<(PropertyValue, bool), Refusal> {
        property::lookup(property, value, positive, posix).map_err(|failure| match failure {
            LookupFailure::Unknown(complaint) => self.complain(complaint),
            LookupFailure::NotModelled(reason) => reason.into(),
        })
    }

    /// `name`, `property=value` or `property:value`.
    pub(super) fn property_name(&mut self) -> (Option<String>, String) {
        let is_part =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '&' | '_' | '-' | '.');
        let name = self.source.get_while(is_part);
        let mut after = self.source.position;
        let mut answer = (None, name.clone());
        if matches!(self.source.get(), Some(':' | '=')) {
            let value = self.source.get_while(|c| is_part(c) || c == '/');
            let value = value.trim_matches(' ');
            if !value.is_empty() {
                after = self.source.position;
                answer = (Some(name), value.to_owned());
            }
        }
        self.source.position = after;
        answer
    }

    /// A group's name, up to its closing parenthesis or angle bracket.
    pub(super) fn name(&mut self, numbers: Numbers) -> Result<Target, Refusal> {
        let name = self.source.get_while(|c| c != ')' && c != '>');
        if name.is_empty() {
            return Err(self.complain(Complaint::MissingGroupName));
        }
        if !name.is_ascii() {
            return Err(Undecidable::GroupName.into());
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            let value = number(&name);
            if numbers == Numbers::Refused || value < 1 {
                return Err(self.complain(Complaint::BadGroupName));
            }
            return Ok(Target::Number(value));
        }
        let starts_well = !name.starts_with(|c: char| c.is_ascii_digit());
        if starts_well && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            Ok(Target::Name(name))
        } else {
            Err(self.complain(Complaint::BadGroupName))
        }
    }
}

/// Whether a number may stand for a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Where a group is referred to.
    Allowed,
    /// Where a group is named.
    Refused,
}

fn octal_value(digits: &str) -> u32 {
    digits
        .chars()
        .filter_map(|digit| digit.to_digit(8))
        .fold(0, |value, digit| value << 3 | digit)
}

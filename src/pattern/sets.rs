//! Character sets in brackets, with the set operators and nesting of the newer dialect.

use super::error::{Complaint, Refusal};
use super::escape::Place;
use super::one::{One, OneKind, SetOperation};
use super::parse::{MAX_NESTING, Parser, Stop};
use super::tree::Node;

/// The operators, loosest first.
const OPERATORS: [(&str, SetOperation); 4] = [
    ("||", SetOperation::Union),
    ("~~", SetOperation::SymmetricDifference),
    ("&&", SetOperation::Intersection),
    ("--", SetOperation::Difference),
];

impl Parser {
    /// Reads a set after its opening bracket.
    pub(super) fn set(&mut self) -> Result<One, Stop> {
        let skipping = std::mem::replace(&mut self.source.ignore_space, false);
        let negated = self.source.accept("^");
        let set = self.set_body(0)?;
        self.source.ignore_space = skipping;
        let set = if negated { turned(set)? } else { set };
        let positive = set.positive;
        Ok(set.with(positive, self.flags.case())?)
    }

    fn set_body(&mut self, depth: usize) -> Result<One, Stop> {
        if depth > MAX_NESTING {
            return Err(super::error::Undecidable::TooDeep.into());
        }
        let set = if self.is_version_1() {
            self.operation(0, depth)?
        } else {
            self.plain_union(depth)?
        };
        if self.source.accept("]") {
            Ok(set)
        } else {
            Err(self.complain(Complaint::Missing("]")).into())
        }
    }

    /// Items joined by the operator of this level, or what the next level reads.
    fn operation(&mut self, level: usize, depth: usize) -> Result<One, Stop> {
        let Some(&(text, operation)) = OPERATORS.get(level) else {
            return self.plain_union(depth);
        };
        let mut items = vec![self.operation(level + 1, depth)?];
        while self.source.accept(text) {
            items.push(self.operation(level + 1, depth)?);
        }
        Ok(match items.len() {
            1 => items.remove(0),
            _ => One::plain(OneKind::Set(operation, items)),
        })
    }

    fn plain_union(&mut self, depth: usize) -> Result<One, Stop> {
        let mut items = vec![self.member(depth)?];
        loop {
            let before = self.source.position;
            let ends = self.source.accept("]")
                || self.is_version_1()
                    && OPERATORS.iter().any(|(text, _)| self.source.accept(text));
            if ends {
                self.source.position = before;
                break;
            }
            items.push(self.member(depth)?);
        }
        Ok(match items.len() {
            1 => items.remove(0),
            _ => One::union(items),
        })
    }

    /// One item, or a range of two.
    fn member(&mut self, depth: usize) -> Result<One, Stop> {
        let start = self.item(depth)?;
        let after_start = self.source.position;
        let Some(low) = start.as_positive_literal() else {
            return Ok(start);
        };
        if !self.source.accept("-") {
            return Ok(start);
        }
        let after_hyphen = self.source.position;
        if self.is_version_1() && self.source.accept("-") {
            self.source.position = after_start;
            return Ok(start);
        }
        let hyphen = One::plain(OneKind::Literal(u32::from('-')));
        if self.source.accept("]") {
            self.source.position = after_hyphen;
            return Ok(One::union(vec![start, hyphen]));
        }
        let end = self.item(depth)?;
        let Some(high) = end.as_positive_literal() else {
            return Ok(One::union(vec![start, hyphen, end]));
        };
        if low > high {
            return Err(self.complain(Complaint::BadRange).into());
        }
        if low == high {
            return Ok(start);
        }
        Ok(One::plain(OneKind::Range(low, high)))
    }

    fn item(&mut self, depth: usize) -> Result<One, Stop> {
        if self.source.accept("\\") {
            return match self.escape(Place::Set)? {
                Node::One(one) => Ok(one),
                // Escapes in a set are characters or properties, never places or groups.
                _ => Err(super::error::Undecidable::EngineFault.into()),
            };
        }
        let before = self.source.position;
        if self.source.accept("[:") {
            match self.posix_class()? {
                Some(class) => return Ok(class),
                None => self.source.position = before,
            }
        }
        if self.is_version_1() && self.source.accept("[") {
            let negated = self.source.accept("^");
            let set = self.set_body(depth + 1)?;
            return Ok(if negated { turned(set)? } else { set });
        }
        match self.source.get() {
            Some(character) => Ok(One::plain(OneKind::Literal(u32::from(character)))),
            None => Err(self.complain(Complaint::UnterminatedSet).into()),
        }
    }

    /// `[:alpha:]` after its opening; none if it is something else.
    fn posix_class(&mut self) -> Result<Option<One>, Refusal> {
        let negated = self.source.accept("^");
        let (property, value) = self.property_name();
        if !self.source.accept(":]") {
            return Ok(None);
        }
        let (value, positive) = self.look_up(property.as_deref(), &value, !negated, true)?;
        Ok(Some(One {
            positive,
            ..One::plain(OneKind::Property(value))
        }))
    }
}

fn turned(set: One) -> Result<One, super::error::Undecidable> {
    let (positive, case) = (!set.positive, set.case);
    set.with(positive, case)
}

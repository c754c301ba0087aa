//! Fuzzy limits (`{e<=1}`): read only to tell an error from a pattern that cannot be decided here.

use std::collections::HashMap;

use super::error::{Complaint, Refusal, Undecidable};
use super::escape::Place;
use super::parse::{Parser, Stop, number};

/// What a fuzzy limit allows, as far as it matters: the engine ignores one that allows nothing.
#[derive(Debug, Default)]
pub struct FuzzyLimit {
    ranges: HashMap<char, (u64, Option<u64>)>,
    has_equation: bool,
}

impl FuzzyLimit {
    /// Whether any error is allowed at all.
    pub fn allows_errors(&self) -> bool {
        let none = Some(&(0, Some(0)));
        let is_none = |letter| self.ranges.get(&letter) == none;
        !(is_none('e') || is_none('s') && is_none('i') && is_none('d'))
    }
}

/// Why an item was not read.
enum Miss {
    /// It is no fuzzy limit; the brace may mean itself.
    NotFuzzy,
    /// It is one, and wrong.
    Stopped(Stop),
}

impl From<Refusal> for Miss {
    fn from(refusal: Refusal) -> Self {
        Self::Stopped(refusal.into())
    }
}

impl Parser {
    /// Reads a fuzzy limit after its brace; none if there is none.
    pub(super) fn fuzzy_limit(&mut self) -> Result<Option<FuzzyLimit>, Stop> {
        let before = self.source.position;
        let mut limit = FuzzyLimit::default();
        match self.fuzzy_items(&mut limit) {
            Ok(()) => {}
            Err(Miss::NotFuzzy) => {
                self.source.position = before;
                return Ok(None);
            }
            Err(Miss::Stopped(stop)) => return Err(stop),
        }
        if self.source.accept(":") {
            self.fuzzy_test()?;
        }
        if !self.source.accept("}") {
            return Err(self.complain(Complaint::Missing("}")).into());
        }
        Ok(Some(limit))
    }

    fn fuzzy_items(&mut self, limit: &mut FuzzyLimit) -> Result<(), Miss> {
        self.fuzzy_item(limit)?;
        while self.source.accept(",") {
            self.fuzzy_item(limit)?;
        }
        Ok(())
    }

    fn fuzzy_item(&mut self, limit: &mut FuzzyLimit) -> Result<(), Miss> {
        let before = self.source.position;
        match self.cost_constraint(limit) {
            Err(Miss::NotFuzzy) => {
                self.source.position = before;
                self.cost_equation(limit)
            }
            other => other,
        }
    }

    /// `e`, `e<=2`, `1<=e<=3`.
    fn cost_constraint(&mut self, limit: &mut FuzzyLimit) -> Result<(), Miss> {
        let before = self.source.position;
        match self.source.get() {
            Some(letter) if letter.is_ascii_alphabetic() => {
                let letter = new_constraint(Some(letter), limit)?;
                let maximum = match self.comparison() {
                    None => None,
                    Some(bound) => Some(self.cost_limit(bound)?),
                };
                limit.ranges.insert(letter, (0, maximum));
                Ok(())
            }
            Some(digit) if digit.is_ascii_digit() => {
                self.source.position = before;
                let minimum = self.plain_cost()?;
                let from = self.comparison().ok_or(Miss::NotFuzzy)?;
                let letter = self.source.get();
                let letter = new_constraint(letter, limit)?;
                let upto = self.comparison().ok_or(Miss::NotFuzzy)?;
                let position = self.source.position;
                let maximum = self.plain_cost()?;
                let minimum = minimum + u64::from(from == Bound::Below);
                let maximum = maximum.checked_sub(u64::from(upto == Bound::Below));
                match maximum {
                    Some(maximum) if minimum <= maximum => {
                        limit.ranges.insert(letter, (minimum, Some(maximum)));
                        Ok(())
                    }
                    _ => Err(Refusal::invalid(position, Complaint::BadFuzzyCost).into()),
                }
            }
            _ => Err(Miss::NotFuzzy),
        }
    }

    fn cost_limit(&mut self, bound: Bound) -> Result<u64, Refusal> {
        let position = self.source.position;
        self.plain_cost()?
            .checked_sub(u64::from(bound == Bound::Below))
            .ok_or(Refusal::invalid(position, Complaint::BadFuzzyCost))
    }

    fn plain_cost(&mut self) -> Result<u64, Refusal> {
        let position = self.source.position;
        let digits = self.digits();
        if digits.is_empty() {
            return Err(Refusal::invalid(position, Complaint::BadFuzzyCost));
        }
        Ok(number(&digits).min(u64::MAX / 2))
    }

    fn comparison(&mut self) -> Option<Bound> {
        if self.source.accept("<=") {
            Some(Bound::AtMost)
        } else if self.source.accept("<") {
            Some(Bound::Below)
        } else {
            None
        }
    }

    /// `2i+1s<=4`.
    fn cost_equation(&mut self, limit: &mut FuzzyLimit) -> Result<(), Miss> {
        if limit.has_equation {
            return Err(self.complain(Complaint::RepeatedFuzzyCost).into());
        }
        let mut letters = Vec::new();
        loop {
            self.digits();
            match self.source.get() {
                Some(letter) if "dis".contains(letter) => {
                    if letters.contains(&letter) {
                        return Err(self.complain(Complaint::RepeatedFuzzyCost).into());
                    }
                    letters.push(letter);
                }
                _ => return Err(Miss::NotFuzzy),
            }
            if !self.source.accept("+") {
                break;
            }
        }
        let Some(bound) = self.comparison() else {
            return Err(Miss::NotFuzzy);
        };
        let digits = self.digits();
        if digits.is_empty() {
            // Python fails to turn the empty text into a number.
            return Err(Miss::Stopped(Undecidable::EngineFault.into()));
        }
        if number(&digits) == 0 && bound == Bound::Below {
            return Err(self.complain(Complaint::BadFuzzyCost).into());
        }
        limit.has_equation = true;
        Ok(())
    }

    /// What a substituted or inserted character must be.
    fn fuzzy_test(&mut self) -> Result<(), Stop> {
        let before = self.source.position;
        match self.source.get() {
            Some('\\') => self.escape(Place::Sequence).map(drop),
            Some('[') => self.set().map(drop),
            None | Some('(' | ')' | '|' | '?' | '*' | '+' | '{' | '^' | '$' | '#') => {
                Err(Refusal::invalid(before, Complaint::ExpectedClass).into())
            }
            Some(_) => Ok(()),
        }
    }
}

/// How a cost is bounded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtMost,
    Below,
}

fn new_constraint(letter: Option<char>, limit: &FuzzyLimit) -> Result<char, Miss> {
    let letter = letter.ok_or(Miss::NotFuzzy)?;
    if !"deis".contains(letter) || limit.ranges.contains_key(&letter) {
        return Err(Miss::NotFuzzy);
    }
    Ok(letter)
}

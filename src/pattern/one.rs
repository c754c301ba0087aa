//! One character of a pattern: a literal, a class or a set, and how the engine reshapes it.
//!
//! The reshaping is not cosmetic. Python's engine merges, flattens and compiles sets in ways that
//! change what they match (`[^a]|[^b]` takes neither `a` nor `b`; `[^\d\D]` takes everything), so
//! the same steps are taken here in the same order.

use std::collections::HashSet;

use super::error::Undecidable;
use super::flags::Case;
use super::property::PropertyValue;

/// Which operation joins a set's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetOperation {
    /// `[ab]`, `[a||b]`.
    Union,
    /// `[a&&b]`.
    Intersection,
    /// `[a--b]`.
    Difference,
    /// `[a~~b]`.
    SymmetricDifference,
}

/// What a one-character node takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OneKind {
    /// One code point (a surrogate is possible and never matches).
    Literal(u32),
    /// A property.
    Property(PropertyValue),
    /// A range, both ends included.
    Range(u32, u32),
    /// A set.
    Set(SetOperation, Vec<One>),
    /// Every character.
    Everything,
    /// The dot: everything but a line feed.
    NotLineFeed,
    /// The dot under `(?w)`: everything but Unicode's line breaks.
    NotLineBreak,
}

/// A one-character node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct One {
    /// What it takes.
    pub kind: OneKind,
    /// False where the node takes everything else.
    pub positive: bool,
    /// How it treats case.
    pub case: Case,
}

impl One {
    /// A literal.
    pub fn literal(value: u32, case: Case) -> Self {
        Self {
            kind: OneKind::Literal(value),
            positive: true,
            case,
        }
    }

    /// A node that minds case and is positive.
    pub fn plain(kind: OneKind) -> Self {
        Self {
            kind,
            positive: true,
            case: Case::Exact,
        }
    }

    /// A union.
    pub fn union(items: Vec<One>) -> Self {
        Self::plain(OneKind::Set(SetOperation::Union, items))
    }

    /// Whether this is a single positive code point, as the start of a range must be.
    pub fn as_positive_literal(&self) -> Option<u32> {
        match self.kind {
            OneKind::Literal(value) if self.positive => Some(value),
            _ => None,
        }
    }

    /// The same node, turned or with another treatment of case. A set that changes is reshaped.
    pub fn with(self, positive: bool, case: Case) -> Result<Self, Undecidable> {
        if positive == self.positive && case == self.case {
            return Ok(self);
        }
        match self.kind {
            // The engine has no way to rebuild these, and fails.
            OneKind::Everything | OneKind::NotLineFeed | OneKind::NotLineBreak => {
                Err(Undecidable::EngineFault)
            }
            OneKind::Set(..) => Self {
                positive,
                case,
                ..self
            }
            .optimised(false),
            _ => Ok(Self {
                positive,
                case,
                ..self
            }),
        }
    }

    /// The set as the engine reshapes it before compiling.
    pub fn optimised(self, in_set: bool) -> Result<Self, Undecidable> {
        match self.kind {
            OneKind::Set(operation, items) => {
                optimised_set(operation, items, self.positive, self.case, in_set)
            }
            OneKind::Everything if in_set => Err(Undecidable::EngineFault),
            _ => {
                let one = self;
                one.refuse_expansion(in_set)?;
                Ok(one)
            }
        }
    }

    /// Under full case folding a set that holds `ß` would also take `ss`.
    fn refuse_expansion(&self, in_set: bool) -> Result<(), Undecidable> {
        if in_set || !self.positive || self.case != Case::Folded {
            return Ok(());
        }
        let expands = match &self.kind {
            OneKind::Range(_, upper) => *upper >= 0x80,
            OneKind::Set(..) => self.may_hold_beyond_ascii(),
            OneKind::Literal(value) => *value >= 0x80,
            _ => false,
        };
        if expands {
            Err(Undecidable::FullCaseFolding)
        } else {
            Ok(())
        }
    }

    /// False only where no character outside ASCII can be in the set.
    fn may_hold_beyond_ascii(&self) -> bool {
        match &self.kind {
            _ if !self.positive => true,
            OneKind::Literal(value) => *value >= 0x80,
            OneKind::Range(_, upper) => *upper >= 0x80,
            OneKind::Set(SetOperation::Union, items) => {
                items.iter().any(One::may_hold_beyond_ascii)
            }
            _ => true,
        }
    }
}

fn optimised_set(
    operation: SetOperation,
    items: Vec<One>,
    positive: bool,
    case: Case,
    in_set: bool,
) -> Result<One, Undecidable> {
    let mut items = items;
    if operation == SetOperation::Difference && items.len() > 2 {
        let rest = items.split_off(1);
        items.push(One::union(rest));
    }
    if operation == SetOperation::Difference && items.len() == 1 {
        return single(items, positive, case, in_set, KeepsSign::No);
    }
    let mut flat = Vec::new();
    for item in items {
        let item = item.optimised(true)?;
        match item.kind {
            OneKind::Everything if operation == SetOperation::Union => {
                return Ok(One::plain(OneKind::Everything));
            }
            OneKind::Set(inner, inner_items)
                if inner == operation && item.positive && operation != SetOperation::Difference =>
            {
                flat.extend(inner_items);
            }
            _ => flat.push(item),
        }
    }
    if operation == SetOperation::Union && holds_a_property_and_its_opposite(&flat) {
        return Ok(One::plain(OneKind::Everything));
    }
    if flat.len() == 1 {
        let keeps = if operation == SetOperation::Union {
            KeepsSign::Yes
        } else {
            KeepsSign::No
        };
        return single(flat, positive, case, in_set, keeps);
    }
    let set = One {
        kind: OneKind::Set(operation, flat),
        positive,
        case,
    };
    set.refuse_expansion(in_set)?;
    Ok(set)
}

/// Whether a set of one item passes its own sign on to the item; only unions do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeepsSign {
    Yes,
    No,
}

fn single(
    items: Vec<One>,
    positive: bool,
    case: Case,
    in_set: bool,
    keeps: KeepsSign,
) -> Result<One, Undecidable> {
    let Some(item) = items.into_iter().next() else {
        return Err(Undecidable::EngineFault);
    };
    let sign = if keeps == KeepsSign::Yes {
        item.positive == positive
    } else {
        item.positive
    };
    item.with(sign, case)?.optimised(in_set)
}

fn holds_a_property_and_its_opposite(items: &[One]) -> bool {
    let of_sign = |sign: bool| {
        items
            .iter()
            .filter(move |item| item.positive == sign)
            .filter_map(|item| match item.kind {
                OneKind::Property(value) => Some((value, item.case)),
                _ => None,
            })
    };
    let positive: HashSet<_> = of_sign(true).collect();
    of_sign(false).any(|property| positive.contains(&property))
}

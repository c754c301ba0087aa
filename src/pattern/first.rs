//! The characters that the engine lets a match begin with.
//!
//! Before it matches, the engine looks whether the first character is in a set that it gathered
//! from the pattern. Where a part of the pattern ignores case and another does not, that set is too
//! small (`(?i:x)?[^ya]` does not match `A`); the same set is gathered here, so that the same tags
//! are turned away.

use super::chars::{Alphabet, Beyond, CharSet};
use super::error::Undecidable;
use super::flags::Case;
use super::one::{One, OneKind};
use super::reshape::Direction;
use super::tree::Node;

/// What the engine's look at the first character changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstCharacter {
    /// Nothing: whatever it turns away would not match anyway.
    Harmless,
    /// Nothing for ASCII tags; for others it is not known.
    HarmlessInAscii,
    /// Tags that do not begin with one of these ASCII characters do not match.
    OneOf(u128),
}

/// Gathers the set for a whole (reshaped) pattern.
pub fn first_character(
    root: &Node,
    direction: Direction,
    alphabet: Alphabet,
) -> Result<FirstCharacter, Undecidable> {
    if starts_simply(root) {
        return Ok(FirstCharacter::Harmless);
    }
    let Some(first) = gather(root, direction) else {
        return Ok(FirstCharacter::Harmless);
    };
    if first.may_be_nothing || first.ones.is_empty() {
        return Ok(FirstCharacter::Harmless);
    }
    let mut members: Vec<One> = Vec::new();
    let mut case = Case::Exact;
    let mut real = 0;
    for one in &first.ones {
        if matches!(one.kind, OneKind::Literal(_)) && !one.positive {
            return Ok(FirstCharacter::Harmless);
        }
        case = case.max(one.case);
        let set = CharSet::of(one, alphabet);
        real |= set.ascii;
        let member = one.clone().with(one.positive, Case::Exact)?;
        if !members.contains(&member) {
            members.push(member);
        }
    }
    if case == Case::Exact {
        return Ok(FirstCharacter::Harmless);
    }
    let gathered = One {
        case: Case::Ignored,
        ..One::union(members)
    }
    .optimised(true)?;
    let gathered = CharSet::of(&gathered, alphabet);
    if real & !gathered.ascii != 0 {
        return match direction {
            // Which literals are folded depends on tables that are not modelled.
            _ if case == Case::Folded => Err(Undecidable::FullCaseFolding),
            Direction::Forward => Ok(FirstCharacter::OneOf(gathered.ascii)),
            Direction::Backward => Err(Undecidable::Reverse),
        };
    }
    let mixed = first.ones.iter().any(|one| !one.case.is_ignored());
    if mixed && gathered.beyond != Beyond::Known(Vec::new()) {
        return Ok(FirstCharacter::HarmlessInAscii);
    }
    Ok(FirstCharacter::Harmless)
}

/// With a plain character at its start a pattern needs no such set.
fn starts_simply(node: &Node) -> bool {
    match node {
        Node::One(one) => !matches!(one.kind, OneKind::Range(..)),
        Node::Sequence(nodes) => nodes.first().is_some_and(starts_simply),
        Node::Group(_, node) | Node::Atomic(node) => starts_simply(node),
        _ => false,
    }
}

#[derive(Default)]
struct First {
    ones: Vec<One>,
    may_be_nothing: bool,
}

impl First {
    fn nothing() -> Self {
        Self {
            ones: Vec::new(),
            may_be_nothing: true,
        }
    }
}

/// None where the engine gives up on the set.
fn gather(node: &Node, direction: Direction) -> Option<First> {
    Some(match node {
        Node::One(one) => match one.kind {
            // The engine gives up on a dot, and on a range that is not part of a larger set.
            OneKind::Everything | OneKind::NotLineFeed | OneKind::NotLineBreak => return None,
            OneKind::Range(..) => return None,
            _ => First {
                ones: vec![one.clone()],
                may_be_nothing: false,
            },
        },
        Node::LineEnding => First {
            ones: vec![One::plain(OneKind::Range(0x0a, 0x0d))],
            may_be_nothing: false,
        },
        Node::Assertion(_) | Node::Fail | Node::Verb => First::nothing(),
        Node::Sequence(nodes) => {
            let mut first = First::nothing();
            let mut in_order = packed(nodes);
            if direction == Direction::Backward {
                in_order.reverse();
            }
            for node in &in_order {
                let next = gather(node, direction)?;
                first.ones.extend(next.ones);
                if !next.may_be_nothing {
                    first.may_be_nothing = false;
                    break;
                }
            }
            first
        }
        Node::Branch(nodes) => union(nodes.iter(), direction)?,
        Node::Conditional(conditional) => {
            union([&conditional.yes, &conditional.no].into_iter(), direction)?
        }
        Node::Repeat(repeat) => {
            let mut first = gather(&repeat.node, direction)?;
            first.may_be_nothing |= repeat.minimum == 0;
            first
        }
        Node::Group(_, node) | Node::Atomic(node) => gather(node, direction)?,
        Node::Look(look, node) => {
            if look.is_positive() && Direction::of(*look) == direction {
                gather(node, direction)?
            } else {
                First::nothing()
            }
        }
        Node::Reference(_)
        | Node::LookConditional(_)
        | Node::Call(..)
        | Node::Grapheme
        | Node::Fuzzy(_) => return None,
    })
}

/// Literals in a row as the engine packs them: a run without a letter does not ignore case.
fn packed(nodes: &[Node]) -> Vec<Node> {
    let mut packed = nodes.to_vec();
    let mut run: Vec<usize> = Vec::new();
    let mut case = Case::Exact;
    for (index, node) in nodes.iter().enumerate() {
        let Some((value, own_case)) = positive_literal(node) else {
            settle(&mut packed, &mut run, case);
            continue;
        };
        if own_case != case && (own_case.is_ignored() || is_cased(value)) {
            settle(&mut packed, &mut run, case);
            case = own_case;
        }
        run.push(index);
    }
    settle(&mut packed, &mut run, case);
    packed
}

/// Gives a run of literals the case that the engine gives it.
fn settle(nodes: &mut [Node], run: &mut Vec<usize>, case: Case) {
    let has_letter = run
        .iter()
        .filter_map(|&index| positive_literal(&nodes[index]))
        .any(|(value, _)| is_cased(value));
    let case = if has_letter { case } else { Case::Exact };
    for index in run.drain(..) {
        if let Node::One(one) = &mut nodes[index] {
            one.case = case;
        }
    }
}

fn positive_literal(node: &Node) -> Option<(u32, Case)> {
    match node {
        Node::One(one) => one.as_positive_literal().map(|value| (value, one.case)),
        _ => None,
    }
}

/// Letters outside ASCII count as cased: then the set is looked at more closely, not less.
fn is_cased(value: u32) -> bool {
    u8::try_from(value).map_or(true, |byte| byte.is_ascii_alphabetic() || byte >= 0x80)
}

fn union<'a>(nodes: impl Iterator<Item = &'a Node>, direction: Direction) -> Option<First> {
    let mut all = First::default();
    for node in nodes {
        let first = gather(node, direction)?;
        all.ones.extend(first.ones);
        all.may_be_nothing |= first.may_be_nothing;
    }
    Some(all)
}

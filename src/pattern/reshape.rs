//! The engine's own rewriting of the tree before it compiles it, as far as that changes what is
//! matched: sequences are flattened, common prefixes leave their alternatives, and neighbouring
//! one-character alternatives become one set (which, with negative characters, is another set).

use super::error::Undecidable;
use super::flags::Case;
use super::one::{One, OneKind};
use super::tree::{Conditional, Look, LookConditional, Node, Repeat};

/// Which way the engine goes through a part of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From left to right.
    Forward,
    /// From right to left: under `(?r)` and inside a look-behind.
    Backward,
}

impl Direction {
    /// The direction inside a look-around.
    pub fn of(look: Look) -> Self {
        if look.is_behind() {
            Self::Backward
        } else {
            Self::Forward
        }
    }
}

/// Rewrites a node.
pub fn reshape(node: Node, direction: Direction) -> Result<Node, Undecidable> {
    Ok(match node {
        Node::One(one) => Node::One(one.optimised(false)?),
        Node::Sequence(nodes) => sequence(nodes, direction)?,
        Node::Branch(nodes) => branch(nodes, direction)?,
        Node::Repeat(repeat) => Node::Repeat(Box::new(Repeat {
            node: reshape(repeat.node, direction)?,
            ..*repeat
        })),
        Node::Group(number, node) => Node::Group(number, Box::new(reshape(*node, direction)?)),
        Node::Atomic(node) => {
            let node = reshape(*node, direction)?;
            if node.is_empty() {
                node
            } else {
                Node::Atomic(Box::new(node))
            }
        }
        Node::Look(look, node) => {
            let node = reshape(*node, Direction::of(look))?;
            if look.is_positive() && node.is_empty() {
                node
            } else {
                Node::Look(look, Box::new(node))
            }
        }
        Node::Conditional(conditional) => Node::Conditional(Box::new(Conditional {
            yes: reshape(conditional.yes, direction)?,
            no: reshape(conditional.no, direction)?,
            ..*conditional
        })),
        Node::LookConditional(conditional) => {
            let inner = Direction::of(conditional.look);
            Node::LookConditional(Box::new(LookConditional {
                look: conditional.look,
                condition: reshape(conditional.condition, inner)?,
                yes: reshape(conditional.yes, inner)?,
                no: reshape(conditional.no, inner)?,
            }))
        }
        other => other,
    })
}

fn one_or_sequence(mut nodes: Vec<Node>) -> Node {
    if nodes.len() == 1 {
        nodes.remove(0)
    } else {
        Node::Sequence(nodes)
    }
}

fn sequence(nodes: Vec<Node>, direction: Direction) -> Result<Node, Undecidable> {
    let mut flat = Vec::new();
    for node in nodes {
        match reshape(node, direction)? {
            Node::Sequence(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    Ok(one_or_sequence(flat))
}

fn branch(nodes: Vec<Node>, direction: Direction) -> Result<Node, Undecidable> {
    let mut branches: Vec<Vec<Node>> = Vec::new();
    for node in nodes {
        match reshape(node, direction)? {
            Node::Branch(inner) => branches.extend(inner.into_iter().map(items)),
            other => branches.push(items(other)),
        }
    }
    let common = match direction {
        Direction::Forward => common_length(&branches, |items, n| items.get(n)),
        Direction::Backward => common_length(&branches, |items, n| items.iter().rev().nth(n)),
    };
    let mut shared = Vec::new();
    for items in &mut branches {
        shared = match direction {
            Direction::Forward => items.drain(..common).collect(),
            Direction::Backward => items.split_off(items.len() - common),
        };
    }
    let mut rest = merge_ones(branches)?;
    let rest = match rest.len() {
        1 => rest.remove(0),
        _ => Node::Branch(rest),
    };
    Ok(one_or_sequence(match direction {
        Direction::Forward => shared.into_iter().chain([rest]).collect(),
        Direction::Backward => [rest].into_iter().chain(shared).collect(),
    }))
}

fn items(node: Node) -> Vec<Node> {
    match node {
        Node::Sequence(items) => items,
        other => vec![other],
    }
}

/// How many items all branches have in common, from the side that `nth` counts from.
fn common_length(
    branches: &[Vec<Node>],
    nth: impl for<'a> Fn(&'a [Node], usize) -> Option<&'a Node>,
) -> usize {
    let Some((first, others)) = branches.split_first() else {
        return 0;
    };
    let mut length = 0;
    while let Some(item) = nth(first, length)
        && can_be_shared(item)
        && others.iter().all(|other| nth(other, length) == Some(item))
    {
        length += 1;
    }
    length
}

/// Whether the engine takes such a node out of alternatives.
fn can_be_shared(node: &Node) -> bool {
    match node {
        Node::Sequence(_) | Node::Repeat(_) | Node::Group(..) => false,
        Node::Branch(nodes) => nodes.iter().all(can_be_shared),
        Node::Atomic(node) | Node::Look(_, node) => can_be_shared(node),
        Node::Conditional(conditional) => {
            can_be_shared(&conditional.yes) && can_be_shared(&conditional.no)
        }
        // `\R` is an atomic choice of a string and a set.
        _ => true,
    }
}

/// Joins neighbouring branches of one character each into one set.
fn merge_ones(branches: Vec<Vec<Node>>) -> Result<Vec<Node>, Undecidable> {
    let mut merged = Vec::new();
    let mut pending: Vec<One> = Vec::new();
    let mut case = Case::Exact;
    for items in branches {
        match one_or_sequence(items) {
            Node::One(one) if can_be_merged(&one) => {
                if one.case != case {
                    flush(&mut pending, case, &mut merged)?;
                    case = one.case;
                }
                let positive = one.positive;
                let member = one.with(positive, Case::Exact)?;
                if !pending.contains(&member) {
                    pending.push(member);
                }
            }
            other => {
                flush(&mut pending, case, &mut merged)?;
                merged.push(other);
            }
        }
    }
    flush(&mut pending, case, &mut merged)?;
    Ok(merged)
}

/// Ranges and dots are not joined.
fn can_be_merged(one: &One) -> bool {
    matches!(
        one.kind,
        OneKind::Literal(_) | OneKind::Property(_) | OneKind::Set(..)
    )
}

fn flush(pending: &mut Vec<One>, case: Case, merged: &mut Vec<Node>) -> Result<(), Undecidable> {
    let mut members = std::mem::take(pending);
    let one = match members.len() {
        0 => return Ok(()),
        1 => members.remove(0),
        _ => {
            if case == Case::Folded && members.iter().any(|member| !member.positive) {
                // What is shared first depends on folding tables here.
                return Err(Undecidable::FullCaseFolding);
            }
            One::union(members).optimised(false)?
        }
    };
    let positive = one.positive;
    merged.push(Node::One(one.with(positive, case)?));
    Ok(())
}

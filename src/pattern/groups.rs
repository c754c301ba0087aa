//! Capture groups while a pattern is read: their numbers, their names, and whether a reference to
//! one leads anywhere.

use std::collections::HashMap;

use super::error::{Complaint, Refusal};
use super::tree::{Conditional, LookConditional, Node, Reference, Repeat, Target};

/// The groups seen so far.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// How many numbers are given out.
    pub count: u64,
    by_name: HashMap<String, u64>,
    names: HashMap<u64, String>,
    open: Vec<i64>,
    opened: HashMap<u64, u64>,
    private: i64,
}

impl Groups {
    /// Opens a group and gives it a number; a nested group of the same name gets a negative one.
    pub fn open(&mut self, name: Option<&str>) -> i32 {
        let known = name.and_then(|name| self.by_name.get(name)).copied();
        let number = known.unwrap_or_else(|| self.new_number(name));
        let mut alias = number as i64;
        if self.open.contains(&alias) {
            self.private += 1;
            alias = -self.private;
        } else {
            *self.opened.entry(number).or_insert(0) += 1;
        }
        self.open.push(alias);
        alias as i32
    }

    fn new_number(&mut self, name: Option<&str>) -> u64 {
        loop {
            self.count += 1;
            if name.is_none() || !self.names.contains_key(&self.count) {
                break;
            }
        }
        if let Some(name) = name {
            self.by_name.insert(name.to_owned(), self.count);
            self.names.insert(self.count, name.to_owned());
        }
        self.count
    }

    /// Closes the group opened last.
    pub fn close(&mut self) {
        self.open.pop();
    }

    /// Whether the group is being read right now.
    pub fn is_open(&self, target: &Target) -> bool {
        let number = match target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => self.by_name.get(name).copied(),
        };
        number.is_some_and(|number| self.open.contains(&(number as i64)))
    }

    fn number(&self, target: &Target) -> Option<u64> {
        match target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => self.by_name.get(name).copied(),
        }
        .filter(|&number| number <= self.count)
    }

    /// Complains of references, conditions and calls that lead nowhere, in reading order.
    pub fn check(&self, node: &Node) -> Result<(), Refusal> {
        let complain = |position, complaint| Err(Refusal::invalid(position, complaint));
        match node {
            Node::Reference(reference) => match self.number(&reference.target) {
                Some(1..) => {}
                _ => return complain(reference.position, Complaint::UnknownGroup),
            },
            Node::Conditional(conditional) => {
                let is_define = conditional.target == Target::Name("DEFINE".to_owned());
                if self.number(&conditional.target).is_none() && !is_define {
                    return complain(conditional.position, Complaint::UnknownGroup);
                }
            }
            Node::Call(target, position) => match self.number(target) {
                None => return complain(*position, Complaint::UnknownGroup),
                Some(number) if self.opened.get(&number).is_some_and(|&times| times > 1) => {
                    return complain(*position, Complaint::AmbiguousGroup);
                }
                Some(_) => {}
            },
            _ => {}
        }
        node.children()
            .into_iter()
            .try_for_each(|child| self.check(child))
    }

    /// Turns every name into its number. Positions go, so that equal nodes compare equal.
    pub fn resolve(&self, node: Node) -> Node {
        let target = |target: Target| match self.number(&target) {
            Some(number) => Target::Number(number),
            None => target,
        };
        let all = |nodes: Vec<Node>| nodes.into_iter().map(|node| self.resolve(node)).collect();
        match node {
            Node::Sequence(nodes) => Node::Sequence(all(nodes)),
            Node::Branch(nodes) => Node::Branch(all(nodes)),
            Node::Repeat(repeat) => Node::Repeat(Box::new(Repeat {
                node: self.resolve(repeat.node),
                ..*repeat
            })),
            Node::Group(number, node) => Node::Group(number, Box::new(self.resolve(*node))),
            Node::Look(look, node) => Node::Look(look, Box::new(self.resolve(*node))),
            Node::Atomic(node) => Node::Atomic(Box::new(self.resolve(*node))),
            Node::Fuzzy(node) => Node::Fuzzy(Box::new(self.resolve(*node))),
            Node::Reference(reference) => Node::Reference(Reference {
                target: target(reference.target),
                case: reference.case,
                position: 0,
            }),
            Node::Conditional(conditional) => Node::Conditional(Box::new(Conditional {
                target: target(conditional.target),
                yes: self.resolve(conditional.yes),
                no: self.resolve(conditional.no),
                position: 0,
            })),
            Node::LookConditional(conditional) => {
                Node::LookConditional(Box::new(LookConditional {
                    look: conditional.look,
                    condition: self.resolve(conditional.condition),
                    yes: self.resolve(conditional.yes),
                    no: self.resolve(conditional.no),
                }))
            }
            Node::Call(called, _) => Node::Call(target(called), 0),
            other => other,
        }
    }
}

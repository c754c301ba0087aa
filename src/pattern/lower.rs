//! From the typed tree to its meaning; what cannot be carried over exactly is undecidable.

use std::collections::{HashMap, HashSet};

use super::MAX_TAG_CHARS;
use super::chars::{Alphabet, Beyond, CharSet};
use super::error::Undecidable;
use super::flags::Case;
use super::meaning::{Loop, Meaning, Place, Power, Reservations};
use super::one::{One, OneKind};
use super::reshape::Direction;
use super::tree::{Assertion, Look, Mode, Node, Repeat, Target};

/// Where a node stands, as far as it matters for what can be carried over.
#[derive(Clone, Copy, Default)]
struct Surroundings {
    in_repeat: bool,
    in_look: bool,
    in_look_behind: bool,
    in_atomic: bool,
}

/// How often, and where, a group stands in the tree.
#[derive(Clone, Copy, Default)]
struct GroupUse {
    definitions: u32,
    is_referred_to: bool,
    in_repeat_or_look: bool,
}

/// The place of groups without a number of their own.
const NESTED_NAMESAKE: u64 = u64::MAX;

/// The work in progress.
pub struct Lowering {
    alphabet: Alphabet,
    direction: Direction,
    groups: HashMap<u64, GroupUse>,
    numbers: HashMap<u64, u32>,
    /// The groups whose end was already passed.
    closed: HashSet<u64>,
    reservations: Reservations,
}

impl Lowering {
    /// Takes stock of the groups first.
    pub fn new(root: &Node, alphabet: Alphabet, direction: Direction) -> Self {
        let mut groups = HashMap::new();
        take_stock(root, false, &mut groups);
        let mut referred: Vec<u64> = groups
            .iter()
            .filter(|(_, group)| group.is_referred_to && group.definitions > 0)
            .map(|(&number, _)| number)
            .collect();
        referred.sort_unstable();
        Self {
            alphabet,
            direction,
            groups,
            numbers: referred.into_iter().zip(1..).collect(),
            closed: HashSet::new(),
            reservations: Reservations::default(),
        }
    }

    /// The meaning of the whole tree.
    pub fn lower(mut self, root: &Node) -> Result<(Meaning, Reservations), Undecidable> {
        let meaning = self.node(root, Surroundings::default())?;
        Ok((meaning, self.reservations))
    }

    fn node(&mut self, node: &Node, around: Surroundings) -> Result<Meaning, Undecidable> {
        Ok(match node {
            Node::One(one) => {
                if self.alphabet == Alphabet::Ascii && is_case_property(one) {
                    return Err(Undecidable::CaseProperty);
                }
                let set = CharSet::of(one, self.alphabet);
                self.reservations.unicode |= set.beyond == Beyond::Unknown;
                Meaning::Chars(set)
            }
            Node::Assertion(assertion) => self.assertion(*assertion)?,
            Node::Sequence(nodes) => Meaning::Sequence(self.all(nodes, around)?),
            Node::Branch(nodes) => Meaning::Branch(self.all(nodes, around)?),
            Node::Repeat(repeat) if is_optional(repeat) && holds_a_group(&repeat.node) => {
                let node = self.node(&repeat.node, around)?;
                self.optional(node, repeat.mode)
            }
            Node::Repeat(repeat) => {
                let inside = Surroundings {
                    in_repeat: true,
                    in_atomic: around.in_atomic || repeat.mode == Mode::Possessive,
                    ..around
                };
                let node = self.node(&repeat.node, inside)?;
                self.repeat(node, (repeat.minimum, repeat.maximum), repeat.mode, around)?
            }
            Node::Group(number, node) => self.group(*number, node, around)?,
            Node::Look(look, node) => self.look(*look, node, around)?,
            Node::Atomic(node) => {
                if around.in_look_behind {
                    return Err(Undecidable::LookBehind);
                }
                let inside = Surroundings {
                    in_atomic: true,
                    ..around
                };
                Meaning::Atomic(Box::new(self.node(node, inside)?))
            }
            Node::Reference(reference) => {
                self.reference(&reference.target, reference.case, around)?
            }
            Node::Conditional(conditional) => {
                let number = match self.referred(&conditional.target, around)? {
                    Some(number) => number,
                    None => {
                        self.node(&conditional.yes, around)?;
                        return self.node(&conditional.no, around);
                    }
                };
                let yes = self.node(&conditional.yes, around)?;
                let no = self.node(&conditional.no, around)?;
                Meaning::Condition(number, Box::new((yes, no)))
            }
            // The engine loses its place among later choices when a negative condition holds.
            Node::LookConditional(conditional) if !conditional.look.is_positive() => {
                return Err(Undecidable::Condition);
            }
            Node::LookConditional(conditional) => {
                let holds = self.look(conditional.look, &conditional.condition, around)?;
                let fails =
                    self.look(conditional.look.opposite(), &conditional.condition, around)?;
                let yes = self.node(&conditional.yes, around)?;
                let no = self.node(&conditional.no, around)?;
                Meaning::Branch(vec![
                    Meaning::Sequence(vec![holds, yes]),
                    Meaning::Sequence(vec![fails, no]),
                ])
            }
            Node::LineEnding => {
                self.reservations.controls = true;
                self.reservations.unicode = true;
                Meaning::Never
            }
            Node::Grapheme => {
                self.reservations.controls = true;
                self.reservations.unicode = true;
                Meaning::Chars(CharSet {
                    ascii: u128::MAX,
                    beyond: Beyond::Unknown,
                })
            }
            Node::Fail => Meaning::Never,
            Node::Call(..) => return Err(Undecidable::Recursion),
            Node::Verb => return Err(Undecidable::Verb),
            Node::Fuzzy(_) => return Err(Undecidable::Fuzzy),
        })
    }

    fn all(&mut self, nodes: &[Node], around: Surroundings) -> Result<Vec<Meaning>, Undecidable> {
        nodes.iter().map(|node| self.node(node, around)).collect()
    }

    fn assertion(&mut self, assertion: Assertion) -> Result<Meaning, Undecidable> {
        let place = match assertion {
            Assertion::TextStart => Place::Start,
            Assertion::TextEnd => Place::End,
            Assertion::TextEndOrLastLineFeed => Place::EndOrLastLineFeed,
            Assertion::TextEndOrLastLineBreak => Place::EndOrLastLineBreak,
            Assertion::LineStart => Place::LineStart,
            Assertion::UnicodeLineStart => Place::UnicodeLineStart,
            Assertion::LineEnd => Place::LineEnd,
            Assertion::UnicodeLineEnd => Place::UnicodeLineEnd,
            Assertion::WordBoundary => Place::WordBoundary,
            Assertion::NotWordBoundary => Place::NotWordBoundary,
            Assertion::WordStart => Place::WordStart,
            Assertion::WordEnd => Place::WordEnd,
            Assertion::DefaultBoundary => return Err(Undecidable::DefaultBoundary),
            // A search backwards begins, and keeps, at the other end.
            Assertion::SearchStart | Assertion::Keep if self.direction == Direction::Backward => {
                return Err(Undecidable::Reverse);
            }
            Assertion::SearchStart => Place::Start,
            Assertion::Keep => return Ok(Meaning::nothing()),
        };
        self.reservations.unicode |= matches!(
            place,
            Place::WordBoundary | Place::NotWordBoundary | Place::WordStart | Place::WordEnd
        );
        let unicode_break = matches!(
            place,
            Place::EndOrLastLineBreak | Place::UnicodeLineStart | Place::UnicodeLineEnd
        );
        self.reservations.unicode |= unicode_break;
        self.reservations.controls |= unicode_break;
        Ok(Meaning::Place(place))
    }

    /// A repeat, with counts that no tag can reach taken down to what one can.
    fn repeat(
        &mut self,
        node: Meaning,
        (minimum, maximum): (u32, Option<u32>),
        mode: Mode,
        around: Surroundings,
    ) -> Result<Meaning, Undecidable> {
        let limit = MAX_TAG_CHARS as u32;
        let least = node.least_length();
        let atomic = around.in_atomic || mode == Mode::Possessive;
        if mode == Mode::Possessive && around.in_look_behind {
            return Err(Undecidable::LookBehind);
        }
        if maximum == Some(0) {
            return Ok(Meaning::nothing());
        }
        if node.takes_no_character() {
            // A place is the same however often it is asked for.
            return Ok(if minimum == 0 {
                Meaning::nothing()
            } else {
                node
            });
        }
        if least == 0 && atomic && maximum != Some(1) {
            return Err(Undecidable::EmptyLoop);
        }
        if minimum > 0 && least.saturating_mul(minimum) > limit {
            return Ok(Meaning::Never);
        }
        let forgiving = node.power() == Power::Regular && node.always_allows_nothing();
        let minimum = if forgiving { 0 } else { minimum.min(limit + 1) };
        let maximum = maximum.filter(|&maximum| maximum <= limit);
        let repeat = Meaning::Repeat(Box::new(Loop {
            node,
            minimum,
            maximum,
            greedy: mode != Mode::Lazy,
        }));
        Ok(match mode {
            Mode::Possessive => Meaning::Atomic(Box::new(repeat)),
            Mode::Greedy | Mode::Lazy => repeat,
        })
    }

    fn group(
        &mut self,
        number: i32,
        node: &Node,
        around: Surroundings,
    ) -> Result<Meaning, Undecidable> {
        let inside = self.node(node, around)?;
        let number = u64::try_from(number).unwrap_or(NESTED_NAMESAKE);
        self.closed.insert(number);
        Ok(match self.numbers.get(&number) {
            Some(&number) => Meaning::Capture(number, Box::new(inside)),
            None => inside,
        })
    }

    fn look(
        &mut self,
        look: Look,
        node: &Node,
        around: Surroundings,
    ) -> Result<Meaning, Undecidable> {
        let inside = Surroundings {
            in_look: true,
            in_look_behind: look.is_behind() || around.in_look_behind,
            ..around
        };
        let node = self.node(node, inside)?;
        Ok(Meaning::Look(look, Box::new(node)))
    }

    fn reference(
        &mut self,
        target: &Target,
        case: Case,
        around: Surroundings,
    ) -> Result<Meaning, Undecidable> {
        self.reservations.unicode |= case.is_ignored();
        Ok(match self.referred(target, around)? {
            Some(number) => Meaning::Reference(number, case),
            None => Meaning::Never,
        })
    }

    /// Our number of a group that is referred to, where that can be followed; none for a group that
    /// cannot have taken anything yet.
    fn referred(&self, target: &Target, around: Surroundings) -> Result<Option<u32>, Undecidable> {
        let Target::Number(number) = target else {
            return Err(Undecidable::Reference);
        };
        let group = self.groups.get(number).copied().unwrap_or_default();
        let nested = self.groups.contains_key(&NESTED_NAMESAKE);
        if around.in_repeat || around.in_look || group.definitions != 1 || nested {
            return Err(Undecidable::Reference);
        }
        if !self.closed.contains(number) {
            return Ok(None);
        }
        if group.in_repeat_or_look {
            return Err(Undecidable::Reference);
        }
        let own = self.numbers.get(number).copied();
        own.map(Some).ok_or(Undecidable::Reference)
    }

    /// A group that may be left out: as a choice, so that the group is in no loop.
    fn optional(&mut self, node: Meaning, mode: Mode) -> Meaning {
        Meaning::Branch(match mode {
            Mode::Lazy => vec![Meaning::nothing(), node],
            Mode::Greedy | Mode::Possessive => vec![node, Meaning::nothing()],
        })
    }
}

/// `x?` and `x??`, where x takes at least one character.
fn is_optional(repeat: &Repeat) -> bool {
    let once = repeat.minimum == 0 && repeat.maximum == Some(1);
    once && repeat.mode != Mode::Possessive && takes_a_character(&repeat.node)
}

fn is_case_property(one: &One) -> bool {
    one.case.is_ignored() && matches!(&one.kind, OneKind::Property(value) if value.is_about_case())
}

fn holds_a_group(node: &Node) -> bool {
    matches!(node, Node::Group(..)) || node.children().into_iter().any(holds_a_group)
}

/// Whether the node surely takes a character.
fn takes_a_character(node: &Node) -> bool {
    match node {
        Node::One(_) | Node::Grapheme | Node::LineEnding => true,
        Node::Sequence(nodes) => nodes.iter().any(takes_a_character),
        Node::Branch(nodes) => nodes.iter().all(takes_a_character),
        Node::Group(_, node) | Node::Atomic(node) => takes_a_character(node),
        Node::Repeat(repeat) => repeat.minimum > 0 && takes_a_character(&repeat.node),
        _ => false,
    }
}

fn take_stock(node: &Node, in_repeat_or_look: bool, groups: &mut HashMap<u64, GroupUse>) {
    let mut below = in_repeat_or_look;
    match node {
        Node::Group(number, _) => {
            // A group nested in its namesake has a negative number, and no reference to the
            // namesake is followed.
            let number = u64::try_from(*number).unwrap_or(NESTED_NAMESAKE);
            let group: &mut GroupUse = groups.entry(number).or_default();
            group.definitions += 1;
            group.in_repeat_or_look |= in_repeat_or_look;
        }
        Node::Reference(reference) => refer(&reference.target, groups),
        Node::Conditional(conditional) => refer(&conditional.target, groups),
        Node::Repeat(repeat) => below |= !is_optional(repeat),
        Node::Look(..) | Node::LookConditional(_) => below = true,
        _ => {}
    }
    for child in node.children() {
        take_stock(child, below, groups);
    }
}

fn refer(target: &Target, groups: &mut HashMap<u64, GroupUse>) {
    if let Target::Number(number) = target {
        groups.entry(*number).or_default().is_referred_to = true;
    }
}

//! The tables of the model: tags, policies, and what the journal and Quay's log say of each tag.

use std::fmt;

/// Rows of `tag` at most, and of policies.
pub const ROWS: usize = 6;
pub const POLICIES: usize = 3;
/// Entries of the journal about one tag at most that are not undone.
const ENTRIES: usize = 6;

/// A set of small numbers: rows, names, policies or pushers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Few(pub u8);

impl Few {
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut few = Self(0);
        numbers.into_iter().for_each(|n| few.insert(n));
        few
    }

    pub fn has(self, n: usize) -> bool {
        self.0 & (1 << n) != 0
    }

    pub fn insert(&mut self, n: usize) {
        self.0 |= 1 << n;
    }

    pub fn remove(&mut self, n: usize) {
        self.0 &= !(1 << n);
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..8).filter(move |n| self.has(*n))
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Whether a row is there, for whom, and whether its tag is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Its id has not been given out.
    #[default]
    None,
    /// Inserted by a push that has not committed.
    Uncommitted,
    Live,
    Dead,
}

/// What Quay's log says that a user last did to a tag. The entry is taken to be there as soon as
/// the act is: where it comes later, or never, nobody can know of the act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Act {
    #[default]
    Nothing,
    Set,
    TakenOff,
}

/// One entry of the journal: whose it is, what it left, and whether it cleared an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub operation: u8,
    pub gave: bool,
    pub had_expiry: bool,
}

/// A row of `tag`; its id is its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag {
    pub presence: Presence,
    pub name: u8,
    pub immutable: bool,
    pub expiring: bool,
    pub act: Act,
    /// The operations that had begun before that.
    pub act_after: Few,
    journal: [Option<Entry>; ENTRIES],
    /// For the oracle: the tag had an expiry, and neither Quay nor a user has cleared it.
    pub owed_expiry: bool,
    /// For the oracle: Quay's users deleted or changed the policy that made it immutable, and
    /// Quay never releases. It may be immutable or mutable.
    pub left: bool,
    /// For the oracle: whoever ended what made it immutable asked that it stay so.
    pub kept: bool,
    /// For the oracle: policies under which the tag may be mutable. Quay's users made them while
    /// the push was deciding, or an administrator knew them and took immutability off.
    pub excused: Few,
    /// For the oracle: operations against whose policy an administrator took immutability off.
    pub against: Few,
}

impl Tag {
    pub fn live(name: u8) -> Self {
        Self {
            presence: Presence::Live,
            name,
            ..Self::default()
        }
    }

    /// Nothing is ever asked about a dead row again: whatever else it held is forgotten.
    pub fn die(&mut self) {
        *self = Self {
            presence: Presence::Dead,
            name: self.name,
            ..Self::default()
        };
    }

    pub fn is_live(&self) -> bool {
        self.presence == Presence::Live
    }

    /// The entries that are not undone, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry> {
        self.journal.iter().copied().flatten()
    }

    pub fn newest(&self) -> Option<Entry> {
        self.entries().next_back()
    }

    pub fn record(&mut self, entry: Entry) {
        let free = self.journal.iter_mut().find(|place| place.is_none());
        *free.expect("more entries about one tag than the model holds") = Some(entry);
    }

    /// Whether an operation has marked the tag, and that is not undone.
    pub fn is_marked_by(&self, operation: usize) -> bool {
        self.entries()
            .any(|entry| entry.operation as usize == operation && entry.gave)
    }

    /// Marks an operation's entries as undone; undone ones are never read again.
    pub fn undo(&mut self, operation: usize) {
        let mut kept = [None; ENTRIES];
        let others = self.entries().filter(|e| e.operation as usize != operation);
        for (place, entry) in kept.iter_mut().zip(others) {
            *place = Some(entry);
        }
        self.journal = kept;
    }
}

/// Whether a policy row is there, and in force for a Quay that knows the column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Force {
    #[default]
    Absent,
    Inactive,
    Active,
}

/// A policy: which names its pattern matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    pub force: Force,
    pub names: Few,
    /// For the oracle: Quay's users made it what it is.
    pub theirs: bool,
}

impl Policy {
    pub fn new(force: Force, names: Few) -> Self {
        Self {
            force,
            names,
            theirs: false,
        }
    }

    pub fn covers(&self, name: u8) -> bool {
        self.force == Force::Active && self.names.has(name as usize)
    }
}

/// The name of a tag as people read it, and of a policy.
pub fn tag_name(name: u8) -> String {
    format!("v{}", name + 1)
}

pub fn policy_name(slot: usize) -> char {
    char::from(b'A' + u8::try_from(slot).unwrap_or(0))
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = (0..8)
            .filter(|n| self.names.has(usize::from(*n)))
            .map(tag_name)
            .collect();
        let force = match self.force {
            Force::Absent => return f.write_str("absent"),
            Force::Inactive => "inactive",
            Force::Active => "active",
        };
        write!(f, "{force} on {}", names.join(", "))
    }
}

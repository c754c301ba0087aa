//! What is wrong with an end, by name.

use std::fmt;

use quay_doctor::quay::TagId;

/// How an operation ended, as far as the database shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// As if it had never run.
    Never,
    /// As if it had run undisturbed.
    Done,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The policies are neither as if the operation had never run nor as if it had run.
    Policies {
        /// As they ought to be.
        expected: Vec<String>,
        /// As they are.
        found: Vec<String>,
    },
    /// A tag ought to be immutable and is not.
    Unprotected(String),
    /// A tag is immutable, and nothing makes it so.
    Orphan(String),
    /// A tag had an expiry and has none, although it is not immutable.
    ExpiryLost(String),
    /// We gave a tag an expiration that is not the last one that somebody else gave it.
    NotItsOwn(String),
    /// A tag was released without the expiration that we had cleared, and no result names it.
    Unnamed(String),
    /// A user's own immutability, or a label's, was taken off.
    UserProtectionLost(String),
    /// A live tag died, and neither its own expiry nor a push or a user ended it.
    Died(String),
    /// A tag that had ended is alive.
    Resurrected(String),
    /// A row is gone.
    RowGone(TagId),
    /// Something of a tag is otherwise than it can be.
    Otherwise(String),
    /// An operation has not ended.
    Unfinished(i64),
    /// `check --strict` finds what was not there before.
    NewViolation(String),
    /// A second recovery changed something.
    RecoveryIsNotStable,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policies { expected, found } => {
                write!(f, "the policies are {found:?}, not {expected:?}")
            }
            Self::Unprotected(tag) => write!(f, "unprotected: {tag}"),
            Self::Orphan(tag) => write!(f, "immutable without a reason: {tag}"),
            Self::ExpiryLost(tag) => write!(f, "expiry lost: {tag}"),
            Self::NotItsOwn(tag) => write!(f, "an expiry that is not its own: {tag}"),
            Self::Unnamed(tag) => write!(f, "an expiry was left out and not named: {tag}"),
            Self::UserProtectionLost(tag) => write!(f, "a user's own immutability is lost: {tag}"),
            Self::Died(tag) => write!(f, "a live tag died: {tag}"),
            Self::Resurrected(tag) => write!(f, "a dead tag is alive: {tag}"),
            Self::RowGone(tag) => write!(f, "the row of tag {tag} is gone"),
            Self::Otherwise(tag) => write!(f, "a tag is otherwise than it can be: {tag}"),
            Self::Unfinished(operations) => write!(f, "{operations} operations have not ended"),
            Self::NewViolation(violation) => write!(f, "a new violation: {violation}"),
            Self::RecoveryIsNotStable => f.write_str("a second recovery changed something"),
        }
    }
}

/// Which end each operation came to, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One end an operation: those with which the fewest things are wrong.
    pub ends: Vec<End>,
    /// What is wrong; nothing where the end is consistent.
    pub wrong: Vec<Wrong>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_consistent(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.ends)?;
        for wrong in &self.wrong {
            write!(f, "\n  {wrong}")?;
        }
        Ok(())
    }
}

//! The moments of an operation at which tests hold it or kill it, each told by what goes over the wire.
//!
//! For the server a client that is killed anywhere between two messages is the same client; so a moment
//! is a statement before it goes out, or the answer to one before it comes back. A text that no statement
//! has any more makes the test that waits for it fail: the moment is never reached.

use crate::proxy::{FaultProxy, Hold, When, Which};

/// Before a statement goes out, or before its answer comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Which statement it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// One that contains this.
    By(&'static str),
    /// One that contains this and is the first of its transaction.
    ByOpening(&'static str),
    /// The COMMIT of a transaction in which a statement contained this.
    ByCommitOf(&'static str),
}

/// A moment of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    name: &'static str,
    side: Side,
    told: Told,
    nth: u64,
}

const fn first(name: &'static str, side: Side, told: Told) -> Moment {
    Moment {
        name,
        side,
        told,
        nth: 1,
    }
}

/// What only the transaction that begins an operation contains.
const BEGINS: Told = Told::ByCommitOf("INSERT INTO quay_doctor.operation");
/// What a batch contains that changes tags.
const CHANGES_TAGS: Told = Told::ByCommitOf("UPDATE tag SET");
/// What activates a policy, deactivates it or gives it another text.
const CHANGES_POLICY: Told = Told::ByCommitOf("SET policy");
/// What takes an operation over.
const TAKES_OVER: Told = Told::ByCommitOf("SET fence");
/// What a batch of a roll-back contains.
const UNDOES: Told = Told::ByCommitOf("tag_change SET undone_at");
/// The look for transactions that have read a policy table.
const SETTLES: Told = Told::By("locktype = 'relation'");

/// An operation is in the journal.
pub const AFTER_BEGIN: Moment = first("after-begin", Side::After, BEGINS);
/// A page of names was read, by which batches are made.
pub const PAGE_READ: Moment = first("page-read", Side::After, Told::By("(name, id) >"));
/// A batch has its repository's lock and has read nothing yet.
pub const REPOSITORY_LOCKED: Moment = first(
    "repository-locked",
    Side::After,
    Told::By("pg_advisory_xact_lock($1)"),
);
/// A batch has read the rows that it is about to change.
pub const ROWS_READ: Moment = first(
    "rows-read",
    Side::After,
    Told::By("hidden FROM tag WHERE id = ANY"),
);
/// A batch is done and not committed.
pub const BEFORE_COMMIT: Moment = first("before-commit", Side::Before, CHANGES_TAGS);
/// A batch is committed.
pub const AFTER_COMMIT: Moment = first("after-commit", Side::After, CHANGES_TAGS);
/// Every tag is marked; the transaction that activates has begun and has read and locked nothing.
pub const BEFORE_ACTIVATION: Moment = first(
    "before-activation",
    Side::Before,
    Told::ByOpening("FOR SHARE"),
);
/// The policy is active, and nothing was swept.
pub const AFTER_ACTIVATION: Moment = first("after-activation", Side::After, CHANGES_POLICY);
/// One sweep is over, nobody decides by the policies as they were, and no transaction is open.
pub const BETWEEN_SWEEPS: Moment = first("between-sweeps", Side::After, SETTLES);
/// What a policy no longer covers is about to be released; of an update this is the second time.
pub const BEFORE_RELEASE: Moment = first("before-release", Side::Before, SETTLES);
/// The row that was to become a policy is gone, and a batch of its tags is as before.
pub const AFTER_UNDO: Moment = first("after-undo", Side::After, UNDOES);
/// An operation has another worker.
pub const AFTER_TAKE_OVER: Moment = first("after-take-over", Side::After, TAKES_OVER);

impl Moment {
    /// The nth time that it comes, from 1.
    #[must_use]
    pub const fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// As the proxy is told of it.
    pub fn when(self) -> When {
        let which = match self.told {
            Told::By(text) => Which::Containing(text.to_owned()),
            Told::ByOpening(text) => Which::Opening(text.to_owned()),
            Told::ByCommitOf(text) => Which::CommitOf(text.to_owned()),
        };
        match self.side {
            Side::Before => When::Statement(which, self.nth),
            Side::After => When::Answer(which, self.nth),
        }
    }

    /// Holds the first connection that comes to it.
    pub fn hold(self, proxy: &FaultProxy) -> Hold {
        proxy.hold(self.when())
    }
}

/// A boundary of COMMITs: what the server can tell apart of a client that is gone. The 1st is before the
/// first COMMIT goes out, the 2nd is before its answer comes back, the 3rd before the second COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boundary(pub u32);

impl Boundary {
    /// Before the nth COMMIT goes out.
    pub const fn before(nth: u32) -> Self {
        Self(2 * nth - 1)
    }

    /// Before the answer to the nth COMMIT comes back.
    pub const fn after(nth: u32) -> Self {
        Self(2 * nth)
    }

    /// As the proxy is told of it.
    pub fn when(self) -> When {
        let every = Which::CommitOf(String::new());
        let nth = u64::from(self.0.div_ceil(2));
        if self.0.is_multiple_of(2) {
            When::Answer(every, nth)
        } else {
            When::Statement(every, nth)
        }
    }

    /// Holds the first connection that comes to it.
    pub fn hold(self, proxy: &FaultProxy) -> Hold {
        proxy.hold(self.when())
    }
}

/// The COMMITs that are worth a boundary, by their number from 1: of those whose transactions ran the same
/// statements the first two and the last.
pub fn telling_commits(transactions: &[Vec<String>]) -> Vec<u32> {
    let mut telling = Vec::new();
    for (nth, texts) in (1_u32..).zip(transactions) {
        let alike = |other: &&Vec<String>| *other == texts;
        let before = transactions.iter().take(nth as usize - 1).filter(alike);
        let after = transactions
            .iter()
            .skip(nth as usize)
            .any(|other| other == texts);
        if before.count() < 2 || !after {
            telling.push(nth);
        }
    }
    telling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_batches_that_are_alike_the_first_two_and_the_last_are_telling() {
        let of = |texts: &[&str]| texts.iter().map(|text| vec![(*text).to_owned()]).collect();
        let transactions: Vec<Vec<String>> = of(&["begin", "a", "a", "b", "a", "a", "a", "end"]);
        assert_eq!(telling_commits(&transactions), [1, 2, 3, 4, 7, 8]);
    }

    #[test]
    fn boundaries_alternate_between_a_commit_and_its_answer() {
        let every = || Which::CommitOf(String::new());
        assert_eq!(Boundary::before(1).when(), When::Statement(every(), 1));
        assert_eq!(Boundary::after(1).when(), When::Answer(every(), 1));
        assert_eq!(Boundary(3).when(), When::Statement(every(), 2));
        assert_eq!(Boundary::after(7).when(), When::Answer(every(), 7));
    }
}

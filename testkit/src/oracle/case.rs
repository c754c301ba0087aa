//! What is judged: a state before, what was asked for, and what others did meanwhile.

use super::state::State;
use quay_doctor::journal::TagsChoice;
use quay_doctor::quay::{PolicyText, Scope, TagId};

/// An operation, as it was asked for.
#[derive(Clone, Debug)]
pub enum Operation {
    /// `policy create`.
    Create {
        /// What the policy governs.
        scope: Scope,
        /// Its text.
        text: PolicyText,
        /// Whether it is only staged.
        inactive: bool,
    },
    /// `policy activate`, of the policy with this uuid.
    Activate(String),
    /// `policy update`.
    Update {
        /// The policy's uuid.
        policy: String,
        /// Its new text.
        text: PolicyText,
        /// What becomes of tags that only the old one covered.
        unmatched: TagsChoice,
    },
    /// `policy delete`.
    Delete(String, TagsChoice),
    /// `policy deactivate`.
    Deactivate(String, TagsChoice),
    /// `fix --apply` of unprotected tags, and of orphans where they are to be released.
    Mend {
        /// Whether orphans are released.
        orphans: bool,
    },
    /// `fix undo` of the run before which the state was this.
    TakeBack(Box<State>),
    /// What must change neither a tag nor a policy: a migration.
    Nothing,
}

/// What Quay's users did meanwhile, successfully.
#[derive(Clone, Debug)]
pub enum Act {
    /// Somebody set a tag's immutability.
    Set(TagId),
    /// An administrator took it off.
    TakenOff(TagId),
    /// Somebody gave a tag an expiry, or took it.
    Expires(TagId, Option<i64>),
    /// Somebody deleted a tag: it ended then.
    Deleted(TagId, i64),
    /// Somebody deleted a policy.
    PolicyDeleted {
        /// Its uuid.
        uuid: String,
        /// What it governed, and its text: an operation's own row has a uuid that nobody knows.
        was: (Scope, PolicyText),
        /// Whether an operation on it was unfinished: then that is taken back.
        during: bool,
    },
    /// Somebody added a policy, and Quay's own pass ran to its end.
    PolicyAdded(Scope, PolicyText),
}

/// How pushes go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushes {
    /// With Quay's lock on the repository (v3.18.0 and later).
    Locked,
    /// Without: a push can end a row that becomes immutable at that very moment. That is Quay's own
    /// race, under its own policies as well.
    Unlocked,
}

/// A case to judge: what was, and what was done.
#[derive(Clone, Copy, Debug)]
pub struct Case<'c> {
    /// The state before.
    pub before: &'c State,
    /// The operations that were begun.
    pub operations: &'c [Operation],
    /// What Quay's users did meanwhile.
    pub acts: &'c [Act],
    /// How pushes go about it.
    pub pushes: Pushes,
}

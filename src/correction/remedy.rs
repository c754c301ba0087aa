//! One violation and its remedy: the correction, or the question that is left.

use super::choice::Origin;
use super::orphans::{Fate, Orphans};
use super::{Correction, ExpiryChange, Impact, Operation, Recovery, TagTarget};
use crate::evaluate::{
    Account, Activity, Features, Found, PolicySubject, Stated, Subject, TagSubject,
};
use crate::quay::UnixMillis;
use crate::rules::RemedyKind;

/// What follows from a violation.
pub(super) enum Answer {
    /// It is corrected.
    Do(Box<Correction>),
    /// Somebody has to decide.
    Ask,
    /// Another correction settles it.
    Settled,
}

impl Answer {
    fn does(correction: Correction) -> Self {
        Self::Do(Box::new(correction))
    }
}

/// What the chosen or the rule's own remedy makes of a subject.
pub(super) fn answer(
    subject: &Subject,
    (remedy, origin): (RemedyKind, Origin),
    orphans: &Orphans,
    features: Features,
) -> Answer {
    match subject {
        Subject::Tag(tag) => on_tag(tag, (remedy, origin), orphans, features),
        Subject::Policy(policy) => on_policy(policy, (remedy, origin), orphans),
        Subject::Operation(operation) => match remedy {
            RemedyKind::Resume => operate(Operation::Recover(operation.into(), Recovery::Resume)),
            RemedyKind::RollBack => {
                operate(Operation::Recover(operation.into(), Recovery::RollBack))
            }
            _ => Answer::Ask,
        },
        Subject::Row(_) => Answer::Ask,
    }
}

fn on_tag(
    tag: &TagSubject,
    (remedy, origin): (RemedyKind, Origin),
    orphans: &Orphans,
    features: Features,
) -> Answer {
    let target = TagTarget {
        subject: tag.clone(),
    };
    let ends = tag.ends();
    match (remedy, ends) {
        (RemedyKind::Release, _) => Answer::does(Correction::Release(target)),
        (RemedyKind::Keep, _) => Answer::does(Correction::Keep(target)),
        (RemedyKind::Protect, _) => {
            Answer::does(Correction::Protect(target, expiry_change(ends, features)))
        }
        (RemedyKind::Recreate, _) => match orphans.fate(tag.row.id) {
            Some(Fate::Recreated) => Answer::Settled,
            _ => Answer::Ask,
        },
        (RemedyKind::ClearExpiry, Some(end)) => match (orphans.fate(tag.row.id), origin) {
            (Some(Fate::Released), _) => Answer::Settled,
            // Whether it is to be immutable at all is not known, or was somebody's own doing: an
            // expiry that somebody may have meant is then not taken away unasked.
            (Some(Fate::Open | Fate::Kept), Origin::Default) => Answer::Ask,
            (None, Origin::Default) if is_somebodys(&tag.account) => Answer::Ask,
            _ => Answer::does(Correction::ClearExpiry(target, end)),
        },
        _ => Answer::Ask,
    }
}

/// Whether something accounts for the tag's immutability that is no policy.
fn is_somebodys(account: &Account) -> bool {
    account.iter().any(|found| {
        matches!(
            found,
            Found::Label | Found::SetByUser(_) | Found::Kept { .. }
        )
    })
}

fn on_policy(
    policy: &PolicySubject,
    (remedy, origin): (RemedyKind, Origin),
    orphans: &Orphans,
) -> Answer {
    let owned = policy.clone();
    match remedy {
        RemedyKind::Delete if policy.activity == Activity::Inactive => {
            // The row may be all that is left to tell which policy made them.
            if origin == Origin::Default && orphans.are_left_by(policy) {
                Answer::Ask
            } else {
                Answer::does(Correction::DeletePolicy(owned))
            }
        }
        RemedyKind::Delete => match policy.stand_in().cloned() {
            Some(twin) => Answer::does(Correction::DeleteCovered(owned, twin)),
            None => operate(Operation::Delete(owned)),
        },
        RemedyKind::Merge => match policy.stand_in().cloned() {
            Some(twin) => Answer::does(Correction::Merge(owned, twin)),
            None => Answer::Ask,
        },
        // Without a namespace there is nothing to write.
        RemedyKind::MendNamespace if policy.namespace.is_empty() => Answer::Ask,
        RemedyKind::MendNamespace => Answer::does(Correction::MendNamespace(owned)),
        RemedyKind::Activate => operate(Operation::Activate(owned, Impact::default())),
        RemedyKind::Deactivate => operate(Operation::Deactivate(owned)),
        _ => Answer::Ask,
    }
}

fn operate(operation: Operation) -> Answer {
    Answer::does(Correction::Operation(operation))
}

/// What making a tag immutable does to its expiry.
fn expiry_change(ends: Option<UnixMillis>, features: Features) -> ExpiryChange {
    match (ends, features.can_expire) {
        (None, _) | (_, Stated::On) => ExpiryChange::Untouched,
        (Some(end), Stated::Off) => ExpiryChange::Cleared(end),
        (Some(end), Stated::Unknown) => ExpiryChange::NotKnown(end),
    }
}

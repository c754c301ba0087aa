//! The reference model: what an operation makes of a state, row by row, and which ends are allowed.
//!
//! It is written from the promise and not from the engine, with none of its code: no batches, no
//! phases, no journal. An operation is a set of texts that mark, texts that release, and policies.

use super::state::{Policy, State, Tag};
use super::verdict::{End, Verdict, Wrong};
use crate::journal::TagsChoice;
use crate::quay::{PolicyText, Scope, TagId};

/// An expiry so near that clocks may disagree about it: such a tag may be left alone, or not.
const DOUBT_MS: i64 = 90_000;

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

/// What an assignment of ends leaves, as far as it is the same for every tag.
struct Final<'c> {
    active: Vec<(Scope, PolicyText)>,
    marks: Vec<(Scope, PolicyText)>,
    releases: Vec<(Scope, PolicyText)>,
    /// Texts whose tags may stay immutable although no policy is there: kept, or Quay's own way.
    may_stay: Vec<(Scope, PolicyText)>,
    /// Policies that Quay's users added: what was pushed under them is Quay's own affair.
    added: Vec<(Scope, PolicyText)>,
    mends: bool,
    orphans: bool,
    restored: Option<&'c State>,
    now_ms: i64,
}

type Image = (bool, Option<i64>);

impl Case<'_> {
    /// Judges a state afterwards: it has to be as if each operation had never run, or had run
    /// undisturbed, with pushes and users' acts at some place in between.
    pub fn judge(&self, after: &State) -> Verdict {
        let mut best: Option<Verdict> = None;
        for choice in 0..1_u32 << self.operations.len() {
            let ends: Vec<End> = (0..self.operations.len())
                .map(|nth| {
                    if choice >> nth & 1 == 1 {
                        End::Done
                    } else {
                        End::Never
                    }
                })
                .collect();
            if !self.possible(&ends) {
                continue;
            }
            let wrong = self.wrong(&ends, after);
            // The policies tell the ends apart, where they are whole themselves.
            let weight = |wrong: &[Wrong]| {
                let policies = wrong.iter().any(|w| matches!(w, Wrong::Policies { .. }));
                (policies, wrong.len())
            };
            if best
                .as_ref()
                .is_none_or(|best| weight(&wrong) < weight(&best.wrong))
            {
                best = Some(Verdict { ends, wrong });
            }
        }
        let mut verdict = best.unwrap_or(Verdict {
            ends: Vec::new(),
            wrong: Vec::new(),
        });
        if after.unfinished > 0 {
            verdict.wrong.push(Wrong::Unfinished(after.unfinished));
        }
        verdict
    }

    /// An operation whose own policy was deleted under it is taken back.
    fn possible(&self, ends: &[End]) -> bool {
        !self.operations.iter().zip(ends).any(|(operation, end)| {
            *end == End::Done
                && self.acts.iter().any(|act| match act {
                    Act::PolicyDeleted {
                        uuid,
                        was,
                        during: true,
                    } => match operation {
                        Operation::Create { scope, text, .. } => *was == (*scope, text.clone()),
                        Operation::Activate(policy) | Operation::Update { policy, .. } => {
                            policy == uuid
                        }
                        _ => false,
                    },
                    _ => false,
                })
        })
    }

    fn wrong(&self, ends: &[End], after: &State) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let policies = self.policies(ends);
        let told = |policies: &mut dyn Iterator<Item = &Policy>| {
            let mut told: Vec<String> = policies
                .map(|policy| format!("{:?} {} {}", policy.scope, policy.text.0, policy.active))
                .collect();
            told.sort();
            told
        };
        let expected = told(&mut policies.iter().map(|(_, policy)| policy));
        let found = told(&mut after.policies.values());
        if expected != found {
            wrong.push(Wrong::Policies { expected, found });
        }
        let ground = self.ground(ends, &policies, after.read_at_ms);
        for (id, tag) in &self.before.tags {
            match after.tags.get(id) {
                None => wrong.push(Wrong::RowGone(*id)),
                Some(is) => wrong.extend(self.compare(*id, tag, is, &ground, after)),
            }
        }
        for (id, is) in &after.tags {
            if !self.before.tags.contains_key(id) {
                wrong.extend(self.pushed(*id, is, &ground, after));
            }
        }
        wrong
    }

    /// The policies at the end, with their uuid where it is known.
    fn policies(&self, ends: &[End]) -> Vec<(Option<String>, Policy)> {
        let mut policies: Vec<(Option<String>, Policy)> = self
            .before
            .policies
            .iter()
            .map(|(uuid, policy)| (Some(uuid.clone()), policy.clone()))
            .collect();
        for operation in self.done(ends) {
            match operation {
                Operation::Create {
                    scope,
                    text,
                    inactive,
                } => policies.push((
                    None,
                    Policy {
                        scope: *scope,
                        text: text.clone(),
                        active: !inactive,
                    },
                )),
                Operation::Delete(uuid, _) => {
                    policies.retain(|(there, _)| there.as_ref() != Some(uuid));
                }
                Operation::Activate(uuid)
                | Operation::Deactivate(uuid, _)
                | Operation::Update { policy: uuid, .. } => {
                    let of =
                        |(there, _): &&mut (Option<String>, Policy)| there.as_ref() == Some(uuid);
                    if let Some((_, policy)) = policies.iter_mut().find(of) {
                        match operation {
                            Operation::Update { text, .. } => policy.text = text.clone(),
                            other => policy.active = matches!(other, Operation::Activate(_)),
                        }
                    }
                }
                Operation::Mend { .. } | Operation::TakeBack(_) | Operation::Nothing => {}
            }
        }
        for act in self.acts {
            match act {
                Act::PolicyDeleted { uuid, was, .. } => {
                    let at = policies
                        .iter()
                        .position(|(there, _)| there.as_ref() == Some(uuid))
                        .or_else(|| {
                            policies.iter().position(|(there, policy)| {
                                there.is_none() && (policy.scope, policy.text.clone()) == *was
                            })
                        });
                    if let Some(at) = at {
                        policies.remove(at);
                    }
                }
                // It has a uuid, which nobody knows; it is no operation's own.
                Act::PolicyAdded(scope, text) => policies.push((
                    Some(String::new()),
                    Policy {
                        scope: *scope,
                        text: text.clone(),
                        active: true,
                    },
                )),
                _ => {}
            }
        }
        policies
    }

    fn done<'s>(&'s self, ends: &'s [End]) -> impl Iterator<Item = &'s Operation> {
        self.operations
            .iter()
            .zip(ends)
            .filter(|(_, end)| **end == End::Done)
            .map(|(operation, _)| operation)
    }

    /// The scope and the text of a policy that was there before.
    fn was(&self, uuid: &str) -> Option<(Scope, PolicyText)> {
        let policy = self.before.policies.get(uuid)?;
        Some((policy.scope, policy.text.clone()))
    }

    fn ground(
        &self,
        ends: &[End],
        policies: &[(Option<String>, Policy)],
        now_ms: i64,
    ) -> Final<'_> {
        let mut ground = Final {
            active: policies
                .iter()
                .filter(|(_, policy)| policy.active)
                .map(|(_, policy)| (policy.scope, policy.text.clone()))
                .collect(),
            marks: Vec::new(),
            releases: Vec::new(),
            may_stay: Vec::new(),
            added: Vec::new(),
            mends: false,
            orphans: false,
            restored: None,
            now_ms,
        };
        for (operation, end) in self.operations.iter().zip(ends) {
            if *end == End::Never {
                continue;
            }
            match operation {
                Operation::Create {
                    scope,
                    text,
                    inactive: false,
                } => ground.marks.push((*scope, text.clone())),
                Operation::Activate(uuid) => ground.marks.extend(self.was(uuid)),
                Operation::Update {
                    policy,
                    text,
                    unmatched,
                } => {
                    if let Some((scope, old)) = self.was(policy) {
                        ground.marks.push((scope, text.clone()));
                        match unmatched {
                            TagsChoice::Release => ground.releases.push((scope, old)),
                            TagsChoice::Keep => ground.may_stay.push((scope, old)),
                        }
                    }
                }
                Operation::Delete(uuid, tags) | Operation::Deactivate(uuid, tags) => match tags {
                    TagsChoice::Release => ground.releases.extend(self.was(uuid)),
                    TagsChoice::Keep => ground.may_stay.extend(self.was(uuid)),
                },
                Operation::Mend { orphans } => {
                    ground.mends = true;
                    ground.orphans = *orphans;
                }
                Operation::TakeBack(state) => ground.restored = Some(state),
                Operation::Create { .. } | Operation::Nothing => {}
            }
        }
        for act in self.acts {
            match act {
                Act::PolicyDeleted { was, .. } => ground.may_stay.push(was.clone()),
                Act::PolicyAdded(scope, text) => {
                    ground.marks.push((*scope, text.clone()));
                    ground.added.push((*scope, text.clone()));
                }
                _ => {}
            }
        }
        ground
    }

    fn any(&self, texts: &[(Scope, PolicyText)], tag: &Tag) -> bool {
        texts
            .iter()
            .any(|(scope, text)| self.before.covers(*scope, text, tag))
    }

    /// Compares a row that was there before.
    fn compare(
        &self,
        id: TagId,
        was: &Tag,
        is: &Tag,
        ground: &Final<'_>,
        after: &State,
    ) -> Option<Wrong> {
        let told = |what: &str| format!("{id} {}: {what}; was {was:?}, is {is:?}", was.name);
        let fixed = (was.repository, &was.name, was.start_ms, was.hidden)
            == (is.repository, &is.name, is.start_ms, is.hidden);
        if !fixed {
            return Some(Wrong::Otherwise(told("it is another row")));
        }
        let image = (is.immutable, is.end_ms);
        if after.was_pushed_over(id) && !self.must_stay(id, was, ground) {
            let orphan = is.immutable && self.pushes == Pushes::Locked;
            return orphan.then(|| Wrong::Orphan(told("it was pushed over")));
        }
        let allowed = self.allowed(id, was, ground);
        if allowed.contains(&image) {
            return None;
        }
        let now = ground.now_ms;
        let alive = |end: Option<i64>| end.is_none_or(|end| end > now);
        let should_live = !was.hidden && allowed.iter().any(|(_, end)| alive(*end));
        let users = was.labelled || was.set_by_user || self.set(id);
        Some(if should_live && !alive(is.end_ms) {
            Wrong::Died(told("it has ended"))
        } else if !should_live && !was.hidden && alive(is.end_ms) {
            Wrong::Resurrected(told("it has come back"))
        } else if allowed.iter().all(|(immutable, _)| *immutable) && !is.immutable {
            if users {
                Wrong::UserProtectionLost(told("it is mutable"))
            } else {
                Wrong::Unprotected(told("it is mutable"))
            }
        } else if allowed.iter().all(|(immutable, _)| !*immutable) && is.immutable {
            Wrong::Orphan(told("it is immutable"))
        } else if is.end_ms.is_none() && allowed.iter().all(|(_, end)| end.is_some()) {
            Wrong::ExpiryLost(told("it has none"))
        } else {
            Wrong::Otherwise(told(&format!("allowed are {allowed:?}")))
        })
    }

    fn set(&self, id: TagId) -> bool {
        self.acts
            .iter()
            .any(|act| matches!(act, Act::Set(tag) if *tag == id))
    }

    /// Whether nobody can have pushed over it: it was immutable all the time.
    fn must_stay(&self, id: TagId, was: &Tag, ground: &Final<'_>) -> bool {
        was.immutable
            && !self.any(&ground.releases, was)
            && !ground.orphans
            && ground.restored.is_none()
            && !self
                .acts
                .iter()
                .any(|act| matches!(act, Act::TakenOff(tag) if *tag == id))
    }

    /// Immutability and expiry that a row may have at the end.
    fn allowed(&self, id: TagId, was: &Tag, ground: &Final<'_>) -> Vec<Image> {
        let mut tag = was.clone();
        let (mut set, mut taken_off, mut set_before) = (false, false, false);
        for act in self.acts {
            match act {
                Act::Set(of) if *of == id => (set, set_before) = (true, true),
                Act::TakenOff(of) if *of == id => (set, taken_off) = (false, true),
                Act::Expires(of, end) if *of == id => tag.end_ms = *end,
                Act::Deleted(of, end) if *of == id => return vec![(false, Some(*end))],
                _ => {}
            }
        }
        let marked =
            self.any(&ground.marks, &tag) || (ground.mends && self.any(&ground.active, &tag));
        if set {
            return vec![(true, None)];
        }
        if taken_off {
            let mut allowed = vec![(false, was.end_ms), (false, None)];
            allowed.extend(was.known_end_ms.map(|end| (false, Some(end))));
            // It was immutable without us: the mark may have come after the act.
            let again = was.immutable
                || set_before
                || self.operations.len() > 1
                || self.any(&ground.added, &tag);
            if again && marked {
                allowed.push((true, None));
            }
            return allowed;
        }
        if let Some(state) = ground.restored {
            return state
                .tags
                .get(&id)
                .map(|tag| vec![(tag.immutable, tag.end_ms)])
                .unwrap_or_default();
        }
        if tag.hidden || !tag.is_alive(self.before.read_at_ms) {
            return vec![(tag.immutable, tag.end_ms)];
        }
        if tag.immutable {
            return self.of_immutable(&tag, ground, marked);
        }
        let near = tag
            .end_ms
            .is_some_and(|end| end <= ground.now_ms + DOUBT_MS);
        match (marked, near) {
            (true, false) => vec![(true, None)],
            // A tag whose expiry passes meanwhile may have been marked in time, or not; and what
            // was marked and is taken back does not get an expiry by which it would be dead.
            (true, true) => vec![(true, None), (false, tag.end_ms)],
            (false, true) => vec![(false, tag.end_ms), (false, None)],
            (false, false) => vec![(false, tag.end_ms)],
        }
    }

    fn of_immutable(&self, tag: &Tag, ground: &Final<'_>, marked: bool) -> Vec<Image> {
        let held = self.any(&ground.active, tag)
            || tag.labelled
            || tag.set_by_user
            || self.any(&self.before.kept, tag);
        let released = self.any(&ground.releases, tag) || ground.orphans;
        if !released || held {
            let mut allowed = vec![(true, tag.end_ms)];
            if marked {
                allowed.push((true, None));
            }
            return allowed;
        }
        let end = tag.end_ms.or(tag.known_end_ms);
        let mut allowed = vec![(false, end)];
        if end.is_some_and(|end| end <= ground.now_ms) {
            // A past expiry is not written.
            allowed.push((false, None));
        }
        if self.any(&ground.may_stay, tag) {
            allowed.push((true, tag.end_ms));
        }
        allowed
    }

    /// Compares a row that was pushed meanwhile: with the policies at the end, unless they came and
    /// went and the push may have been decided by any of them.
    fn pushed(&self, id: TagId, is: &Tag, ground: &Final<'_>, after: &State) -> Option<Wrong> {
        let told = || format!("{id} {}: pushed meanwhile; {is:?}", is.name);
        if after.was_pushed_over(id) {
            return (is.immutable && self.pushes == Pushes::Locked).then(|| Wrong::Orphan(told()));
        }
        for act in self.acts {
            match act {
                Act::Set(of) if *of == id => {
                    return (!is.immutable).then(|| Wrong::UserProtectionLost(told()));
                }
                Act::TakenOff(of) | Act::Expires(of, _) | Act::Deleted(of, _) if *of == id => {
                    return None;
                }
                _ => {}
            }
        }
        if is.end_ms.is_some() {
            return Some(Wrong::Died(told()));
        }
        let covered = self.any(&ground.active, is);
        if covered && !is.immutable && !self.any(&ground.added, is) {
            return Some(Wrong::Unprotected(told()));
        }
        (!covered && is.immutable && !self.any(&ground.may_stay, is)).then(|| Wrong::Orphan(told()))
    }
}

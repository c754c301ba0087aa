//! The reference model: what operations make of a state, and which of their ends it is.
//!
//! It is written from the promise and not from the engine, with none of its code: no batches, no
//! phases, no journal. An operation is a set of texts that mark, texts that release, and policies.

use super::case::{Act, Case, Operation};
use super::state::{Policy, State};
use super::verdict::{End, Verdict, Wrong};
use quay_doctor::journal::TagsChoice;
use quay_doctor::quay::{PolicyText, Scope};

/// What an assignment of ends leaves, as far as it is the same for every tag.
pub(super) struct Final<'c> {
    pub(super) active: Vec<(Scope, PolicyText)>,
    pub(super) marks: Vec<(Scope, PolicyText)>,
    pub(super) releases: Vec<(Scope, PolicyText)>,
    /// Texts whose tags may stay immutable although no policy is there: kept, or Quay's own way.
    pub(super) may_stay: Vec<(Scope, PolicyText)>,
    /// Texts whose tags may have been released before somebody deleted the updated policy.
    pub(super) may_go: Vec<(Scope, PolicyText)>,
    /// Policies that Quay's users added: what was pushed under them is Quay's own affair.
    pub(super) added: Vec<(Scope, PolicyText)>,
    pub(super) mends: bool,
    pub(super) orphans: bool,
    pub(super) restored: Option<&'c State>,
    pub(super) now_ms: i64,
}

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
                Act::PolicyDeleted { uuid, was, during } => {
                    let at = policies
                        .iter()
                        .position(|(there, _)| there.as_ref() == Some(uuid))
                        .or_else(|| {
                            policies.iter().position(|(there, policy)| {
                                there.is_none() && (policy.scope, policy.text.clone()) == *was
                            })
                        })
                        // One that somebody had added meanwhile, and no operation's.
                        .or_else(|| {
                            policies.iter().position(|(there, policy)| {
                                !during
                                    && there.as_deref() == Some("")
                                    && (policy.scope, policy.text.clone()) == *was
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
            may_go: Vec::new(),
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
                Act::PolicyDeleted { uuid, was, .. } => {
                    ground.may_stay.push(was.clone());
                    // An update's text may have been in force for a while, and what it released
                    // then stays released.
                    for operation in self.operations {
                        if let Operation::Update {
                            policy,
                            text,
                            unmatched,
                        } = operation
                            && policy == uuid
                        {
                            ground.may_stay.push((was.0, text.clone()));
                            if *unmatched == TagsChoice::Release {
                                ground.may_go.push(was.clone());
                            }
                        }
                    }
                }
                Act::PolicyAdded(scope, text) => {
                    ground.marks.push((*scope, text.clone()));
                    ground.added.push((*scope, text.clone()));
                }
                _ => {}
            }
        }
        ground
    }
}

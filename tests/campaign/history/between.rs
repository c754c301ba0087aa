//! What Quay's users and Quay itself do between two operations.

use proptest::prelude::*;
use quay_doctor::pg::PgError;
use quay_doctor::quay::{PolicyText, Scope, TagId};
use testkit::oracle::{Act, State};

use super::super::others::{Doing, OwnPolicy, delete_policy, one};
use super::super::world::{Arena, PATTERNS};
use super::deed::nth;

/// One thing; tags and policies are counted among those that are there.
#[derive(Clone, Debug)]
pub enum Between {
    Act(Doing),
    /// An administrator takes the immutability off, in the log, and sets another expiration.
    Unprotect(usize),
    /// Somebody writes the row and changes nothing.
    Touch(usize),
    /// An owner deletes a policy: Quay leaves its tags as they are.
    DropPolicy(usize),
    /// Both of Quay's failures: every third tag under a policy is mutable, every fourth immutable for nothing.
    Unsettle(usize),
}

pub fn between() -> impl Strategy<Value = Between> {
    let tag = || 0..40_usize;
    prop_oneof![
        2 => tag().prop_map(|nth| Between::Act(Doing::Set(nth))),
        2 => (tag(), any::<bool>()).prop_map(|(nth, soon)| Between::Act(Doing::Expire(nth, soon))),
        1 => tag().prop_map(|nth| Between::Act(Doing::Delete(nth))),
        3 => (0..PATTERNS.len()).prop_map(|nth| Between::Act(Doing::PostPolicy(nth))),
        6 => tag().prop_map(Between::Unprotect),
        2 => tag().prop_map(Between::Touch),
        1 => (0..4_usize).prop_map(Between::DropPolicy),
        3 => (0..12_usize).prop_map(Between::Unsettle),
    ]
}

/// What is known of Quay's own doings at the end.
#[derive(Clone, Debug, Default)]
pub struct Quays {
    /// Policies that were there at any time, and whether one may be inactive.
    pub policies: Vec<(Scope, PolicyText, bool)>,
    /// Texts whose tags may stay immutable.
    pub stay: Vec<(Scope, PolicyText)>,
    /// Texts of policies that were added while an operation was under way.
    pub raced: Vec<(Scope, PolicyText)>,
    /// Tags that Quay made immutable for no reason.
    pub orphans: Vec<TagId>,
}

impl Quays {
    /// Notes what was done.
    pub fn note(&mut self, act: &Act, meanwhile: bool) {
        match act {
            Act::PolicyAdded(scope, text) => {
                self.policies.push((*scope, text.clone(), false));
                if meanwhile {
                    self.raced.push((*scope, text.clone()));
                }
            }
            Act::PolicyDeleted { was, .. } => self.stay.push(was.clone()),
            _ => {}
        }
    }
}

/// Carries one out.
pub fn carry_out(
    arena: &Arena,
    what: &Between,
    state: &State,
    quays: &mut Quays,
) -> Result<Option<Act>, PgError> {
    let mut session = arena.session();
    let ids: Vec<TagId> = state.tags.keys().copied().collect();
    // Where they can be: among the immutable ones.
    let immutable: Vec<usize> = (state.tags.values().enumerate())
        .filter(|(_, tag)| tag.immutable)
        .map(|(nth, _)| nth)
        .collect();
    let nth_immutable = |nth: usize| immutable.get(nth % immutable.len().max(1)).copied();
    let act = |doing: &Doing| one(arena, &mut arena.session(), doing, state, &ids, None);
    let done = match what {
        Between::Act(doing) => act(doing)?,
        Between::Unprotect(nth) => {
            let Some(nth) = nth_immutable(*nth) else {
                return Ok(None);
            };
            let done = act(&Doing::TakeOff(nth))?;
            act(&Doing::Expire(nth, true))?.or(done)
        }
        Between::Touch(nth) => {
            if let Some(id) = nth_immutable(*nth).and_then(|nth| ids.get(nth)) {
                let mut tx = session.begin()?;
                tx.execute("UPDATE tag SET hidden = hidden WHERE id = $1", &[&id.0])?;
                tx.commit()?;
            }
            None
        }
        Between::DropPolicy(of) => match nth(state, *of).and_then(|uuid| {
            let policy = state.policies.get(uuid)?;
            Some((uuid, policy))
        }) {
            Some((uuid, policy)) => delete_policy(
                &mut session,
                &OwnPolicy {
                    uuid: Some(uuid.clone()),
                    scope: policy.scope,
                    text: policy.text.clone(),
                },
            )?,
            None => None,
        },
        Between::Unsettle(from) => {
            let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint + 60000";
            let mut tx = session.begin()?;
            for (nth, (id, tag)) in state.tags.iter().enumerate() {
                let covered = state.decides(tag.repository, &tag.name);
                let loses = covered && tag.immutable && !tag.labelled && !tag.set_by_user;
                if loses && (nth + from) % 3 == 0 {
                    tx.execute("UPDATE tag SET immutable = false WHERE id = $1", &[&id.0])?;
                }
                if !covered && !tag.immutable && (nth + from) % 4 == 0 {
                    let changed = tx.execute(
                        &format!(
                            "UPDATE tag SET immutable = true, lifetime_end_ms = NULL
                             WHERE id = $1 AND NOT hidden AND NOT immutable
                                 AND (lifetime_end_ms IS NULL OR lifetime_end_ms > {now})"
                        ),
                        &[&id.0],
                    )?;
                    quays.orphans.extend((changed == 1).then_some(*id));
                }
            }
            tx.commit()?;
            None
        }
    };
    if let Some(done) = &done {
        quays.note(done, false);
    }
    Ok(done)
}

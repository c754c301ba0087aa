//! What must hold whenever nobody is in the middle of anything.

use super::scenario::{Kind, Scenario, TagsChoice};
use super::state::{Phase, State};
use super::table::{Act, Entry, Tag};

/// Whether a state is as it should be, or is no end.
fn at_the_end(state: &State, sound: impl Fn(&State, &Tag) -> bool) -> bool {
    !state.is_quiet() || state.live().all(|(_, tag)| sound(state, tag))
}

/// An immutable tag has a policy in force that matches it, a user set it, or somebody asked that it stay so.
pub fn no_orphan(state: &State) -> bool {
    at_the_end(state, |state, tag| {
        let governed = state.policies.iter().any(|policy| policy.covers(tag.name));
        !tag.immutable || governed || tag.act == Act::Set || tag.left || tag.kept
    })
}

/// A tag that a policy in force matches is immutable, unless an administrator took it off when that
/// policy was there, or coming. A push that Quay's users' change of a policy overtook is theirs.
pub fn no_tag_unprotected(state: &State) -> bool {
    at_the_end(state, |state, tag| {
        let mut policies = state.policies.iter().enumerate();
        let governed =
            policies.any(|(slot, policy)| policy.covers(tag.name) && !tag.excused.has(slot));
        tag.immutable || !governed
    })
}

/// A tag that nothing makes immutable has the expiry that it had. An administrator who takes off what
/// we marked makes the tag, as it then is, theirs.
pub fn no_expiry_lost(state: &State) -> bool {
    at_the_end(state, |state, tag| {
        let governed = state.policies.iter().any(|policy| policy.covers(tag.name));
        let held = governed || tag.act != Act::Nothing || tag.left || tag.kept;
        let free = !tag.immutable || !held;
        !free || !tag.owed_expiry || tag.expiring || tag.act != Act::Nothing
    })
}

/// An immutable tag has no expiry. What Quay's own users left is theirs.
pub fn none_is_immutable_and_expires(state: &State) -> bool {
    at_the_end(state, |_, tag| !tag.immutable || !tag.expiring || tag.left)
}

/// What a user set stays set; what an administrator took off against our policy stays off.
pub fn no_users_act_undone(state: &State) -> bool {
    !state.overruled && at_the_end(state, |_, tag| tag.act != Act::Set || tag.immutable)
}

/// An update that has begun to release what its policy covered before releases all of it, also
/// where Quay's users delete the policy meanwhile.
pub fn no_release_is_half_done(scenario: &Scenario, state: &State) -> bool {
    let half_done = |operation: usize| {
        let order = &scenario.orders[operation];
        let old = |tag: &&Tag| tag.is_live() && order.no_longer_covered().has(tag.name as usize);
        let released = |tag: &Tag| {
            let by = |entry: Entry| entry.operation as usize == operation && !entry.gave;
            !tag.immutable && tag.newest().is_some_and(by)
        };
        let mut tags = state.tags.iter().filter(old);
        matches!(order.kind, Kind::Update { .. })
            && tags.clone().any(released)
            && tags.any(|tag| tag.immutable && tag.left && tag.act != Act::Set)
    };
    !state.is_quiet() || !(0..scenario.orders.len()).any(half_done)
}

/// What somebody was told is done is done as they asked: nothing was released that was to be kept, and nothing
/// kept that was to be released. It may be that another's operation was gone on with.
pub fn no_request_is_carried_out_as_another(scenario: &Scenario, state: &State) -> bool {
    let otherwise = |request: usize| {
        let order = &scenario.orders[request];
        let by = match (state.operations[request].phase, order.repeats) {
            (Phase::GoesOn, Some(first)) => first,
            _ => request,
        };
        let mut tags = state
            .tags
            .iter()
            .filter(|tag| tag.is_live() && order.no_longer_covered().has(tag.name as usize));
        let done = state.operations[by].phase == Phase::Done;
        done && match order.tags {
            TagsChoice::Keep => tags.any(|tag| {
                let released = |entry: Entry| entry.operation as usize == by && !entry.gave;
                tag.entries().any(released)
            }),
            TagsChoice::Release => tags
                .any(|tag| tag.immutable && tag.kept && state.deciding(tag.name, false).is_empty()),
        }
    };
    !state.is_quiet() || !(0..scenario.orders.len()).any(otherwise)
}

/// A name has one live tag at most, and a row that our hand has not ended does not die.
pub fn no_name_lives_twice(state: &State) -> bool {
    let alive = |name: u8| state.live().filter(|(_, tag)| tag.name == name).count();
    (0..8).all(|name| alive(name) <= 1)
}

//! Everybody but the operations: Quay's pushes, its users, its administrator.
//!
//! Facts of PostgreSQL that are kept: a push is one transaction, whose policies are read before its
//! row can be seen by others (READ COMMITTED: each statement sees what is committed at its start),
//! and which holds a lock on the policy tables from that read to its end. It gets its row's id
//! before it commits. Under REPEATABLE READ it decides by the policies, and the row, that it saw at its first
//! statement, before it holds any lock on them. Quay's changes of policies, its passes and the administrator's acts are
//! single statements that commit at once; each waits for a row, or a table, that somebody holds.

use super::hands;
use super::scenario::{Kind, Scenario, UsersAct};
use super::state::{ORDERS, Pass, Phase, Push, State};
use super::table::{Act, Entry, Few, Force, Policy, Presence, Tag};

/// What a bystander does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bystander {
    /// A push under REPEATABLE READ takes its snapshot.
    PushBegins(usize),
    PushDecides(usize),
    PushCommits(usize),
    /// The row of its name was changed since its snapshot: the server refuses it.
    PushFails(usize),
    UsersAct,
    PassReads,
    PassMarks,
    PassClears,
    TakesOff(usize),
    Sets(usize),
}

pub fn actions(scenario: &Scenario, state: &State, actions: &mut Vec<Bystander>) {
    for (push, at) in state.pushes.iter().enumerate() {
        match at {
            Push::ToCome if may_push(scenario, state, push) => {
                actions.push(if scenario.pushers[push].repeatable {
                    Bystander::PushBegins(push)
                } else {
                    Bystander::PushDecides(push)
                });
            }
            Push::Begun { old, .. } => match may_decide(scenario, state, push, *old) {
                Some(true) => actions.push(Bystander::PushDecides(push)),
                Some(false) => {}
                None => actions.push(Bystander::PushFails(push)),
            },
            Push::Open { .. } => actions.push(Bystander::PushCommits(push)),
            _ => {}
        }
    }
    match state.pass {
        Pass::None if may_change_policies(scenario, state) => actions.push(Bystander::UsersAct),
        Pass::Begun { .. } => actions.push(Bystander::PassReads),
        Pass::Read { rows, .. } if !rows.iter().any(|row| state.is_held(row)) => {
            actions.push(Bystander::PassMarks);
        }
        Pass::Marked { rows } if !rows.iter().any(|row| state.is_held(row)) => {
            actions.push(Bystander::PassClears);
        }
        _ => {}
    }
    if state.administrator > 0 {
        for (row, tag) in state.live().filter(|(row, _)| !state.is_held(*row)) {
            if tag.immutable {
                actions.push(Bystander::TakesOff(row));
            }
            // Refused on a tag that expires.
            if !tag.expiring && tag.act != Act::Set {
                actions.push(Bystander::Sets(row));
            }
        }
    }
}

pub fn step(scenario: &Scenario, state: &mut State, action: Bystander) {
    match action {
        Bystander::PushBegins(push) => take_snapshot(scenario, state, push),
        Bystander::PushDecides(push) => decide(scenario, state, push),
        Bystander::PushFails(push) => end_push(state, push),
        Bystander::PushCommits(push) => commit(state, push),
        Bystander::UsersAct => change_policies(scenario, state),
        Bystander::PassReads => read_tags(state),
        Bystander::PassMarks => mark_tags(state),
        Bystander::PassClears => clear_expiries(state),
        Bystander::TakesOff(row) => {
            state.administrator -= 1;
            let against = operations_behind(scenario, state, row);
            let begun = |operation: &usize| state.operations[*operation].phase != Phase::NotBegun;
            let act_after = Few::of((0..ORDERS).filter(begun));
            let excused = known_policies(scenario, state, row);
            let tag = &mut state.tags[row];
            (tag.immutable, tag.act) = (false, Act::TakenOff);
            (tag.act_after, tag.against, tag.excused) = (act_after, against, excused);
        }
        Bystander::Sets(row) => {
            state.administrator -= 1;
            let tag = &mut state.tags[row];
            (tag.immutable, tag.act) = (true, Act::Set);
            (tag.act_after, tag.against, tag.excused) = (Few(0), Few(0), Few(0));
            tag.owed_expiry = false;
        }
    }
}

fn live_of_name(state: &State, name: u8) -> Option<usize> {
    let found = state.live().find(|(_, tag)| tag.name == name);
    found.map(|(row, _)| row)
}

/// Pushers of one kind are alike: it is enough to let them come in one order.
fn may_push(scenario: &Scenario, state: &State, push: usize) -> bool {
    let pusher = scenario.pushers[push];
    let earlier_twin_waits = (0..push)
        .any(|twin| scenario.pushers[twin] == pusher && state.pushes[twin] == Push::ToCome);
    if earlier_twin_waits {
        return false;
    }
    // Its snapshot is taken by the statement that waits for the lock, or for the row.
    let waits = !pusher.repeatable;
    if waits && pusher.locks && state.is_locked(scenario, pusher.name) {
        return false;
    }
    // A push onto an immutable tag is refused; one onto a row that is held waits.
    live_of_name(state, pusher.name)
        .is_none_or(|row| !(state.tags[row].immutable || waits && state.is_held(row)))
}

/// Whether a push that has its snapshot may go on now, or has to wait; none where it never may. (A row that
/// was changed, and is again as it was, would be refused as well: the model lets it pass.)
fn may_decide(scenario: &Scenario, state: &State, push: usize, old: Option<u8>) -> Option<bool> {
    let pusher = scenario.pushers[push];
    let live = live_of_name(state, pusher.name);
    if live != old.map(usize::from) || live.is_some_and(|row| state.tags[row].immutable) {
        return None;
    }
    let locked = pusher.locks && state.is_locked(scenario, pusher.name);
    Some(!locked && !live.is_some_and(|row| state.is_held(row)))
}

fn take_snapshot(scenario: &Scenario, state: &mut State, push: usize) {
    let pusher = scenario.pushers[push];
    state.pushes[push] = Push::Begun {
        old: live_of_name(state, pusher.name).map(|row| row as u8),
        by: state.deciding(pusher.name, !pusher.aware),
        since: Few(0),
    };
}

/// The lock, the old row's end, the decision and the new row's insertion: nothing that others do
/// between these can be told from the same before or after them, for the old row is held.
fn decide(scenario: &Scenario, state: &mut State, push: usize) {
    let pusher = scenario.pushers[push];
    let old = live_of_name(state, pusher.name);
    let by = match state.pushes[push] {
        Push::Begun { by, .. } => by,
        _ => state.deciding(pusher.name, !pusher.aware),
    };
    let new = state.ids();
    let tag = &mut state.tags[new];
    *tag = Tag::live(pusher.name);
    (tag.presence, tag.immutable) = (Presence::Uncommitted, !by.is_empty());
    state.pushes[push] = Push::Open {
        old: old.map(|row| row as u8),
        new: new as u8,
        by,
    };
}

fn commit(state: &mut State, push: usize) {
    let Push::Open { old, new, by } = state.pushes[push] else {
        return;
    };
    if let Some(old) = old {
        state.tags[old as usize].die();
    }
    let (name, policies) = (state.tags[new as usize].name, state.policies);
    let tag = &mut state.tags[new as usize];
    tag.presence = Presence::Live;
    // What it was made immutable by may be gone by the hand of Quay's users.
    tag.left = by
        .iter()
        .any(|slot| policies[slot].theirs && !policies[slot].covers(name));
    tag.excused =
        Few::of((0..policies.len()).filter(|slot| {
            policies[*slot].theirs && policies[*slot].covers(name) && !by.has(*slot)
        }));
    if tag.immutable {
        for operation in &mut state.operations {
            if operation.phase != Phase::NotBegun {
                operation.logged.insert(name as usize);
            }
        }
    }
    end_push(state, push);
}

/// Its transaction has ended: nobody waits for it any more.
fn end_push(state: &mut State, push: usize) {
    for worker in state.workers.iter_mut().flatten() {
        worker.waits_for.remove(push);
    }
    state.pushes[push] = Push::Over;
}

/// They wait for a worker that holds the policy tables, or a hand that holds the row. Their acts may never come.
fn may_change_policies(scenario: &Scenario, state: &State) -> bool {
    !state.are_tables_held(scenario)
        && match scenario.users.get(state.users as usize) {
            None => false,
            Some(UsersAct::Post { policy, .. }) => state.policies[*policy].force == Force::Absent,
            Some(UsersAct::Put { policy, .. } | UsersAct::Delete { policy }) => {
                let held = hands::holds_policy(scenario, state, *policy);
                state.policies[*policy].force != Force::Absent && !held
            }
        }
}

fn change_policies(scenario: &Scenario, state: &mut State) {
    let act = scenario.users[state.users as usize];
    state.users += 1;
    let (slot, becomes) = match act {
        UsersAct::Post { policy, names } => (policy, Policy::new(Force::Active, names)),
        UsersAct::Put { policy, names } => {
            (policy, Policy::new(state.policies[policy].force, names))
        }
        UsersAct::Delete { policy } => (
            policy,
            Policy::new(Force::Absent, state.policies[policy].names),
        ),
    };
    let was = state.policies[slot];
    let updated = being_updated(scenario, state, slot);
    for tag in state.tags.iter_mut().filter(|tag| tag.is_live()) {
        let governed = was.covers(tag.name) || updated.has(tag.name as usize);
        tag.left |= tag.immutable && governed && !becomes.covers(tag.name);
    }
    state.policies[slot] = Policy {
        theirs: true,
        ..becomes
    };
    if becomes.force != Force::Absent {
        state.pass = Pass::Begun { policy: slot as u8 };
    }
}

/// The names that a policy covered before an update that has not ended.
fn being_updated(scenario: &Scenario, state: &State, slot: usize) -> Few {
    let orders = scenario.orders.iter().enumerate();
    let found = orders.into_iter().find(|(operation, order)| {
        let updates = matches!(order.kind, Kind::Update { .. }) && order.policy == slot;
        updates && state.is_unfinished(*operation)
    });
    found.map_or(Few(0), |(_, order)| order.before)
}

/// The pass reads live mutable tags, and does not look again before it marks them.
fn read_tags(state: &mut State) {
    let Pass::Begun { policy } = state.pass else {
        return;
    };
    let names = state.policies[policy as usize].names;
    let rows = state
        .live()
        .filter(|(_, tag)| !tag.immutable && names.has(tag.name as usize));
    let rows = Few::of(rows.map(|(row, _)| row));
    state.pass = if rows.is_empty() {
        Pass::None
    } else {
        Pass::Read { policy, rows }
    };
}

fn mark_tags(state: &mut State) {
    let Pass::Read { policy, rows } = state.pass else {
        return;
    };
    let policy = state.policies[policy as usize];
    for row in rows.iter() {
        let tag = &mut state.tags[row];
        if tag.is_live() {
            tag.immutable = true;
            // Quay marks although its policy is gone, or not in force: that is its own doing.
            tag.left |= !policy.covers(tag.name);
        }
    }
    state.pass = Pass::Marked { rows };
}

fn clear_expiries(state: &mut State) {
    let Pass::Marked { rows } = state.pass else {
        return;
    };
    for row in rows.iter() {
        let tag = &mut state.tags[row];
        if tag.is_live() && tag.expiring {
            (tag.expiring, tag.owed_expiry) = (false, false);
        }
    }
    state.pass = Pass::None;
}

/// The policies that are there, in force or coming, and match a tag.
fn known_policies(scenario: &Scenario, state: &State, row: usize) -> Few {
    let name = state.tags[row].name;
    let mut known = state.deciding(name, true);
    for (operation, order) in scenario.orders.iter().enumerate() {
        if state.is_unfinished(operation) && order.after.has(name as usize) {
            known.insert(order.policy);
        }
    }
    known
}

/// The operations whose doing the tag's immutability is: the policy that they bring is in force on
/// it, for the Quay that may have pushed it, or their mark is the newest.
fn operations_behind(scenario: &Scenario, state: &State, row: usize) -> Few {
    let tag = &state.tags[row];
    let behind = |operation: &usize| {
        let Some(order) = scenario.orders.get(*operation) else {
            return false;
        };
        let begun = &state.operations[*operation];
        let in_force = match begun.phase {
            // A row that was there before was not made immutable by the pending policy.
            Phase::Applying => !scenario.quay_knows_active() && row >= begun.ids_before as usize,
            Phase::Sweeping => true,
            _ => false,
        };
        let ours = |entry: Entry| entry.operation as usize == *operation && entry.gave;
        tag.newest().is_some_and(ours) || (in_force && order.after.has(tag.name as usize))
    };
    Few::of((0..ORDERS).filter(behind))
}

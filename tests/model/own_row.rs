//! An operation's own policy rows: compared in every transaction, and what follows where somebody
//! else has changed them.

use super::scenario::{Kind, Order, Safeguard, Scenario};
use super::state::{Phase, Stage, State, Worker};
use super::table::{Force, Policy};

/// How a policy row compares with what an operation has of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Own {
    AsItShouldBe,
    Gone,
    Changed,
}

/// The statement that activates looks for the row as it should be.
pub fn can_activate(state: &State, order: &Order) -> bool {
    let is = |slot: usize, force, names| {
        state.policies[slot].force == force && state.policies[slot].names == names
    };
    match order.kind {
        Kind::Update { staged } => {
            is(staged, Force::Inactive, order.after)
                && is(order.policy, Force::Active, order.before)
        }
        _ => is(order.policy, Force::Inactive, order.after),
    }
}

/// What follows when a policy row is not as it should be: back, or nothing further.
pub fn not_ours(state: &mut State, index: usize, own: Own) {
    match (own, &mut state.workers[index]) {
        (Own::Gone, Some(worker)) => worker.go(Stage::TurnBack),
        (_, worker) => *worker = None,
    }
}

pub fn own_row(scenario: &Scenario, state: &State, worker: &Worker) -> Own {
    let order = scenario.orders[worker.operation()];
    let is = |slot: usize, force, names| {
        let policy = state.policies[slot];
        if policy.force == Force::Absent {
            Own::Gone
        } else if policy.force == force && policy.names == names {
            Own::AsItShouldBe
        } else {
            Own::Changed
        }
    };
    if !scenario.is_on(Safeguard::OwnRow) {
        return Own::AsItShouldBe;
    }
    match (order.kind, worker.phase) {
        (Kind::Create | Kind::Activate, Phase::Applying) => {
            is(order.policy, Force::Inactive, order.after)
        }
        (_, Phase::Sweeping) => is(order.policy, Force::Active, order.after),
        (Kind::Update { .. }, Phase::Releasing) => {
            let own = is(order.policy, Force::Active, order.after);
            let goes_on = own == Own::Gone
                && worker.stage != Stage::Finish
                && scenario.is_on(Safeguard::ReleaseToTheEnd);
            if goes_on { Own::AsItShouldBe } else { own }
        }
        // Deactivated and then deleted: it covers nothing either way.
        (Kind::Deactivate, Phase::Releasing) => {
            match is(order.policy, Force::Inactive, order.before) {
                Own::Gone => Own::AsItShouldBe,
                other => other,
            }
        }
        (Kind::Update { staged }, Phase::Applying) => {
            match is(order.policy, Force::Active, order.before) {
                Own::AsItShouldBe => is(staged, Force::Inactive, order.after),
                other => other,
            }
        }
        _ => Own::AsItShouldBe,
    }
}

pub fn pending(order: &Order) -> Option<usize> {
    match order.kind {
        Kind::Create => Some(order.policy),
        Kind::Update { staged } => Some(staged),
        Kind::Activate | Kind::Delete | Kind::Deactivate => None,
    }
}

/// Gone already is as good; changed is not ours to delete.
pub fn delete_pending(scenario: &Scenario, state: &mut State, operation: usize) -> bool {
    let order = scenario.orders[operation];
    let Some(slot) = pending(&order) else {
        return true;
    };
    let row = state.policies[slot];
    if row.force == Force::Inactive && row.names == order.after {
        state.policies[slot] = Policy::default();
        return true;
    }
    row.force == Force::Absent
}

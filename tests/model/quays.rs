//! Creations as Quay has them now, and as the bug report recommends: statements that commit one by
//! one, an exception handler, no journal.

use super::operations::Work;
use super::scenario::{Scenario, Subject};
use super::state::{Phase, Stage, State, Worker};
use super::table::{Few, Force, Policy};

pub fn actions(scenario: &Scenario, state: &State, actions: &mut Vec<Work>) {
    for (operation, order) in scenario.orders.iter().enumerate() {
        let Some(worker) = &state.workers[operation] else {
            let free = state.policies[order.policy].force == Force::Absent;
            match state.operations[operation].phase {
                Phase::NotBegun if free => actions.push(Work::Begins(operation)),
                // What the report has for it: "clean up orphaned inactive policies".
                Phase::Applying => actions.push(Work::Recovers {
                    operation,
                    back: true,
                }),
                _ => {}
            }
            continue;
        };
        if worker.stage == Stage::Walk {
            actions.push(Work::Reads {
                worker: operation,
                all: true,
            });
        } else if !worker
            .page
            .iter()
            .next()
            .is_some_and(|row| state.is_held(row))
        {
            actions.push(Work::Steps(operation));
        }
        if state.faults > 0 && worker.stage != Stage::Activate {
            actions.push(Work::Fails(operation));
        }
        if state.crashes > 0 {
            actions.push(Work::Dies(operation));
        }
    }
}

pub fn step(scenario: &Scenario, state: &mut State, work: Work) {
    match work {
        Work::Begins(operation) => {
            let force = match scenario.subject {
                Subject::QuaysWay => Force::Active,
                _ => Force::Inactive,
            };
            let order = scenario.orders[operation];
            state.policies[order.policy] = Policy::new(force, order.after);
            state.operations[operation].phase = Phase::Applying;
            let worker = Worker::new(operation, Phase::Applying, 0, Stage::Walk);
            state.workers[operation] = Some(worker);
        }
        Work::Reads { worker, .. } => read(scenario, state, worker),
        Work::Steps(worker) => statement(scenario, state, worker),
        // The handler deletes the policy's row, whatever has become of its tags.
        Work::Fails(operation) => {
            state.faults -= 1;
            state.policies[scenario.orders[operation].policy] = Policy::default();
            end(state, operation, Phase::RolledBack);
        }
        // No handler runs. Of Quay's present way nothing tells that it has not ended.
        Work::Dies(operation) => {
            state.crashes -= 1;
            match scenario.subject {
                Subject::QuaysWay => end(state, operation, Phase::Done),
                _ => state.workers[operation] = None,
            }
        }
        Work::Recovers { operation, .. } => {
            let row = &mut state.policies[scenario.orders[operation].policy];
            if row.force == Force::Inactive {
                *row = Policy::default();
            }
            end(state, operation, Phase::RolledBack);
        }
        _ => {}
    }
}

fn end(state: &mut State, operation: usize, phase: Phase) {
    state.operations[operation].phase = phase;
    state.workers[operation] = None;
}

fn read(scenario: &Scenario, state: &mut State, operation: usize) {
    let names = scenario.orders[operation].after;
    let rows = state
        .live()
        .filter(|(_, tag)| !tag.immutable && names.has(tag.name as usize));
    let page = Few::of(rows.map(|(row, _)| row));
    if let Some(worker) = &mut state.workers[operation] {
        worker.go(if page.is_empty() {
            Stage::Activate
        } else {
            Stage::Pass
        });
        worker.page = page;
    }
}

/// One statement marks, without another look; the next clears the expiry. A batch is one row.
fn statement(scenario: &Scenario, state: &mut State, operation: usize) {
    let Some(mut worker) = state.workers[operation] else {
        return;
    };
    let Some(row) = worker.page.iter().next() else {
        return activate(scenario, state, operation);
    };
    let tag = &mut state.tags[row];
    if !worker.found && tag.is_live() {
        tag.immutable = true;
        worker.found = true;
    } else {
        tag.expiring = false;
        worker.found = false;
        worker.page.remove(row);
        if worker.page.is_empty() {
            worker.go(Stage::Activate);
        }
    }
    state.workers[operation] = Some(worker);
}

/// Quay's present way has nothing to activate; the recommended fix looks whether its row is there.
fn activate(scenario: &Scenario, state: &mut State, operation: usize) {
    let row = &mut state.policies[scenario.orders[operation].policy];
    match (scenario.subject, row.force) {
        (Subject::QuaysWay, _) => end(state, operation, Phase::Done),
        (_, Force::Inactive) => {
            row.force = Force::Active;
            end(state, operation, Phase::Done);
        }
        _ => end(state, operation, Phase::RolledBack),
    }
}

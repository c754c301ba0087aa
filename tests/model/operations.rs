//! Our own operations: `src/policy/`, transaction by transaction.
//!
//! A transaction that only marks holds all that it has read (its rows, its policy's row) until it
//! commits, so that it is one step. One that takes protection away reads other policies besides;
//! what holds those is SHARE mode, a safeguard, so that it is two: entered, and committed. A page
//! of tags is read without a lock, and may be one row or all that are left.

use super::batches::{self, batch, candidates, first, mark, reads_pages};
use super::hands::{self, holds_policy};
use super::own_row::{Own, can_activate, delete_pending, not_ours, own_row, pending};
use super::scenario::{Kind, Order, Safeguard, Scenario, TagsChoice};
use super::state::{FROZEN, Phase, Push, Stage, State, Walks, Worker};
use super::table::{Few, Force, Policy, ROWS};

/// What is done for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Its first transaction.
    Begins(usize),
    /// The same, with everything up to activation in it.
    BeginsAtOnce(usize),
    /// A worker reads a page: all that is left, or one row.
    Reads { worker: usize, all: bool },
    /// A worker's next transaction.
    Steps(usize),
    /// A worker's statement fails.
    Fails(usize),
    /// A worker dies.
    Dies(usize),
    /// A worker is out of sight, and will go on as if it were not.
    Freezes(usize),
    /// `recover` looks at the operation's row before it takes it over: what it then knows may be
    /// no more so.
    LooksBefore(usize),
    /// `recover` takes an operation over, and back where that can be.
    Recovers { operation: usize, back: bool },
    /// A request that repeats an interrupted one takes its operation over.
    Asks(usize),
    /// A worker's hand takes a repository.
    HandTakes(usize),
    /// A hand's next step.
    HandSteps(usize),
    /// A hand rolls back, since its lead turns back.
    HandStops(usize),
    /// A hand's connection is lost.
    HandLost(usize),
    /// What was under way of a hand that is gone is not carried out.
    HandVanishes(usize),
}

pub fn actions(scenario: &Scenario, state: &State, actions: &mut Vec<Work>) {
    for (operation, order) in scenario.orders.iter().enumerate() {
        if state.operations[operation].phase == Phase::NotBegun {
            if let Some(first) = order.repeats
                && !has_ended(state, first)
            {
                if may_go_on(scenario, state, order, first) {
                    actions.push(Work::Asks(operation));
                }
            } else if may_begin(scenario, state, order) {
                actions.push(Work::Begins(operation));
                if order.kind == Kind::Create && !is_anything_locked(scenario, state) {
                    actions.push(Work::BeginsAtOnce(operation));
                }
            }
        } else if state.is_unfinished(operation) && state.workers[operation].is_none() {
            if !scenario.is_on(Safeguard::TakeOverReads) && !has_looked(state, operation) {
                actions.push(Work::LooksBefore(operation));
                continue;
            }
            actions.push(Work::Recovers {
                operation,
                back: false,
            });
            if may_take_back(scenario, state, operation) {
                actions.push(Work::Recovers {
                    operation,
                    back: true,
                });
            }
        }
    }
    for (index, worker) in state.workers.iter().enumerate() {
        if let Some(worker) = worker {
            of_worker(scenario, state, index, worker, actions);
        }
    }
    hands::actions(scenario, state, actions);
}

fn of_worker(
    scenario: &Scenario,
    state: &State,
    index: usize,
    worker: &Worker,
    actions: &mut Vec<Work>,
) {
    if worker.open.is_none() && worker.page.is_empty() && is_to_read(worker) {
        actions.push(Work::Reads {
            worker: index,
            all: true,
        });
        let several = candidates(scenario, state, worker).iter().nth(1).is_some();
        if worker.stage == Stage::Walk && several {
            actions.push(Work::Reads {
                worker: index,
                all: false,
            });
        }
    } else if can_step(scenario, state, index, worker) {
        actions.push(Work::Steps(index));
    }
    let before_activation = worker.phase == Phase::Applying && worker.stage != Stage::TurnBack;
    if state.faults > 0 && before_activation {
        actions.push(Work::Fails(index));
    }
    if state.crashes > 0 {
        actions.push(Work::Dies(index));
    }
    if state.frozen > 0 && index < FROZEN {
        actions.push(Work::Freezes(index));
    }
}

pub fn step(scenario: &Scenario, state: &mut State, work: Work) {
    match work {
        Work::Begins(operation) => begin(scenario, state, operation),
        Work::BeginsAtOnce(operation) => begin_at_once(scenario, state, operation),
        Work::Reads { worker, all } => batches::read_page(scenario, state, worker, all),
        Work::Steps(worker) => step_worker(scenario, state, worker),
        Work::Fails(worker) => {
            state.faults -= 1;
            if let Some(worker) = &mut state.workers[worker] {
                worker.go(Stage::TurnBack);
            }
        }
        Work::Dies(worker) => {
            state.crashes -= 1;
            state.workers[worker] = None;
        }
        Work::Freezes(worker) => {
            state.frozen -= 1;
            state.workers[FROZEN] = state.workers[worker].take();
            for hand in state.hands.iter_mut().flatten() {
                if hand.lead == Some(worker as u8) {
                    hand.lead = Some(FROZEN as u8);
                }
            }
        }
        Work::LooksBefore(operation) => {
            let marked = has_marked(state, operation);
            state.operations[operation].looked = Some(marked);
        }
        Work::Recovers { operation, back } => recover(scenario, state, operation, back),
        Work::Asks(request) => ask_again(scenario, state, request),
        Work::HandTakes(lead) => hands::take(scenario, state, lead),
        Work::HandSteps(hand) => hands::step(scenario, state, hand),
        Work::HandStops(hand) | Work::HandVanishes(hand) => hands::end(state, hand),
        Work::HandLost(hand) => {
            state.lost -= 1;
            hands::lose(state, hand);
        }
    }
    hands::end_with_their_leads(state);
}

fn is_to_read(worker: &Worker) -> bool {
    reads_pages(worker.stage) && worker.walks != Walks::Over
}

fn is_anything_locked(scenario: &Scenario, state: &State) -> bool {
    (0..8).any(|name| state.is_locked(scenario, name))
}

/// Whether a hand holds the policy row that would be deleted.
fn is_pending_held(scenario: &Scenario, state: &State, operation: usize) -> bool {
    let held = |slot| holds_policy(scenario, state, slot);
    pending(&scenario.orders[operation]).is_some_and(held)
}

fn has_ended(state: &State, operation: usize) -> bool {
    let phase = state.operations[operation].phase;
    matches!(phase, Phase::Done | Phase::RolledBack)
}

/// Whether a request may go on with the operation that it repeats. It is refused, and changes nothing, while a worker
/// lives, and where it asks for something else.
fn may_go_on(scenario: &Scenario, state: &State, order: &Order, first: usize) -> bool {
    let same = order.tags == scenario.orders[first].tags || !scenario.is_on(Safeguard::Identity);
    same && state.is_unfinished(first) && state.workers[first].is_none()
}

/// It goes on as the operation was begun. A roll-back is finished first, and the request then begins anew.
fn ask_again(scenario: &Scenario, state: &mut State, request: usize) {
    let Some(first) = scenario.orders[request].repeats else {
        return;
    };
    if state.operations[first].phase != Phase::Undoing {
        state.operations[request].phase = Phase::GoesOn;
    }
    recover(scenario, state, first, false);
}

fn may_begin(scenario: &Scenario, state: &State, order: &Order) -> bool {
    let own = state.policies[order.policy];
    let there = own.force == Force::Active && own.names == order.before;
    !state.are_tables_held(scenario)
        && !holds_policy(scenario, state, order.policy)
        && match order.kind {
            Kind::Create => own.force == Force::Absent,
            Kind::Activate => own.force == Force::Inactive && own.names == order.after,
            Kind::Delete | Kind::Deactivate => there,
            Kind::Update { staged } => there && state.policies[staged].force == Force::Absent,
        }
}

fn begin(scenario: &Scenario, state: &mut State, operation: usize) {
    let order = scenario.orders[operation];
    let pending = Policy::new(Force::Inactive, order.after);
    let (phase, stage) = match order.kind {
        Kind::Create => {
            state.policies[order.policy] = pending;
            (Phase::Applying, Stage::Walk)
        }
        Kind::Update { staged } => {
            state.policies[staged] = pending;
            (Phase::Applying, Stage::Walk)
        }
        Kind::Activate => (Phase::Applying, Stage::Walk),
        Kind::Delete | Kind::Deactivate => {
            let own = &mut state.policies[order.policy];
            own.force = Force::Inactive;
            if order.kind == Kind::Delete {
                *own = Policy::default();
            }
            if order.tags == TagsChoice::Keep {
                state.operations[operation].phase = Phase::Done;
                state.committed(operation);
                return keep(state, &order);
            }
            (
                Phase::Releasing,
                settled_first(scenario, Safeguard::SettleBeforeRelease, Stage::Walk),
            )
        }
    };
    let row = &mut state.operations[operation];
    row.phase = phase;
    state.operations[operation].ids_before = state.ids() as u8;
    state.committed(operation);
    state.workers[operation] = Some(Worker::new(operation, phase, 0, stage));
}

/// Declares that what a policy no longer covers stays immutable.
fn keep(state: &mut State, order: &Order) {
    let names = order.no_longer_covered();
    for tag in state.tags.iter_mut().filter(|tag| tag.is_live()) {
        tag.kept |= tag.immutable && names.has(tag.name as usize);
    }
}

fn begin_at_once(scenario: &Scenario, state: &mut State, operation: usize) {
    begin(scenario, state, operation);
    let order = scenario.orders[operation];
    for row in 0..ROWS {
        let tag = &state.tags[row];
        let matches = tag.is_live() && order.after.has(tag.name as usize);
        if matches && !tag.immutable && !state.is_held(row) {
            mark(state, operation, row);
        }
    }
    state.policies[order.policy].force = Force::Active;
    state.operations[operation].phase = Phase::Sweeping;
    state.workers[operation] = Some(Worker::new(operation, Phase::Sweeping, 0, Stage::Walk));
}

pub fn settled_first(scenario: &Scenario, safeguard: Safeguard, then: Stage) -> Stage {
    if scenario.is_on(safeguard) {
        Stage::Look
    } else {
        then
    }
}

/// Whether nothing that the next transaction needs is held by somebody else. What really is waited
/// for with nothing locked, or come back for, is a step that cannot be taken yet.
fn can_step(scenario: &Scenario, state: &State, index: usize, worker: &Worker) -> bool {
    if worker.open.is_some() {
        return true;
    }
    let operation = worker.operation();
    let own = scenario.orders[operation].policy;
    let tables = !state.are_tables_held(scenario);
    let pending = !is_pending_held(scenario, state, operation);
    let alone = !hands::are_at_work(state, index) || !scenario.is_on(Safeguard::HandsEnd);
    match worker.stage {
        Stage::Walk if worker.walks == Walks::Over => alone,
        Stage::Walk | Stage::Undo | Stage::Pushed => first(state, worker.page).is_some_and(|row| {
            !state.is_locked(scenario, state.tags[row].name) && !state.is_held(row)
        }),
        Stage::Activate => tables && pending && !holds_policy(scenario, state, own),
        Stage::TurnBack => tables && pending && alone,
        Stage::RolledBack => scenario.is_on(Safeguard::DeleteBeforeUndo) || tables && pending,
        Stage::Wait => worker.waits_for.is_empty(),
        _ => true,
    }
}

fn step_worker(scenario: &Scenario, state: &mut State, index: usize) {
    let Some(worker) = state.workers[index] else {
        return;
    };
    if worker.open.is_some() {
        return batches::commit_taking_away(scenario, state, index, worker);
    }
    match worker.stage {
        Stage::Walk if worker.walks == Walks::Over => {
            let mut worker = worker;
            batches::page_ended(scenario, &mut worker);
            state.workers[index] = Some(worker);
        }
        Stage::Walk | Stage::Undo | Stage::Pushed => batch(scenario, state, index, worker),
        Stage::Look => look(scenario, state, index, worker),
        Stage::Wait => {
            let mut worker = worker;
            worker.go(match worker.phase {
                Phase::Sweeping => Stage::Again,
                Phase::Releasing => Stage::Walk,
                _ => Stage::Undo,
            });
            state.workers[index] = Some(worker);
        }
        Stage::TurnBack => turn_back(scenario, state, index, worker),
        Stage::RolledBack => {
            // Without the safeguard the policy row goes only now.
            let goes = scenario.is_on(Safeguard::DeleteBeforeUndo)
                || delete_pending(scenario, state, worker.operation());
            if goes {
                finish(scenario, state, index, Phase::RolledBack, 0);
            }
            state.workers[index] = None;
        }
        Stage::Activate | Stage::Again | Stage::Finish => match own_row(scenario, state, &worker) {
            Own::AsItShouldBe => forward(scenario, state, index, worker),
            own => not_ours(state, index, own),
        },
        Stage::Pass => {}
    }
}

/// Everybody who has read the policies and may still push by them; whose snapshot is older than our last commit; and
/// hands, whoever's they are.
fn look(scenario: &Scenario, state: &mut State, index: usize, mut worker: Worker) {
    let open = |push: &Push| match push {
        Push::Begun { since, .. } => {
            since.has(worker.operation()) && scenario.is_on(Safeguard::OlderSnapshots)
        }
        push => matches!(push, Push::Open { .. }),
    };
    let pushes = state.pushes.iter().enumerate();
    let pushes = pushes.filter(|(_, push)| open(push)).map(|(push, _)| push);
    worker.waits_for = Few::of(pushes.chain(hands::readers(state)));
    worker.stage = Stage::Wait;
    state.workers[index] = Some(worker);
}

/// Activates, goes back to the beginning, or ends.
fn forward(scenario: &Scenario, state: &mut State, index: usize, worker: Worker) {
    let order = scenario.orders[worker.operation()];
    let (phase, stage) = match worker.stage {
        Stage::Activate => (Phase::Sweeping, Stage::Walk),
        Stage::Finish => (Phase::Done, Stage::Finish),
        _ if worker.phase == Phase::Sweeping && worker.second => (
            Phase::Releasing,
            settled_first(scenario, Safeguard::SettleBeforeRelease, Stage::Walk),
        ),
        _ => (worker.phase, Stage::Walk),
    };
    if worker.stage == Stage::Activate && !can_activate(state, &order) {
        return not_ours(state, index, Own::Gone);
    }
    if !finish(scenario, state, index, phase, 0) {
        return;
    }
    if worker.stage == Stage::Activate {
        if let Kind::Update { staged } = order.kind {
            state.policies[staged] = Policy::default();
        }
        state.policies[order.policy] = Policy::new(Force::Active, order.after);
    }
    if phase == Phase::Done {
        if order.tags == TagsChoice::Keep {
            keep(state, &order);
        }
        state.workers[index] = None;
    } else if let Some(next) = &mut state.workers[index] {
        *next = Worker {
            second: worker.phase == Phase::Sweeping && phase == Phase::Sweeping,
            fenced: worker.fenced,
            ..Worker::new(worker.operation(), phase, 0, stage)
        };
    }
}

/// The compare-and-set that ends every transaction: where somebody else has taken over, nothing is
/// committed and the worker stops. Without it the row is left as it is, and the rest commits.
pub fn finish(
    scenario: &Scenario,
    state: &mut State,
    index: usize,
    phase: Phase,
    cursor: u8,
) -> bool {
    let Some(worker) = &mut state.workers[index] else {
        return false;
    };
    let row = &mut state.operations[worker.operation as usize];
    let holds = !worker.fenced && row.phase == worker.phase && row.cursor == worker.cursor;
    if !holds && scenario.is_on(Safeguard::Fence) {
        state.workers[index] = None;
        return false;
    }
    state.trespassed |= worker.fenced;
    let operation = worker.operation();
    if holds {
        (row.phase, row.cursor) = (phase, cursor);
    }
    (worker.phase, worker.cursor) = (phase, cursor);
    if holds {
        state.committed(operation);
    }
    true
}

/// The policy row that was to come goes first, and the journal says that it is being undone.
fn turn_back(scenario: &Scenario, state: &mut State, index: usize, worker: Worker) {
    let first = scenario.is_on(Safeguard::DeleteBeforeUndo);
    if first && !delete_pending(scenario, state, worker.operation()) {
        return not_ours(state, index, Own::Changed);
    }
    if finish(scenario, state, index, Phase::Undoing, 0) {
        let stage = settled_first(scenario, Safeguard::SettleAtRollBack, Stage::Undo);
        state.workers[index] = Some(Worker {
            fenced: worker.fenced,
            ..Worker::new(worker.operation(), Phase::Undoing, 0, stage)
        });
    }
}

fn may_take_back(scenario: &Scenario, state: &State, operation: usize) -> bool {
    let mut after = *state;
    state.operations[operation].phase == Phase::Applying
        && !state.are_tables_held(scenario)
        && !is_pending_held(scenario, state, operation)
        && (!scenario.is_on(Safeguard::DeleteBeforeUndo)
            || delete_pending(scenario, &mut after, operation))
}

fn has_looked(state: &State, operation: usize) -> bool {
    state.operations[operation].looked.is_some()
}

fn has_marked(state: &State, operation: usize) -> bool {
    state.tags.iter().any(|tag| tag.is_marked_by(operation))
}

/// Takes an operation over with a new fence; phase and cursor come from its row.
fn recover(scenario: &Scenario, state: &mut State, operation: usize, back: bool) {
    if let Some(frozen) = &mut state.workers[FROZEN] {
        frozen.fenced |= frozen.operation() == operation;
    }
    for hand in state.hands.iter_mut().flatten() {
        hand.fenced |= hand.operation as usize == operation;
    }
    if back {
        if scenario.is_on(Safeguard::DeleteBeforeUndo) {
            delete_pending(scenario, state, operation);
        }
        let row = &mut state.operations[operation];
        (row.phase, row.cursor) = (Phase::Undoing, 0);
    }
    state.committed(operation);
    let row = state.operations[operation];
    let stage = match row.phase {
        Phase::Releasing => settled_first(scenario, Safeguard::SettleBeforeRelease, Stage::Walk),
        Phase::Undoing => settled_first(scenario, Safeguard::SettleAtRollBack, Stage::Undo),
        _ => Stage::Walk,
    };
    let looked = state.operations[operation].looked.take();
    let marked = looked.unwrap_or_else(|| has_marked(state, operation));
    state.workers[operation] = Some(Worker {
        again: row.phase == Phase::Applying && marked,
        walks: batches::walks_from(scenario, row.cursor),
        ..Worker::new(operation, row.phase, row.cursor, stage)
    });
}

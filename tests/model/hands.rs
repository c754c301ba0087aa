//! Hands: other sessions of a worker's process, which mark in another repository than their lead.
//!
//! The lead walks from the front and owns the cursor; a hand takes a repository at the back that the
//! lead has not begun. A hand's transaction is three steps. It has its rows, and has changed them.
//! It has held its policy's row against what that has to be, and seen that its lead lives. It
//! compares fence and phase, and commits: from there on it holds the operation's row, so that this is
//! one. Whoever dies, or loses the connection, before the second has written nothing; after it the
//! server may carry out what is under way, at any time or never.

use super::batches::{candidates, first, is_to_be_marked, mark};
use super::operations::Work;
use super::own_row::{Own, own_row};
use super::scenario::{Kind, Safeguard, Scenario};
use super::state::{HANDS, Hand, PUSHERS, Phase, Stage, State, Taken, Walks, Worker};
use super::table::Few;

/// Whether a lead's hands take part in this walk.
pub fn may_help(scenario: &Scenario, worker: &Worker) -> bool {
    !scenario.back.is_empty()
        && worker.stage == Stage::Walk
        && matches!(worker.phase, Phase::Applying | Phase::Sweeping)
}

/// Which repository a hand would take from a lead.
fn free_repository(scenario: &Scenario, worker: &Worker) -> Option<Walks> {
    let untouched = worker.cursor == 0 && worker.page.is_empty() && !worker.last_page;
    let helps = may_help(scenario, worker)
        && worker.walks == Walks::Front
        && worker.taken == Taken::Nothing;
    match scenario.is_on(Safeguard::FromTheBack) {
        true if helps => Some(Walks::Back),
        // One queue for both: the lead goes on behind what its hand has taken.
        false if helps && untouched => Some(Walks::Front),
        _ => None,
    }
}

pub fn actions(scenario: &Scenario, state: &State, actions: &mut Vec<Work>) {
    for (lead, worker) in state.workers.iter().enumerate() {
        let takes = worker.is_some_and(|worker| free_repository(scenario, &worker).is_some());
        if takes && !are_at_work(state, lead) && state.hands.iter().any(Option::is_none) {
            actions.push(Work::HandTakes(lead));
        }
    }
    for (index, hand) in state.hands.iter().enumerate() {
        let Some(hand) = hand else { continue };
        if can_step(scenario, state, hand) {
            actions.push(Work::HandSteps(index));
        }
        let Some(lead) = hand.lead else {
            actions.push(Work::HandVanishes(index));
            continue;
        };
        let turns_back = |worker: Worker| worker.stage == Stage::TurnBack;
        if state.workers[lead as usize].is_some_and(turns_back) {
            actions.push(Work::HandStops(index));
        }
        if state.lost > 0 {
            actions.push(Work::HandLost(index));
        }
    }
}

fn can_step(scenario: &Scenario, state: &State, hand: &Hand) -> bool {
    let begins = hand.has_read && hand.open.is_none();
    !begins
        || first(state, hand.page).is_some_and(|row| {
            !state.is_locked(scenario, state.tags[row].name) && !state.is_held(row)
        })
}

pub fn are_at_work(state: &State, lead: usize) -> bool {
    let mut hands = state.hands.iter().flatten();
    hands.any(|hand| hand.lead.is_some_and(|of| of as usize == lead))
}

/// Whether a hand's transaction holds a policy row `FOR SHARE`.
pub fn holds_policy(scenario: &Scenario, state: &State, slot: usize) -> bool {
    let mut hands = state.hands.iter().flatten();
    hands.any(|hand| {
        let order = scenario.orders[hand.operation as usize];
        let staged = matches!(order.kind, Kind::Update { staged } if staged == slot);
        hand.compared && (order.policy == slot || staged && hand.phase == Phase::Applying)
    })
}

/// The hands whose transactions hold a lock on a policy table, as the wait for those counts them.
pub fn readers(state: &State) -> impl Iterator<Item = usize> {
    let hands = state.hands.iter().enumerate();
    hands
        .filter(|(_, hand)| hand.is_some_and(|hand| hand.compared))
        .map(|(index, _)| PUSHERS + index)
}

/// What it knows, as the worker that it is in its repository.
fn as_worker(hand: &Hand) -> Worker {
    let (operation, repository) = (hand.operation as usize, hand.repository);
    Worker {
        walks: repository,
        again: hand.again,
        ..Worker::new(operation, hand.phase, 0, Stage::Walk)
    }
}

pub fn take(scenario: &Scenario, state: &mut State, lead: usize) {
    let Some(worker) = &mut state.workers[lead] else {
        return;
    };
    let free = state.hands.iter_mut().find(|hand| hand.is_none());
    let (Some(repository), Some(place)) = (free_repository(scenario, worker), free) else {
        return;
    };
    worker.taken = Taken::AtWork;
    if repository == Walks::Front {
        worker.walks = Walks::Back;
    }
    *place = Some(Hand {
        operation: worker.operation,
        lead: Some(lead as u8),
        phase: worker.phase,
        repository,
        again: worker.again,
        has_read: false,
        page: Few(0),
        open: None,
        compared: false,
        fenced: worker.fenced,
    });
}

pub fn step(scenario: &Scenario, state: &mut State, index: usize) {
    let Some(mut hand) = state.hands[index] else {
        return;
    };
    let worker = as_worker(&hand);
    match (hand.open, first(state, hand.page)) {
        (None, _) if !hand.has_read => {
            hand.page = candidates(scenario, state, &worker);
            hand.has_read = true;
        }
        (None, Some(row)) if is_to_be_marked(scenario, state, &worker, row) => {
            hand.open = Some(row as u8);
        }
        (None, Some(row)) => hand.page.remove(row),
        (None, None) => {}
        (Some(_), _) if !hand.compared => {
            let lives = !hand.fenced || !scenario.is_on(Safeguard::HandsLiveness);
            if !lives || own_row(scenario, state, &worker) != Own::AsItShouldBe {
                return give_up(state, index, &hand);
            }
            hand.compared = true;
        }
        (Some(row), _) => {
            if !commit(scenario, state, &hand, row as usize) {
                return give_up(state, index, &hand);
            }
            hand.page.remove(row as usize);
            (hand.open, hand.compared) = (None, false);
            forget(state, index);
        }
    }
    let over = hand.open.is_none() && hand.page.is_empty();
    state.hands[index] = Some(hand);
    if over || hand.lead.is_none() && hand.open.is_none() {
        if let Some(lead) = lead_of(state, &hand) {
            lead.taken = Taken::Done;
        }
        end(state, index);
    }
}

/// The compare-and-set, without the cursor, and the commit.
fn commit(scenario: &Scenario, state: &mut State, hand: &Hand, row: usize) -> bool {
    let operation = hand.operation as usize;
    let elsewhere = state.operations[operation].phase != hand.phase;
    let refused = hand.fenced && scenario.is_on(Safeguard::HandsFence)
        || elsewhere && scenario.is_on(Safeguard::HandsPhase);
    if refused {
        return false;
    }
    mark(state, operation, row);
    state.committed(operation);
    state.trespassed |= hand.fenced;
    true
}

/// The lead of a hand, where it is in the walk still that the hand took part in.
fn lead_of<'s>(state: &'s mut State, hand: &Hand) -> Option<&'s mut Worker> {
    let worker = state.workers[hand.lead? as usize].as_mut()?;
    (worker.phase == hand.phase && worker.stage == Stage::Walk).then_some(worker)
}

/// Its repository is not done when it ends: its lead goes there itself, and asks the journal what
/// the hand had marked.
fn give_back(state: &mut State, hand: &Hand) {
    if let Some(lead) = lead_of(state, hand) {
        (lead.taken, lead.again) = (Taken::Nothing, true);
        if lead.walks == Walks::Over {
            (lead.walks, lead.last_page) = (Walks::Back, false);
        }
    }
}

/// It rolls back, and ends.
fn give_up(state: &mut State, index: usize, hand: &Hand) {
    give_back(state, hand);
    end(state, index);
}

/// Its connection is lost, or its process is gone: what was under way may be carried out yet.
pub fn lose(state: &mut State, index: usize) {
    let Some(hand) = state.hands[index] else {
        return;
    };
    if hand.compared {
        give_back(state, &hand);
        state.hands[index] = Some(Hand { lead: None, ..hand });
    } else {
        give_up(state, index, &hand);
    }
}

pub fn end(state: &mut State, index: usize) {
    state.hands[index] = None;
    forget(state, index);
}

/// Its transaction has ended: nobody waits for it any more.
fn forget(state: &mut State, index: usize) {
    for worker in state.workers.iter_mut().flatten() {
        worker.waits_for.remove(PUSHERS + index);
    }
}

/// A process that ends takes its hands with it.
pub fn end_with_their_leads(state: &mut State) {
    for index in 0..HANDS {
        let gone = |lead: u8| state.workers[lead as usize].is_none();
        if state.hands[index].is_some_and(|hand| hand.lead.is_some_and(gone)) {
            lose(state, index);
        }
    }
}

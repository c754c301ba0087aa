//! The batches of our operations: pages read without a lock, rows marked or released under theirs.

use super::hands::may_help;
use super::operations::{finish, settled_first};
use super::own_row::{Own, not_ours, own_row};
use super::scenario::{Kind, Safeguard, Scenario, TagsChoice};
use super::state::{Phase, Stage, State, Taken, Walks, Worker};
use super::table::{Act, Entry, Few, ROWS, Tag};

pub fn reads_pages(stage: Stage) -> bool {
    matches!(stage, Stage::Walk | Stage::Undo | Stage::Pushed)
}

/// The order of the walk: by name, then by id.
fn place(state: &State, row: usize) -> u8 {
    state.tags[row].name * 8 + row as u8 + 1
}

/// The repository in which a cursor lies.
pub fn walks_from(scenario: &Scenario, cursor: u8) -> Walks {
    let back = cursor > 0 && scenario.back.has(usize::from((cursor - 1) / 8));
    if back { Walks::Back } else { Walks::Front }
}

/// The rows that a page would hold, were it long enough.
pub fn candidates(scenario: &Scenario, state: &State, worker: &Worker) -> Few {
    let operation = worker.operation();
    let order = scenario.orders[operation];
    let since = state.operations[operation].ids_before as usize;
    let matches = |names: Few, row: usize| names.has(state.tags[row].name as usize);
    let helped = may_help(scenario, worker);
    let is_candidate = |row: usize| {
        let tag = &state.tags[row];
        let back = scenario.back.has(tag.name as usize);
        if helped && back != (worker.walks == Walks::Back) {
            return false;
        }
        match (worker.stage, worker.phase) {
            (Stage::Undo, _) => tag.is_marked_by(operation),
            (Stage::Pushed, _) => {
                row >= since && tag.is_live() && tag.immutable && matches(order.after, row)
            }
            (_, Phase::Releasing) => {
                tag.is_live()
                    && tag.immutable
                    && matches(order.before, row)
                    && place(state, row) > worker.cursor
            }
            (_, phase) => {
                let looked_at = phase != Phase::Sweeping
                    || scenario.is_on(Safeguard::WholeSweep)
                    || row >= since;
                tag.is_live()
                    && !tag.immutable
                    && matches(order.after, row)
                    && place(state, row) > worker.cursor
                    && looked_at
            }
        }
    };
    Few::of((0..ROWS).filter(|row| is_candidate(*row)))
}

pub fn first(state: &State, page: Few) -> Option<usize> {
    page.iter().min_by_key(|row| place(state, *row))
}

pub fn read_page(scenario: &Scenario, state: &mut State, index: usize, all: bool) {
    let Some(mut worker) = state.workers[index] else {
        return;
    };
    let rows = candidates(scenario, state, &worker);
    worker.page = match first(state, rows) {
        Some(row) if !all => Few::of([row]),
        _ => rows,
    };
    worker.last_page = all;
    if rows.is_empty() {
        page_ended(scenario, &mut worker);
    }
    state.workers[index] = Some(worker);
}

/// Goes on after the last row of a page.
pub fn page_ended(scenario: &Scenario, worker: &mut Worker) {
    if !worker.last_page {
        return;
    }
    if may_help(scenario, worker) {
        let waits = worker.taken == Taken::AtWork && scenario.is_on(Safeguard::HandsEnd);
        let walks = match worker.walks {
            Walks::Front if worker.taken == Taken::Nothing => Walks::Back,
            _ if waits => Walks::Over,
            _ => Walks::Front,
        };
        worker.walks = walks;
        if walks == Walks::Back {
            worker.last_page = false;
        }
        if walks != Walks::Front {
            return;
        }
    }
    let order = &scenario.orders[worker.operation()];
    let releases = matches!(order.kind, Kind::Update { .. }) && order.tags == TagsChoice::Release;
    let next = match (worker.stage, worker.phase) {
        (Stage::Undo, _) if worker.found => {
            worker.found = false;
            Stage::Undo
        }
        (Stage::Undo, _) if scenario.quay_knows_active() => Stage::RolledBack,
        (Stage::Undo, _) => Stage::Pushed,
        (Stage::Pushed, _) => Stage::RolledBack,
        (_, Phase::Applying) => Stage::Activate,
        (_, Phase::Sweeping) if !worker.second => {
            settled_first(scenario, Safeguard::SettleAtActivation, Stage::Again)
        }
        (_, Phase::Sweeping) if releases => Stage::Again,
        (_, Phase::Releasing) if worker.found || !worker.whole => Stage::Again,
        _ => Stage::Finish,
    };
    worker.go(next);
}

/// The next row: marked in one transaction, or entered in one that may take its protection away.
pub fn batch(scenario: &Scenario, state: &mut State, index: usize, mut worker: Worker) {
    let Some(row) = first(state, worker.page) else {
        return;
    };
    let own = own_row(scenario, state, &worker);
    if worker.stage == Stage::Walk && own != Own::AsItShouldBe {
        return not_ours(state, index, own);
    }
    if worker.stage == Stage::Walk && worker.phase != Phase::Releasing {
        let cursor = place(state, row);
        if finish(scenario, state, index, worker.phase, cursor) {
            worker.cursor = cursor;
            if is_to_be_marked(scenario, state, &worker, row) {
                mark(state, worker.operation(), row);
            }
            done_with(scenario, state, index, worker, row);
        }
        return;
    }
    if is_to_be_released(scenario, state, &worker, row) {
        worker.open = Some(row as u8);
        state.workers[index] = Some(worker);
    } else {
        // It writes nothing but the cursor.
        leave_row(scenario, state, index, worker, row);
    }
}

fn leave_row(scenario: &Scenario, state: &mut State, index: usize, mut worker: Worker, row: usize) {
    let cursor = match worker.stage {
        Stage::Walk => place(state, row),
        _ => 0,
    };
    if finish(scenario, state, index, worker.phase, cursor) {
        worker.cursor = cursor;
        worker.open = None;
        done_with(scenario, state, index, worker, row);
    }
}

fn done_with(scenario: &Scenario, state: &mut State, index: usize, mut worker: Worker, row: usize) {
    worker.page.remove(row);
    if worker.page.is_empty() {
        page_ended(scenario, &mut worker);
    }
    state.workers[index] = Some(worker);
}

pub fn is_to_be_marked(scenario: &Scenario, state: &State, worker: &Worker, row: usize) -> bool {
    let tag = &state.tags[row];
    let ours = |entry: Entry| entry.operation == worker.operation && entry.gave;
    let asks = match worker.phase {
        Phase::Sweeping => scenario.is_on(Safeguard::TakenOff),
        _ => worker.again && scenario.is_on(Safeguard::TakenOffAgain),
    };
    let by_journal = asks && tag.newest().is_some_and(ours);
    // Before the sweep only of a tag that was pushed since the beginning.
    let pushed_since = row >= state.operations[worker.operation()].ids_before as usize;
    let by_log = (worker.phase == Phase::Sweeping || pushed_since)
        && scenario.is_on(Safeguard::TakenOffByLog)
        && logged(scenario, tag) == Act::TakenOff
        && tag.act_after.has(worker.operation());
    tag.is_live() && !tag.immutable && !by_journal && !by_log
}

pub fn mark(state: &mut State, operation: usize, row: usize) {
    let tag = &mut state.tags[row];
    tag.record(Entry {
        operation: operation as u8,
        gave: true,
        had_expiry: tag.expiring,
    });
    (tag.immutable, tag.expiring) = (true, false);
    state.overruled |= tag.act == Act::TakenOff && tag.against.has(operation);
}

/// What Quay's log says of a tag, where it is there to be read.
fn logged(scenario: &Scenario, tag: &Tag) -> Act {
    if scenario.log_elsewhere {
        Act::Nothing
    } else {
        tag.act
    }
}

/// Whether a policy in force or a user's act makes the tag immutable.
fn is_justified(scenario: &Scenario, state: &State, row: usize) -> bool {
    let tag = &state.tags[row];
    let by_user = logged(scenario, tag) == Act::Set && scenario.is_on(Safeguard::UsersAct);
    by_user || !state.deciding(tag.name, false).is_empty()
}

fn is_to_be_released(scenario: &Scenario, state: &State, worker: &Worker, row: usize) -> bool {
    let tag = &state.tags[row];
    let fits = match worker.stage {
        Stage::Undo => {
            let ours = |entry: Entry| entry.operation == worker.operation && entry.gave;
            let newest = !scenario.is_on(Safeguard::NewestOnly) || tag.newest().is_some_and(ours);
            newest && !tag.expiring
        }
        Stage::Pushed => {
            let logged = state.operations[worker.operation()].logged;
            logged.has(tag.name as usize)
        }
        _ => true,
    };
    tag.is_live() && tag.immutable && fits && !is_justified(scenario, state, row)
}

/// Commits a transaction that releases a tag.
pub fn commit_taking_away(
    scenario: &Scenario,
    state: &mut State,
    index: usize,
    mut worker: Worker,
) {
    let Some(row) = worker.open else {
        return;
    };
    let (row, operation) = (row as usize, worker.operation());
    let cursor = match worker.stage {
        Stage::Walk => place(state, row),
        _ => 0,
    };
    if !finish(scenario, state, index, worker.phase, cursor) {
        return;
    }
    let tag = &mut state.tags[row];
    tag.immutable = false;
    if worker.stage == Stage::Undo {
        let own = |entry: &Entry| entry.operation as usize == operation && entry.gave;
        let newest = tag.entries().rfind(own);
        tag.expiring = newest.is_some_and(|entry| entry.had_expiry);
        tag.undo(operation);
    } else {
        if worker.stage == Stage::Walk {
            let known = tag.newest().is_some_and(|e| e.gave && e.had_expiry);
            tag.expiring |= known;
        }
        tag.record(Entry {
            operation: operation as u8,
            gave: false,
            had_expiry: false,
        });
    }
    worker.cursor = cursor;
    worker.open = None;
    worker.found = true;
    done_with(scenario, state, index, worker, row);
}

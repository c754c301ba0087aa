//! The loop over rows: batch by batch, and back to those that somebody else held.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::action::{Action, BatchError};
use super::queue::Queue;
use super::throttle::{PATIENCE, POLL, ThrottleError};
use crate::quay::RepositoryId;
use crate::retry::back_off;

/// How long a repository is waited for in a round over rows that were held.
const A_ROUND: Duration = Duration::from_secs(2);

/// How often it is asked, in a wait, whether the work goes on.
const ASK: Duration = Duration::from_millis(100);

/// How often a batch is tried before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Where others are in its way: after so long its rows are as good as held.
    pub in_the_way: Duration,
    /// Attempts at a single row that takes longer than a statement may; where there is none, it is as good as held.
    pub too_much: u32,
    /// Where somebody cancelled it, perhaps by mistake. Whoever does it again and again wants the work to end.
    pub cancelled: u32,
}

/// Changes rows, which lie together by repository, in batches; those that somebody else holds.
///
/// # Errors
/// [`Action::Error`] where the work has to end; batches that were committed stand.
pub fn change_rows<A: Action>(
    action: &mut A,
    patience: Patience,
    rows: &[A::Row],
) -> Result<Vec<A::Row>, A::Error> {
    let mut held = Vec::new();
    let mut queue = Queue::over(rows, A::repository);
    let (mut attempts, mut failing, mut prepared) = (0, None, Vec::new());
    loop {
        let (most, repositories) = (action.size().rows(), action.repositories());
        let Some((range, last)) = queue.front(most, repositories) else {
            return Ok(held);
        };
        let batch = &rows[range.clone()];
        let Some(repository) = batch.first().map(A::repository) else {
            return Ok(held);
        };
        action.go_on()?;
        until_calm(action)?;
        // What is read ahead is no cost of the batch.
        let mut of: Vec<RepositoryId> = batch.iter().map(A::repository).collect();
        of.dedup();
        let ready = if of.iter().all(|repository| prepared.contains(repository)) {
            Ok(())
        } else {
            prepared.clear();
            action.prepare(&of).map(|()| prepared = of)
        };
        let begun = Instant::now();
        match ready.and_then(|()| action.change(repository, batch, last)) {
            Ok(changed) => {
                let whole = begun.elapsed();
                action.size().learn(changed.rows, changed.entering, whole);
                queue.done(range.start, changed.rows, &changed.refused);
                (attempts, failing) = (0, None);
                held.extend(changed.held);
                if changed.wanted {
                    action.was_wanted();
                }
                let rest = action.throttle().0.rest_after(whole);
                pause(action, rest)?;
            }
            Err(error) if (error.is_too_much() || error.is_duplicate_key()) && batch.len() > 1 => {
                action.size().halve_from(batch.len());
            }
            Err(error) if error.is_duplicate_key() => {
                action.leave(&batch[0])?;
                queue.done(range.start, 1, &[]);
            }
            Err(error) if again(&error, patience, attempts, failing.unwrap_or(begun)) => {
                attempts += 1;
                failing = failing.or(Some(begun));
                pause(action, back_off(attempts))?;
            }
            // Somebody does not let go of the repository: its rows are as good as held.
            Err(error) if error.passes() || error.is_too_much() && patience.too_much == 0 => {
                tracing::warn!(%repository, %error, "rows are left for later");
                held.extend_from_slice(&rows[queue.skip_repository()]);
                (attempts, failing) = (0, None);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Comes back, for so many rounds, for rows that somebody else held, with nothing locked while it waits; those that
/// are held still.
///
/// # Errors
/// As of [`change_rows`].
pub fn come_back<A: Action>(
    action: &mut A,
    rounds: u32,
    mut held: Vec<A::Row>,
) -> Result<Vec<A::Row>, A::Error> {
    // Who does not let go of a repository has its other rows, too: the next round asks again.
    let patience = Patience {
        in_the_way: A_ROUND,
        too_much: 0,
        cancelled: 0,
    };
    for round in 1..=rounds {
        if held.is_empty() {
            break;
        }
        pause(action, back_off(round))?;
        held.sort_by_key(A::repository);
        held = change_rows(action, patience, &held)?;
    }
    Ok(held)
}

/// Whether a batch is tried again that has failed so often before, for the first time then.
fn again(error: &impl BatchError, patience: Patience, attempts: u32, since: Instant) -> bool {
    if error.is_cancelled() {
        attempts < patience.cancelled
    } else if error.is_too_much() {
        attempts < patience.too_much
    } else {
        error.passes() && since.elapsed() < patience.in_the_way
    }
}

/// Waits, with nothing locked, while the server is busier than it may be.
fn until_calm<A: Action>(action: &mut A) -> Result<(), A::Error> {
    let begun = Instant::now();
    loop {
        let (throttle, session) = action.throttle();
        let Some(what) = throttle.over_limit(session)? else {
            return Ok(());
        };
        if begun.elapsed() > PATIENCE {
            return Err(ThrottleError::Busy { what }.into());
        }
        tracing::info!(%what, "waiting");
        pause(action, POLL)?;
    }
}

/// Waits with nothing locked, and heeds meanwhile whoever wants the work to end.
fn pause<A: Action>(action: &mut A, pause: Duration) -> Result<(), A::Error> {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(ASK));
        action.go_on()?;
    }
}

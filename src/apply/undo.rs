//! A run taken back, from its take-over to its end.

use std::ops::ControlFlow;
use std::time::Duration;

use super::error::Rest;
use super::run::{end, open};
use super::taking_back::{UndoSite, take_all_back};
use super::{ApplyError, ApplyOptions};
use crate::batch::refuse_invisible;
use crate::config::ConnectionSettings;
use crate::journal::{
    FixRun, JournalError, LINGERING, Part, Phase, end_hands, fix_run, hold_liveness_within,
    run_state, withdraw_kept,
};
use crate::pg::WriteSession;
use crate::quay::RunId;
use crate::relations::{PolicySchema, add_left_out};
use crate::report::Exceptions;

/// A row that was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row, for people.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What an undo did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The run.
    pub run: RunId,
    /// Rows taken back.
    pub undone: u64,
    /// Rows that were not.
    pub refused: u64,
    /// The first of them.
    pub refusals: Vec<Refusal>,
    /// Tags that are not as before.
    pub exceptions: Exceptions,
    /// Write transactions.
    pub batches: u64,
}

/// Refusals that are kept to be listed; all of them are counted.
const LISTED: usize = 100;

impl Undone {
    /// Of a run of which nothing has been taken back yet.
    pub(super) fn nothing(run: RunId) -> Self {
        Self {
            run,
            undone: 0,
            refused: 0,
            refusals: Vec::new(),
            exceptions: Exceptions::default(),
            batches: 0,
        }
    }

    pub(super) fn refuse(&mut self, what: String, why: &str) {
        self.refused += 1;
        if self.refusals.len() < LISTED {
            self.refusals.push(Refusal {
                what,
                why: why.to_owned(),
            });
        }
    }

    pub(super) fn conducted(&mut self, taken: TakenBack) {
        self.undone += taken.undone;
        self.exceptions.append(taken.exceptions);
        for refusal in taken.refusals {
            self.refuse(refusal.what, &refusal.why);
        }
    }

    pub(super) fn append(&mut self, more: Self) {
        self.undone += more.undone;
        self.refused += more.refused;
        let room = LISTED.saturating_sub(self.refusals.len());
        self.refusals.extend(more.refusals.into_iter().take(room));
        self.exceptions.append(more.exceptions);
        self.batches += more.batches;
    }
}

/// What became of a run's operations, which are not taken back here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// Operations taken back.
    pub undone: u64,
    /// Operations that were not.
    pub refusals: Vec<Refusal>,
    /// Tags that are not as before.
    pub exceptions: Exceptions,
}

/// Takes a run back: its operations by `conduct`, which came last, then the rest. `reached` is told how many rows have been dealt with.
///
/// # Errors
/// [`ApplyError`]; an undo that was cut short is begun again by the same command.
pub fn undo(
    settings: &ConnectionSettings,
    id: RunId,
    options: &ApplyOptions,
    conduct: &mut dyn FnMut(RunId) -> TakenBack,
    reached: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Undone, ApplyError> {
    let (mut session, schema) = open(settings)?;
    refuse_invisible::<ApplyError>(&mut session, &options.limits)?;
    let (run, is_second) = take_over(&mut session, id, options)?;
    let site = UndoSite {
        run: &run,
        options,
        schema: PolicySchema::from(&schema),
        part: Part::Lead,
    };
    let mut outcome =
        take_all_back(settings, &mut session, site, conduct(id), reached).map_err(|source| {
            ApplyError::CutShort {
                run: id,
                rest: Rest::Unfinished(id),
                source: Box::new(source),
            }
        })?;
    let phase = if outcome.refused == 0 {
        Phase::RolledBack
    } else {
        Phase::Done
    };
    end(&mut session, &run, phase)?;
    if is_second {
        add_left_out(&mut session, id, &mut outcome.exceptions)?;
    }
    Ok(outcome)
}

/// Ends a run that was cut off as it is: what it did stays.
///
/// # Errors
/// [`ApplyError`], also where its worker lives.
pub fn leave_as_is(
    settings: &ConnectionSettings,
    id: RunId,
    options: &ApplyOptions,
) -> Result<LeftAsIs, ApplyError> {
    let (mut session, _) = open(settings)?;
    let state = run_state(&mut session, id)?;
    if !hold_liveness_within(&mut session, id, patience(state.phase))? {
        return Err(JournalError::Live {
            id,
            worker: state.worker,
        }
        .into());
    }
    end_hands(&mut session, id)?;
    let mut tx = session.begin()?;
    let run = fix_run(&mut tx, id, &options.who.worker)?;
    run.end(&mut tx, Phase::Done)?;
    tx.commit()?;
    let mut exceptions = Exceptions::default();
    add_left_out(&mut session, id, &mut exceptions)?;
    Ok(LeftAsIs {
        exceptions,
        skipped: state.skipped,
    })
}

/// What a run that stays as it was cut off has not done as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAsIs {
    /// Tags that are not as asked.
    pub exceptions: Exceptions,
    /// Corrections that it skipped.
    pub skipped: u64,
}

/// A run that has ended may still hold its lock for a moment; one that has not is at work.
fn patience(phase: Phase) -> Duration {
    match phase {
        Phase::Done | Phase::RolledBack => LINGERING,
        _ => Duration::ZERO,
    }
}

/// Takes a run over; also whether somebody has begun to take it back before.
fn take_over(
    session: &mut WriteSession,
    id: RunId,
    options: &ApplyOptions,
) -> Result<(FixRun, bool), ApplyError> {
    let state = run_state(session, id)?;
    if !hold_liveness_within(session, id, patience(state.phase))? {
        return Err(JournalError::Live {
            id,
            worker: state.worker,
        }
        .into());
    }
    end_hands(session, id)?;
    let mut tx = session.begin()?;
    let run = fix_run(&mut tx, id, &options.who.worker)?;
    withdraw_kept(&mut tx, id)?;
    tx.commit()?;
    Ok((run, state.phase == Phase::Undoing))
}

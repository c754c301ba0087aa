//! A fix run: its row in the journal, its batches, what becomes of faults in between.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::json;

use super::atomic::all_or_nothing;
use super::carry::carry_all_out;
use super::error::Rest;
use super::{ApplyError, ApplyOptions, FixStrategy, PlanOrigin};
use crate::batch::{BatchError as _, Patience, refuse_invisible};
use crate::config::{AnswerLimit, ConnectionSettings};
use crate::correction::{Plan, PlanFileError, Planned};
use crate::crew::Crew;
use crate::ground::Memory;
use crate::journal::{
    FixRun, FixTotals, Part, Phase, SchemaState, become_hand, begin_fix, database_identity,
    hold_liveness,
};
use crate::pg::{Purpose, Statements, WriteSession, WriteTransaction};
use crate::quay::{RepositoryId, RunId, TagId};
use crate::relations::{Clocks, PolicySchema, held_tags};
use crate::report::Exceptions;
use crate::rules::Catalogue;

/// How often a batch is tried again after a lock time-out, a deadlock or a serialisation failure,
/// and rows that somebody else holds are looked at again.
pub(super) const ATTEMPTS: u32 = 6;

/// The same for the loop, which comes back for rows that others hold.
pub(super) const PATIENCE: Patience = Patience {
    in_the_way: Duration::from_secs(15),
    too_much: ATTEMPTS,
    cancelled: 2,
};

/// What a batch works with.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) run: &'a FixRun,
    pub(super) rules: &'a Catalogue,
    pub(super) options: &'a ApplyOptions,
    pub(super) schema: PolicySchema,
    /// Whose session the batches are.
    pub(super) part: Part,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The run, for `fix undo`.
    pub run: RunId,
    /// The sums.
    pub totals: FixTotals,
    /// Tags that could not be changed as asked.
    pub exceptions: Exceptions,
    /// Tags that were skipped since somebody else holds them, each with its holder; the first of them.
    pub held: Vec<String>,
}

/// Tags that are named of those that somebody else holds.
pub(super) const NAMED: usize = 100;

/// Names tags that somebody else holds, each with its holder.
pub(super) fn named(session: &mut WriteSession, tags: &[TagId]) -> Result<Vec<String>, ApplyError> {
    let first = &tags[..tags.len().min(NAMED)];
    let held = held_tags(session, first)?.into_iter();
    let named = held.map(|held| {
        let holder = held.holder.as_deref().unwrap_or("somebody unknown");
        format!("{}, held by {holder}", held.name)
    });
    Ok(named.collect())
}

/// Opens a session for writing corrections, with its limits; the schema as it is.
pub(super) fn open(
    settings: &ConnectionSettings,
) -> Result<(WriteSession, SchemaState), ApplyError> {
    let settings = settings.with_answer_limit(AnswerLimit::OF_BATCHES);
    let mut session = WriteSession::open_for(&settings, Purpose::Batches)?;
    let schema = SchemaState::read(&mut session)?;
    schema.needs_journal()?;
    Ok((session, schema))
}

/// Opens a session for a hand of a run; none where there is nothing left for it, or none can be had:
/// a pool that has nothing left makes whoever asks wait, and the lead may be done before.
pub(super) fn open_for_hand<T>(
    settings: &ConnectionSettings,
    run: RunId,
    crew: &Crew<T>,
) -> Option<WriteSession> {
    let settings = settings.clone();
    let opened = crew.fetch(move || -> Result<WriteSession, ApplyError> {
        let (mut session, _) = open(&settings)?;
        become_hand(&mut session, run)?;
        Ok(session)
    })?;
    opened
        .inspect_err(|error| {
            tracing::warn!(%error, "no second session can be had; the work goes on without");
        })
        .ok()
}

/// Conducts the operations of a plan, which are not done here, for a run that has done the rest.
pub type Conduct<'c> = dyn FnMut(RunId) -> FixTotals + 'c;

/// Carries a plan out: rows here, then its operations by `conduct`. `reached` is told how many
/// corrections have been dealt with.
///
/// # Errors
/// [`ApplyError`]; before the run has begun nothing has been changed, after that it is
/// [`ApplyError::CutShort`] and the journal holds what was done.
pub fn apply(
    settings: &ConnectionSettings,
    plan: &Plan,
    rules: &Catalogue,
    options: &ApplyOptions,
    conduct: &mut Conduct<'_>,
    reached: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Applied, ApplyError> {
    only_as_large_as_it_may_be(plan, options)?;
    let (mut session, schema) = open(settings)?;
    session.only_in_utf8()?;
    refuse_invisible::<ApplyError>(&mut session, &options.limits)?;
    if let Some(origin) = &options.origin {
        only_here(&mut session, origin)?;
    }
    let clocks = Clocks::read(&mut session)?;
    if clocks.are_apart(options.clock_margin) {
        return Err(ApplyError::ClocksApart(clocks));
    }
    // Who asked for an end while the plan was made wants no beginning.
    if reached(0).is_break() {
        return Err(ApplyError::NotBegun);
    }
    if options.strategy == FixStrategy::Atomic {
        let operations = plan.operations().count() as u64;
        if operations > 0 {
            return Err(ApplyError::NotAtomic { operations });
        }
        let schema = PolicySchema::from(&schema);
        let corrections = &plan.corrections;
        let (run, outcome) =
            all_or_nothing(&mut session, rules, options, schema, corrections, reached)?;
        return Ok(Applied {
            run: run.id,
            totals: outcome.totals,
            exceptions: outcome.exceptions,
            held: outcome.named,
        });
    }
    let run = begin(&mut session, options)?;
    let site = Site {
        run: &run,
        rules,
        options,
        schema: PolicySchema::from(&schema),
        part: Part::Lead,
    };
    let cut_short = |source: ApplyError| ApplyError::CutShort {
        run: run.id,
        rest: Rest::Unfinished(run.id),
        source: Box::new(source),
    };
    let mut outcome = match carry_all_out(settings, &mut session, site, &plan.corrections, reached)
    {
        Ok(outcome) => outcome,
        Err(error) => {
            // Where the connection lives the run ends here, and what it did stands; where not,
            // `recover` finds it.
            let rest = if end(&mut session, &run, Phase::Done).is_ok() {
                Rest::Ended(run.id)
            } else {
                Rest::Unfinished(run.id)
            };
            return Err(ApplyError::CutShort {
                run: run.id,
                rest,
                source: Box::new(error),
            });
        }
    };
    if plan.operations().next().is_some() {
        let conducted = conduct(run.id);
        add(&mut outcome.totals, &conducted);
        advance(&mut session, &run, &conducted).map_err(cut_short)?;
    }
    end(&mut session, &run, Phase::Done).map_err(cut_short)?;
    Ok(Applied {
        run: run.id,
        totals: outcome.totals,
        exceptions: outcome.exceptions,
        held: outcome.named,
    })
}

/// Refuses a plan that is larger than it may be, does not hold everything, or depends on what nobody has stated.
pub(super) fn only_as_large_as_it_may_be(
    plan: &Plan,
    options: &ApplyOptions,
) -> Result<(), ApplyError> {
    let planned = plan.changes();
    if planned > options.max_changes {
        return Err(ApplyError::TooMany {
            planned,
            limit: options.max_changes,
        });
    }
    if plan.beyond > 0 {
        return Err(ApplyError::Incomplete {
            missing: plan.beyond,
        });
    }
    let (_, not_stated) = plan.expiries_at_stake();
    if not_stated > 0 {
        return Err(ApplyError::ExpiryNotStated { tags: not_stated });
    }
    Ok(())
}

/// Refuses a plan that was made for another database than the session's.
pub(super) fn only_here(pg: &mut impl Statements, origin: &PlanOrigin) -> Result<(), ApplyError> {
    let here = database_identity(pg)?;
    if here.may_be(&origin.database) {
        return Ok(());
    }
    Err(PlanFileError::Foreign {
        file: origin.file.clone(),
        of: origin.database.to_string(),
        here: here.to_string(),
    }
    .into())
}

fn begin(session: &mut WriteSession, options: &ApplyOptions) -> Result<FixRun, ApplyError> {
    let mut tx = session.begin()?;
    let run = begin_in(&mut tx, options)?;
    tx.commit()?;
    Ok(run)
}

/// Writes the run's row and takes its liveness lock.
pub(super) fn begin_in(
    tx: &mut WriteTransaction<'_>,
    options: &ApplyOptions,
) -> Result<FixRun, ApplyError> {
    let digest = options.origin.as_ref().map(|origin| &origin.digest);
    let asked = match digest {
        Some(digest) => json!({ "strategy": options.strategy.name(), "plan": digest }),
        None => json!({ "strategy": options.strategy.name() }),
    };
    let run = begin_fix(tx, &options.who, &asked, options.parent)?;
    // Held before the row can be seen: nobody finds the run without its worker.
    if !hold_liveness(tx, run.id)? {
        return Err(ApplyError::LivenessLost(run.id));
    }
    Ok(run)
}

fn advance(session: &mut WriteSession, run: &FixRun, totals: &FixTotals) -> Result<(), ApplyError> {
    let mut tx = session.begin()?;
    run.advance(&mut tx, Phase::Applying, totals)?;
    tx.commit()?;
    Ok(())
}

pub(super) fn end(
    session: &mut WriteSession,
    run: &FixRun,
    phase: Phase,
) -> Result<(), ApplyError> {
    let mut tx = session.begin()?;
    run.end(&mut tx, phase)?;
    tx.commit()?;
    Ok(())
}

/// Reads ahead what the first batch in these repositories is judged by, in a transaction that holds nothing.
pub(super) fn read_ahead(
    session: &mut WriteSession,
    memory: &mut Memory,
    repositories: &[RepositoryId],
    schema: PolicySchema,
) -> Result<(), ApplyError> {
    let mut tx = session.begin()?;
    memory.read_ahead(&mut tx, repositories, schema)?;
    tx.commit()?;
    Ok(())
}

/// Whether the work goes on after a batch.
pub(super) fn go_on(answer: ControlFlow<()>) -> Result<(), ApplyError> {
    if answer.is_break() {
        return Err(ApplyError::Interrupted);
    }
    Ok(())
}

/// A correction of a tag, and the tag's repository.
#[derive(Clone, Copy)]
pub(super) struct OfTag<'p> {
    pub(super) repository: RepositoryId,
    pub(super) planned: &'p Planned,
}

/// The correction where it is of a tag.
pub(super) fn of_tag(planned: &Planned) -> Option<OfTag<'_>> {
    let repository = planned.correction.tag()?.repository();
    Some(OfTag {
        repository,
        planned,
    })
}

/// Whether a batch is tried again that has failed so often before.
pub(super) fn again(error: &ApplyError, attempts: u32) -> bool {
    let most = match error.is_cancelled() {
        true => PATIENCE.cancelled,
        false if error.passes() => ATTEMPTS,
        false => 0,
    };
    attempts < most
}

/// The same, to be asked once after each attempt that failed.
pub(super) fn again_each_time() -> impl FnMut(&ApplyError) -> bool {
    let mut failed = 0;
    move |error| {
        failed += 1;
        again(error, failed - 1)
    }
}

pub(super) fn add(sum: &mut FixTotals, batch: &FixTotals) {
    sum.applied += batch.applied;
    sum.skipped += batch.skipped;
    sum.expirations_cleared += batch.expirations_cleared;
    sum.batches += batch.batches;
    sum.longest_batch_ms = sum.longest_batch_ms.max(batch.longest_batch_ms);
}

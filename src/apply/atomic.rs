//! All of a plan in one transaction: every correction, or none.

use std::ops::ControlFlow;
use std::time::Instant;

use backon::BlockingRetryable as _;

use super::batch::{BatchOutcome, in_transaction};
use super::error::Rest;
use super::run::{ATTEMPTS, OfTag, Site, add, again, begin_in, go_on, of_tag};
use super::{ApplyError, ApplyOptions, policies};
use crate::batch::BatchError as _;
use crate::correction::Planned;
use crate::ground::Memory;
use crate::journal::{FixRun, Part, Phase, liveness_held, record_policy_change};
use crate::pg::{FaultClass, WriteSession};
use crate::relations::{PolicySchema, lock_policy_tables, lock_policy_tables_alone};
use crate::retry::attempts;
use crate::rules::Catalogue;

/// Rows that one statement takes; the transaction holds all of them in the end.
const ROWS: usize = 1_000;

/// Carries everything out in one transaction, the run's own row included: a fault at any point
/// leaves nothing of it. Whoever is in the way is waited for, with nothing held.
pub(super) fn all_or_nothing(
    session: &mut WriteSession,
    rules: &Catalogue,
    options: &ApplyOptions,
    schema: PolicySchema,
    corrections: &[Planned],
    reached: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(FixRun, BatchOutcome), ApplyError> {
    let once = || attempt(session, rules, options, schema, corrections, reached);
    let mut failed = 0;
    let may_pass = |error: &ApplyError| {
        failed += 1;
        may_pass(error, failed - 1)
    };
    let ended = once.retry(attempts(ATTEMPTS)).when(may_pass).call();
    ended.map_err(|error| match error.is_duplicate_key() {
        // An expiry that is restored is another row's of the same name.
        true => ApplyError::NotAll {
            planned: corrections.len() as u64,
            changed: 1,
            held: 0,
        },
        false => error,
    })
}

fn may_pass(error: &ApplyError, attempts: u32) -> bool {
    let held = matches!(error, ApplyError::NotAll { held, changed: 0, .. } if *held > 0);
    again(error, attempts) || held && attempts < ATTEMPTS
}

fn attempt(
    session: &mut WriteSession,
    rules: &Catalogue,
    options: &ApplyOptions,
    schema: PolicySchema,
    corrections: &[Planned],
    reached: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(FixRun, BatchOutcome), ApplyError> {
    let begun = Instant::now();
    let mut tx = session.begin()?;
    // Policy tables first, as everywhere; a transaction that also writes them lets no other one in
    // that does, or both would wait for each other.
    let writes_policies = corrections.iter().any(|p| of_tag(p).is_none());
    if writes_policies {
        lock_policy_tables_alone(&mut tx)?;
    } else if corrections
        .iter()
        .any(|p| p.correction.takes_protection_away())
    {
        lock_policy_tables(&mut tx)?;
    }
    let run = begin_in(&mut tx, options)?;
    let site = Site {
        run: &run,
        rules,
        options,
        schema,
        part: Part::Lead,
    };
    let (mut sum, mut memory) = (BatchOutcome::default(), Memory::default());
    let (mut held, mut done) = (0, 0);
    let repository = |planned: &Planned| of_tag(planned).map(|of| of.repository);
    for chunk in corrections.chunk_by(|a, b| repository(a) == repository(b)) {
        let Some(repository) = chunk.first().and_then(repository) else {
            for planned in chunk {
                match policies::change(&mut tx, &site, planned)? {
                    Some(change) => {
                        record_policy_change(&mut tx, run.id, &change)?;
                        sum.totals.applied += 1;
                    }
                    None => return Err(not_all(corrections, 1, 0)),
                }
                done += 1;
                go_on(reached(done))?;
            }
            continue;
        };
        for batch in chunk.chunks(ROWS) {
            let of_tags: Vec<OfTag<'_>> = batch.iter().filter_map(of_tag).collect();
            let (outcome, in_others_hands) =
                in_transaction(&mut tx, &site, &mut memory, repository, &of_tags)?;
            held += in_others_hands;
            add(&mut sum.totals, &outcome.totals);
            sum.exceptions.append(outcome.exceptions);
            done += batch.len() as u64;
            go_on(reached(done))?;
        }
    }
    if sum.totals.skipped + held > 0 {
        return Err(not_all(corrections, sum.totals.skipped, held));
    }
    if !liveness_held(&mut tx, run.id, Part::Lead)? {
        return Err(ApplyError::LivenessLost(run.id));
    }
    sum.totals.batches = 1;
    sum.totals.longest_batch_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    run.advance(&mut tx, Phase::Applying, &sum.totals)?;
    run.end(&mut tx, Phase::Done)?;
    match tx.commit() {
        Ok(()) => Ok((run, sum)),
        // The answer is lost, and with it whether everything happened or nothing.
        Err(error) if error.class() == FaultClass::Connection => Err(ApplyError::CutShort {
            run: run.id,
            rest: Rest::NotKnown(run.id),
            source: Box::new(error.into()),
        }),
        Err(error) => Err(error.into()),
    }
}

fn not_all(corrections: &[Planned], changed: u64, held: u64) -> ApplyError {
    ApplyError::NotAll {
        planned: corrections.len() as u64,
        changed,
        held,
    }
}

//! The fix: a check, a plan of its violations; then, only when asked, the plan carried out.
//!
//! Rows are corrected by `apply`, operations are conducted by `policy`, which know nothing of each
//! other; here they become one run.

use std::ops::ControlFlow;

use super::conduct::{Conductor, Watching, new_pattern, policy_options, take_back_all};
use super::propose::propose;
use super::{CheckRequest, Progress, RunError, check};
use crate::apply::{self, ApplyOptions, Printed};
use crate::config::ConnectionSettings;
use crate::correction::{Choices, Correction, Decisions, Impact, OpenOrphans, Operation, Plan};
use crate::evaluate::{Features, Stated};
use crate::journal::SchemaState;
use crate::pg::ReadSession;
use crate::policy::{self, NewPattern, Pick, PolicyError};
use crate::quay::RunId;
use crate::relations::{PoliciesOf, PolicySchema, Selection, census, policies};
use crate::report::{ApplyReport, CheckReport, PlanReport, Settling, UndoReport};
use crate::rules::{Catalogue, Severity};

/// What to fix, and how.
#[derive(Clone, Debug)]
pub struct FixRequest {
    /// The check whose violations are planned for.
    pub check: CheckRequest,
    /// The choices among remedies.
    pub choices: Choices,
    /// What counts that Quay or an operation may still be at work on.
    pub settling: Settling,
    /// The least severity of a rule that counts where it could not be decided, or something of it is pending.
    pub fail_on: Severity,
}

/// Plans; changes nothing.
///
/// # Errors
/// [`RunError`] where the check has no answer.
pub fn plan_fix(
    settings: &ConnectionSettings,
    request: &FixRequest,
    progress: &mut dyn Progress,
) -> Result<PlanReport, RunError> {
    if !request.choices.decisions().is_empty() {
        only_about_what_is_there(settings, request.choices.decisions())?;
    }
    let report = check(settings, &request.check, progress)?;
    if let Some(why) = report.cut_short {
        return Err(RunError::NoPlan { why });
    }
    let kept = report.violations.len() as u64;
    let CheckReport {
        violations, rules, ..
    } = report;
    let total: u64 = rules.iter().map(|rule| rule.violations).sum();
    let open = OpenOrphans::among(&violations, &request.check.rules, &request.choices);
    let proposals = propose(settings, &open)?;
    let mut plan = Plan::new(
        violations,
        &request.check.rules,
        &request.choices,
        request.check.features,
    );
    plan.beyond = total - kept;
    plan.proposals = proposals;
    estimate(settings, &mut plan, request.check.features)?;
    let counts = (request.fail_on, request.settling);
    Ok(PlanReport::new(plan, rules, counts))
}

/// Holds decisions by scope against the registry's names, before anything is looked at for them.
fn only_about_what_is_there(
    settings: &ConnectionSettings,
    decisions: &Decisions,
) -> Result<(), RunError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let schema = SchemaState::read(&mut snapshot)?;
    let registry = census(&mut snapshot, &Selection::default())?;
    let policies = policies(&mut snapshot, PolicySchema::from(&schema), &PoliciesOf::All)?;
    let uuids = policies.into_iter().map(|policy| policy.uuid).collect();
    Ok(decisions.only_about(&registry, &uuids)?)
}

/// Counts what the plan's operations would do to existing tags. One that would be refused is no
/// part of the plan; the note says why.
fn estimate(
    settings: &ConnectionSettings,
    plan: &mut Plan,
    features: Features,
) -> Result<(), RunError> {
    let mut refused = Vec::new();
    for (index, planned) in plan.corrections.iter_mut().enumerate() {
        let Correction::Operation(operation) = &mut planned.correction else {
            continue;
        };
        let Some((pick, new)) = previewed(operation) else {
            continue;
        };
        match policy::preview(settings, &pick, &new) {
            Ok(preview) => {
                let (cleared, not_stated) = match features.can_expire {
                    Stated::On => (0, 0),
                    Stated::Off => (preview.impact.expiring, 0),
                    Stated::Unknown => (0, preview.impact.expiring),
                };
                if let Some(impact) = operation.impact_mut() {
                    *impact = Impact {
                        becomes_immutable: preview.impact.become_immutable,
                        expiries_cleared: cleared,
                        expiries_not_stated: not_stated,
                    };
                }
            }
            Err(PolicyError::Refused { sentence, .. }) => {
                refused.push((index, format!("{}: {sentence}", operation.sentence())));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (index, why) in refused.into_iter().rev() {
        plan.refuse(index, why);
    }
    Ok(())
}

/// What an operation would apply, where it applies a policy.
fn previewed(operation: &Operation) -> Option<(Pick, NewPattern)> {
    match operation {
        Operation::Recreate(recreation) => {
            let pick = Pick {
                namespace: recreation.namespace.clone(),
                repository: recreation.repository.clone(),
            };
            Some((pick, new_pattern(recreation)))
        }
        Operation::Activate(policy, _) => {
            let stored = policy.text.parse().ok()?;
            let pick = Pick {
                namespace: policy.namespace.clone(),
                repository: policy.repository.clone(),
            };
            let new = NewPattern {
                pattern: stored.pattern,
                polarity: stored.polarity,
                allow_slow: true,
            };
            Some((pick, new))
        }
        _ => None,
    }
}

/// Carries a plan out. The whole catalogue judges the rows again, whatever rules were asked for.
///
/// # Errors
/// [`RunError`]; where the run had begun, it says how to take it back.
pub fn apply_fix(
    settings: &ConnectionSettings,
    plan: &PlanReport,
    options: &ApplyOptions,
    progress: &mut dyn Progress,
) -> Result<ApplyReport, RunError> {
    let started = std::time::Instant::now();
    let rules = Catalogue::built_in()?;
    progress.begin("correcting", plan.plan.corrections.len() as u64);
    let mut conductor = Conductor {
        settings,
        options,
        rules: &rules,
        conducted: Vec::new(),
    };
    let progress = std::cell::RefCell::new(progress);
    let applied = apply::apply(
        settings,
        &plan.plan,
        &rules,
        options,
        &mut |run| conductor.all(&plan.plan, run, &mut **progress.borrow_mut()),
        &mut |done| told(&mut **progress.borrow_mut(), done),
    )?;
    progress.borrow_mut().end();
    Ok(ApplyReport {
        run: applied.run,
        applied: applied.totals.applied,
        skipped: applied.totals.skipped,
        held: applied.held,
        expirations_cleared: applied.totals.expirations_cleared,
        batches: applied.totals.batches,
        longest_batch_ms: applied.totals.longest_batch_ms,
        exceptions: applied.exceptions,
        undecided: plan.plan.undecided(),
        left: plan.plan.left.len() as u64,
        unknown: plan.unknown(),
        operations: conductor.conducted,
        further: Vec::new(),
        more: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Prints a plan as a script for psql; changes nothing.
///
/// # Errors
/// [`RunError`]; what was printed until then is not the whole script.
pub fn print_fix(
    settings: &ConnectionSettings,
    plan: &PlanReport,
    options: &ApplyOptions,
    out: &mut dyn std::io::Write,
) -> Result<Printed, RunError> {
    let rules = Catalogue::built_in()?;
    Ok(apply::print_sql(
        settings, &plan.plan, &rules, options, out,
    )?)
}

/// Takes a run back.
///
/// # Errors
/// [`RunError`]; an undo that was cut short is begun again by the same command.
pub fn undo_fix(
    settings: &ConnectionSettings,
    run: RunId,
    options: &ApplyOptions,
    progress: &mut dyn Progress,
) -> Result<UndoReport, RunError> {
    let started = std::time::Instant::now();
    progress.begin("taking back", 0);
    let policy = policy_options(options, None);
    let progress = std::cell::RefCell::new(progress);
    let undone = apply::undo(
        settings,
        run,
        options,
        &mut |run| {
            let mut progress = progress.borrow_mut();
            let means = (options, &policy);
            take_back_all(settings, run, means, &mut Watching(&mut **progress))
        },
        &mut |done| told(&mut **progress.borrow_mut(), done),
    )?;
    progress.borrow_mut().end();
    Ok(UndoReport {
        run,
        undone: undone.undone,
        refused: undone.refused,
        refusals: undone
            .refusals
            .into_iter()
            .map(|r| (r.what, r.why))
            .collect(),
        exceptions: undone.exceptions,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Tells how far it is; whether to go on.
pub(super) fn told(progress: &mut dyn Progress, done: u64) -> ControlFlow<()> {
    progress.reached(done);
    if progress.interrupted() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

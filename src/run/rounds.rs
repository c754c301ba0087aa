//! A fix to its end: where a run's operations bring new violations to light, the same choices are
//! made about those, in further runs that belong to the first.

use super::fix::{FixRequest, apply_fix, plan_fix};
use super::{Progress, RunError};
use crate::apply::ApplyOptions;
use crate::config::ConnectionSettings;
use crate::report::{ApplyReport, MoreToDo, PlanReport};

/// Runs that may belong to a first one. A policy that is activated may repeat another or cover it,
/// and that is the end of it; what goes on for longer than this wants a person.
const ROUNDS: usize = 5;

/// Carries a plan out and, as long as operations were conducted, plans and corrects again by the
/// same choices: rows alone bring no violation to light that was not there. `fix undo` of the first
/// run takes all of them back.
///
/// # Errors
/// [`RunError`] of the first run; what keeps a further one from its end is told in the report.
pub fn apply_fix_to_its_end(
    settings: &ConnectionSettings,
    request: &FixRequest,
    plan: &PlanReport,
    options: &ApplyOptions,
    progress: &mut dyn Progress,
) -> Result<ApplyReport, RunError> {
    let mut report = apply_fix(settings, plan, options, progress)?;
    let mut options = options.clone();
    options.parent = Some(report.run);
    let mut changed = plan.plan.changes();
    let mut conducted = report.conducted();
    while conducted && !report.cut_short() {
        let next = match plan_fix(settings, request, progress) {
            Ok(next) => next,
            Err(error) => {
                report.more = Some(MoreToDo::Unknown(told(&error)));
                break;
            }
        };
        report.stands_as(&next);
        if next.plan.corrections.is_empty() {
            break;
        }
        changed += next.plan.changes();
        if changed > options.max_changes || report.further.len() == ROUNDS {
            report.more = Some(MoreToDo::Again {
                corrections: next.plan.corrections.len() as u64,
            });
            break;
        }
        match apply_fix(settings, &next, &options, progress) {
            Ok(further) => {
                conducted = further.conducted();
                report.add(further);
            }
            Err(error) => {
                report.more = Some(MoreToDo::Unknown(told(&error)));
                break;
            }
        }
    }
    Ok(report)
}

/// An error with what it comes from, in one line.
fn told(error: &RunError) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}

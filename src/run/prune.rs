//! Old entries of the journal, pruned on request.

use std::time::{Duration, Instant};

use super::fix::told;
use super::{Progress, RunError};
use crate::apply::{self, Pruned};
use crate::config::ConnectionSettings;
use crate::report::{PruneDone, PruneReport, PrunedOperation, SHOWN_PRUNED};

/// Shows what of the journal a prune would take out; changes nothing.
///
/// # Errors
/// [`RunError`] where the database does not answer.
pub fn prune_preview(
    settings: &ConnectionSettings,
    older_than: Duration,
) -> Result<PruneReport, RunError> {
    let begun = Instant::now();
    let mut shown = Vec::new();
    let sum = apply::prune_preview(settings, older_than, &mut |found| {
        if shown.len() < SHOWN_PRUNED {
            shown.push(PrunedOperation {
                operation: found.operation,
                kind: found.kind.clone(),
                finished: found.finished,
                tag_changes: found.tag_changes,
                immutable: found.immutable,
                kept: found.kept,
                whole: found.whole,
            });
        }
    })?;
    Ok(report(PruneDone::Shown, older_than, shown, &sum, begun))
}

/// Prunes entries of operations that ended so long ago.
///
/// # Errors
/// [`RunError`]; the same command goes on.
pub fn prune(
    settings: &ConnectionSettings,
    older_than: Duration,
    progress: &mut dyn Progress,
) -> Result<PruneReport, RunError> {
    let begun = Instant::now();
    progress.begin("pruning", 0);
    let sum = apply::prune(settings, older_than, &mut |gone| told(progress, gone))?;
    progress.end();
    Ok(report(PruneDone::Done, older_than, Vec::new(), &sum, begun))
}

fn report(
    done: PruneDone,
    older_than: Duration,
    shown: Vec<PrunedOperation>,
    sum: &Pruned,
    begun: Instant,
) -> PruneReport {
    PruneReport {
        done,
        older_than,
        shown,
        tag_changes: sum.tag_changes,
        operations: sum.operations,
        immutable: sum.immutable,
        kept: sum.kept,
        left: sum.left,
        seconds: begun.elapsed().as_secs_f64(),
    }
}

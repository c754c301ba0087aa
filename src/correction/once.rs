//! One correction a row: what two rules ask for about the same row is done once.

use std::collections::{HashMap, HashSet};

use super::choice::Origin;
use super::{Correction, Operation, Planned};
use crate::quay::PolicyUuid;

/// A correction, and whose choice it is.
pub(super) type Wanted = (Planned, Origin);

/// Leaves of several corrections of one policy the one that somebody chose, or the simplest; of an
/// operation one end. A row that goes needs no mending.
pub(super) fn once(wanted: Vec<Wanted>) -> Vec<Planned> {
    let mut best: HashMap<PolicyUuid, (Origin, u8, bool)> = HashMap::new();
    for (planned, origin) in &wanted {
        let (correction, rank) = (&planned.correction, rank(&planned.correction));
        let (Some(policy), Some(rank)) = (correction.policy(), rank) else {
            continue;
        };
        let this = (*origin, rank, correction.removes_a_policy());
        let there = best.entry(policy.uuid.clone()).or_insert(this);
        *there = this.max(*there);
    }
    let (mut taken, mut ended) = (HashSet::new(), HashSet::new());
    let mut stays = |planned: &Planned, origin: Origin| {
        let correction = &planned.correction;
        if let Some(Operation::Recover(operation, _)) = correction.operation() {
            return ended.insert(operation.id);
        }
        let Some(policy) = correction.policy() else {
            return true;
        };
        let best = best.get(&policy.uuid);
        match rank(correction) {
            Some(rank) => {
                best.is_some_and(|best| (best.0, best.1) == (origin, rank))
                    && taken.insert(policy.uuid.clone())
            }
            None => best.is_none_or(|best| !best.2),
        }
    };
    wanted
        .into_iter()
        .filter(|(planned, origin)| stays(planned, *origin))
        .map(|(planned, _)| planned)
        .collect()
}

/// What goes before what: a row's plain end needs nobody else, a merge needs its twin, an
/// operation takes its time. Mending has no rank: it goes with everything but an end.
fn rank(correction: &Correction) -> Option<u8> {
    match correction {
        Correction::DeletePolicy(_) => Some(4),
        Correction::DeleteCovered(..) => Some(3),
        Correction::Merge(..) => Some(2),
        Correction::Operation(_) => Some(1),
        _ => None,
    }
}

//! One correction a row: what two rules ask for about the same row is done once.

use std::collections::{HashMap, HashSet};

use super::choice::Origin;
use super::{Correction, Operation, Planned};
use crate::evaluate::Activity;
use crate::quay::{PolicyRowId, PolicyUuid, Scope};

/// A correction, and whose choice it is.
pub(super) type Wanted = (Planned, Origin);

/// Leaves of several corrections of one policy the one that somebody chose, or the simplest; of an
/// operation one end. A row that goes needs no mending.
pub(super) fn once(wanted: Vec<Wanted>) -> Vec<Planned> {
    let wanted = for_its_own_reason(wanted);
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
    let planned = wanted
        .into_iter()
        .filter(|(planned, origin)| stays(planned, *origin))
        .map(|(planned, _)| planned)
        .collect();
    without_the_settled(planned)
}

/// A row that goes for a reason of its own does not go for its twin's sake as well: the twin may go.
fn for_its_own_reason(mut wanted: Vec<Wanted>) -> Vec<Wanted> {
    let deleted = |planned: &Planned| match &planned.correction {
        Correction::DeletePolicy(policy) => Some((policy.uuid.clone(), policy.twin.is_some())),
        _ => None,
    };
    let mut strongest: HashMap<PolicyUuid, Origin> = HashMap::new();
    let mut own: HashSet<PolicyUuid> = HashSet::new();
    for (planned, origin) in &wanted {
        let Some((uuid, repeats)) = deleted(planned) else {
            continue;
        };
        if !repeats {
            own.insert(uuid.clone());
        }
        let there = strongest.entry(uuid).or_insert(*origin);
        *there = (*origin).max(*there);
    }
    wanted.retain(|(planned, _)| {
        deleted(planned).is_none_or(|(uuid, repeats)| !repeats || !own.contains(&uuid))
    });
    for (planned, origin) in &mut wanted {
        if let Some(of_any) = deleted(planned).and_then(|(uuid, _)| strongest.get(&uuid)) {
            *origin = *of_any;
        }
    }
    wanted
}

/// Of the policies that repeat one which goes for a reason of its own, the first stays: it repeats
/// nothing then, and to take it away as well would leave none of them.
fn without_the_settled(planned: Vec<Planned>) -> Vec<Planned> {
    let goes = |planned: &&Planned| planned.correction.removes_a_policy();
    let of = |planned: &Planned| planned.correction.policy().cloned();
    let going: HashSet<PolicyUuid> = planned
        .iter()
        .filter(goes)
        .filter_map(of)
        .filter(|policy| policy.twin.is_none())
        .map(|policy| policy.uuid)
        .collect();
    let mut first: HashMap<(PolicyUuid, Scope), (bool, PolicyRowId, PolicyUuid)> = HashMap::new();
    for policy in planned.iter().filter(goes).filter_map(of) {
        let Some(twin) = policy.twin.filter(|twin| going.contains(&twin.uuid)) else {
            continue;
        };
        let this = (
            policy.activity == Activity::Inactive,
            policy.id,
            policy.uuid,
        );
        let there = first
            .entry((twin.uuid, policy.scope))
            .or_insert_with(|| this.clone());
        if this < *there {
            *there = this;
        }
    }
    let stay: HashSet<PolicyUuid> = first.into_values().map(|(_, _, uuid)| uuid).collect();
    planned
        .into_iter()
        .filter(|planned| !goes(&planned) || of(planned).is_none_or(|p| !stay.contains(&p.uuid)))
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

//! Notes of a report: what could not be judged for lack of what, and what was taken for granted.

use super::CheckRequest;
use crate::evaluate::Stated;
use crate::quay::PolicyUuid;
use crate::relations::{AuditLog, PolicySchema};
use crate::scan::Grounds;

/// The notes on a check by these grounds. `gone` are accepted policies that are not there.
pub(super) fn notes(grounds: &Grounds, request: &CheckRequest, gone: &[PolicyUuid]) -> Vec<String> {
    let mut notes = Vec::new();
    if !grounds.schema.knows_active() {
        notes.push(
            "the policy tables have no column `active`: every policy counts as active".to_owned(),
        );
    }
    if !grounds.schema.has_journal() {
        notes.push(
            "there is no journal: nothing is explained by it, and no expiry is known from it"
                .to_owned(),
        );
    }
    if grounds.database.standby {
        notes
            .push("this is a standby: a worker's life is judged by its heartbeat alone".to_owned());
    }
    let rows = grounds.policies.rows();
    if !PolicySchema::from(&grounds.schema).created_date {
        if !rows.is_empty() {
            notes.push(
                "the policy tables have no column `created_date`: it cannot be told whether Quay is in the middle of applying a policy"
                    .to_owned(),
            );
        }
    } else {
        let undated = rows.iter().filter(|row| row.created.is_none()).count();
        if undated > 0 {
            notes.push(format!(
                "policies without a date of creation, taken to be old: {undated}"
            ));
        }
    }
    if request.features.immutable_tags == Stated::Unknown && !rows.is_empty() {
        notes.push(
            "it is not stated whether FEATURE_IMMUTABLE_TAGS is on: policies are taken to be enforced"
                .to_owned(),
        );
    }
    match grounds.audit {
        AuditLog::Kept => {}
        AuditLog::Empty => notes.push(
            "the audit log is empty: if Quay writes it elsewhere, what users did cannot be seen here, and accounts for nothing"
                .to_owned(),
        ),
        AuditLog::Unreadable => notes.push(
            "the role may not read the audit log: what users did is not known, and tags that it could account for are undecided"
                .to_owned(),
        ),
    }
    for row in rows
        .iter()
        .filter(|row| request.accepted.contains(&row.uuid))
    {
        let (namespace, repository) = grounds.registry.scope_names(row.scope);
        let place = repository.map_or(String::new(), |name| format!("/{name}"));
        notes.push(format!(
            "accepted by accept-undecided: where only policy {} of {namespace}{place} could decide, nothing is decided",
            row.uuid
        ));
    }
    for uuid in gone {
        notes.push(format!(
            "accept-undecided names {uuid}: no such policy is among those looked at"
        ));
    }
    notes
}

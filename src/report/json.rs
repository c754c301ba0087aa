//! Outcomes as JSON: one object a command, documented by the schemas in docs/.

use serde_json::{Value, json};

use super::words::sentence;
use super::{ApplyReport, CheckReport, Conducted, ConductedEnd, MoreToDo, PlanReport, UndoReport};
use crate::correction::{Correction, ExpiryChange, Operation, ScopeProposal};
use crate::evaluate::{Found, RuleOutcome, Subject, Violation};
use crate::quay::Polarity;

/// The version of the documents' shape; it grows when a key changes or goes.
const SHAPE: u32 = 1;

pub(super) fn head() -> Value {
    json!({
        "tool": "quay-doctor",
        "version": env!("CARGO_PKG_VERSION"),
        "shape": SHAPE,
    })
}

/// Adds the members of the second object to the first.
pub(super) fn with(mut object: Value, members: Value) -> Value {
    if let (Value::Object(object), Value::Object(members)) = (&mut object, members) {
        object.extend(members);
    }
    object
}

/// A check, after docs/schemas/check.json.
pub fn check_json(report: &CheckReport) -> Value {
    let migration = report.database.migration;
    with(
        head(),
        json!({
            "started_at": report.started,
            "finished_at": report.finished,
            "database": {
                "server_version": report.database.server_version,
                "alembic_revision": report.database.alembic.join(","),
                "migration_version": migration,
                "standby": report.database.standby,
            },
            "rules": report.rules.iter().map(rule).collect::<Vec<_>>(),
            "violations": report.violations.iter().map(violation).collect::<Vec<_>>(),
            "totals": {
                "violations": report.total_violations(),
                "known": report.total_known(),
                "explained": report.total_explained(),
                "settling": report.total_settling(),
            },
            "truncated": report.truncated,
            "stale": report.stale,
            "comparison": report.comparison,
            "cut_short": report.cut_short,
            "notes": report.notes,
        }),
    )
}

pub(super) fn rule(outcome: &RuleOutcome) -> Value {
    json!({
        "id": outcome.id,
        "severity": outcome.severity,
        "status": outcome.status(),
        "subjects": outcome.subjects,
        "violations": outcome.violations,
        "known": outcome.known,
        "explained": outcome.explained,
        "undecided": outcome.undecided.subjects,
        "accepted": outcome.accepted,
        "settling": outcome.settling,
        "reason": outcome.reason(),
    })
}

pub(super) fn violation(violation: &Violation) -> Value {
    json!({
        "rule": violation.rule,
        "severity": violation.severity,
        "subject": subject(&violation.subject),
        "message": sentence(violation),
        "evidence": violation.evidence.iter().map(Found::to_string).collect::<Vec<_>>(),
        "remedies": violation.remedies,
    })
}

fn subject(subject: &Subject) -> Value {
    match subject {
        Subject::Tag(tag) => json!({
            "kind": "tag",
            "id": tag.row.id,
            "namespace": tag.namespace,
            "repository": tag.repository,
            "name": tag.row.name,
        }),
        Subject::Policy(policy) => json!({
            "kind": "policy",
            "id": policy.id,
            "namespace": policy.namespace,
            "repository": policy.repository,
            "name": policy.uuid,
        }),
        Subject::Operation(operation) => json!({
            "kind": "operation",
            "id": operation.id,
            "namespace": operation.namespace,
            "repository": operation.repository,
            "name": operation.kind,
        }),
        Subject::Row(row) => json!({
            "kind": "row",
            "id": row.number,
            "namespace": row.namespace,
            "repository": row.repository,
            "name": row.name,
        }),
    }
}

/// A plan, after docs/schemas/plan.json.
pub fn plan_json(report: &PlanReport) -> Value {
    let plan = &report.plan;
    let corrections: Vec<Value> = plan
        .corrections
        .iter()
        .map(|planned| {
            with(
                json!({ "rule": planned.rule }),
                correction(&planned.correction),
            )
        })
        .collect();
    let decisions: Vec<Value> = plan
        .decisions
        .iter()
        .map(|decision| {
            json!({
                "rule": decision.rule,
                "namespace": decision.namespace,
                "repository": decision.repository,
                "subjects": decision.subjects,
                "options": decision.options,
                "examples": decision.examples,
            })
        })
        .collect();
    let left: Vec<Value> = plan
        .left
        .iter()
        .map(|left| {
            let policy = left.policy.as_ref().map(|policy| &policy.uuid);
            json!({ "policy": policy, "operation": left.operation })
        })
        .collect();
    let (cleared, not_known) = plan.expiries_at_stake();
    with(
        head(),
        json!({
            "rules": report.rules.iter().map(rule).collect::<Vec<_>>(),
            "corrections": corrections,
            "decisions": decisions,
            "left_to_recover": left,
            "proposals": plan.proposals.iter().map(proposal).collect::<Vec<_>>(),
            "notes": plan.notes,
            "idle_decisions": plan.idle_decisions,
            "digest": report.digest,
            "totals": {
                "corrections": plan.corrections.len(),
                "undecided": plan.undecided(),
                "expirations_cleared": cleared,
                "expirations_not_stated": not_known,
                "beyond": plan.beyond,
            },
        }),
    )
}

fn correction(correction: &Correction) -> Value {
    let what = match correction {
        Correction::Operation(Operation::Recover(interrupted, _)) => Some(json!({
            "kind": "operation",
            "id": interrupted.id,
            "namespace": interrupted.namespace,
            "repository": interrupted.repository,
            "name": interrupted.id.to_string(),
        })),
        _ => match (correction.tag(), correction.policy()) {
            (Some(tag), _) => Some(subject(&Subject::Tag(tag.subject.clone()))),
            (_, Some(policy)) => Some(subject(&Subject::Policy(policy.clone()))),
            _ => None,
        },
    };
    let clears = match correction {
        Correction::Protect(_, ExpiryChange::Cleared(end) | ExpiryChange::NotKnown(end))
        | Correction::ClearExpiry(_, end) => Some(end),
        _ => None,
    };
    json!({
        "remedy": correction.verb(),
        "subject": what,
        "does": correction.sentence(),
        "clears_lifetime_end_ms": clears,
        "operation": correction.operation().map(operation),
    })
}

/// Which policy most likely made the orphans of a scope.
fn proposal(scope: &ScopeProposal) -> Value {
    let policies: Vec<Value> = scope
        .proposals
        .iter()
        .map(|proposal| {
            json!({
                "pattern": proposal.policy.pattern,
                "matches": proposal.policy.polarity == Polarity::Matching,
                "explains": proposal.explains,
                "contradicts": proposal.contradicts,
            })
        })
        .collect();
    json!({
        "namespace": scope.namespace,
        "repository": scope.repository,
        "orphans": scope.orphans,
        "passed_over": scope.passed_over,
        "policies": policies,
    })
}

/// An operation that a plan would conduct.
fn operation(operation: &Operation) -> Value {
    let (namespace, repository) = operation.place();
    let impact = operation.impact();
    let creates = match operation {
        Operation::Recreate(recreation) => Some(json!({
            "pattern": recreation.policy.pattern,
            "matches": recreation.policy.polarity == Polarity::Matching,
            "explains": recreation.explains,
        })),
        _ => None,
    };
    json!({
        "namespace": namespace,
        "repository": repository,
        "creates": creates,
        "becomes_immutable": impact.map(|impact| impact.becomes_immutable),
        "expirations_cleared": impact.map(|impact| impact.expiries_cleared),
        "expirations_not_stated": impact.map(|impact| impact.expiries_not_stated),
    })
}

/// A run, after docs/schemas/apply.json.
pub fn apply_json(report: &ApplyReport) -> Value {
    with(
        head(),
        json!({
            "run": report.run,
            "applied": report.applied,
            "skipped": report.skipped,
            "held": report.held,
            "undecided": report.undecided,
            "left_to_recover": report.left,
            "unknown": report.unknown,
            "expirations_cleared": report.expirations_cleared,
            "past_expirations_left_out": report.exceptions.past_expiries.count(),
            "expirations_not_restored": report.exceptions.void_images.count(),
            "not_restored": report.exceptions.void_images.names(),
            "tags_not_written": report.exceptions.not_written.count(),
            "not_written": report.exceptions.not_written.names(),
            "tags_left": report.exceptions.duplicates.count(),
            "left": report.exceptions.duplicates.names(),
            "batches": report.batches,
            "longest_batch_ms": report.longest_batch_ms,
            "operations": report.operations.iter().map(conducted).collect::<Vec<_>>(),
            "further_runs": report.further,
            "more": match &report.more {
                None => Value::Null,
                Some(MoreToDo::Again { corrections }) => json!({ "corrections": corrections }),
                Some(MoreToDo::Unknown(why)) => json!({ "unknown": why }),
            },
            "seconds": report.seconds,
        }),
    )
}

fn conducted(conducted: &Conducted) -> Value {
    let (ended, why) = match &conducted.end {
        ConductedEnd::Done => ("done", None),
        ConductedEnd::Skipped(why) => ("skipped", Some(why)),
        ConductedEnd::RolledBack(why) => ("rolled-back", Some(why)),
        ConductedEnd::Left(why) => ("left", Some(why)),
    };
    json!({
        "remedy": conducted.remedy,
        "does": conducted.sentence,
        "operation": conducted.operation,
        "ended": ended,
        "why": why,
        "tags_changed": conducted.tags_changed,
    })
}

/// An undo, after docs/schemas/undo.json.
pub fn undo_json(report: &UndoReport) -> Value {
    let refusals: Vec<Value> = report
        .refusals
        .iter()
        .map(|(what, why)| json!({ "what": what, "why": why }))
        .collect();
    with(
        head(),
        json!({
            "run": report.run,
            "undone": report.undone,
            "refused": report.refused,
            "refusals": refusals,
            "past_expirations_left_out": report.exceptions.past_expiries.count(),
            "expirations_not_restored": report.exceptions.void_images.count(),
            "not_restored": report.exceptions.void_images.names(),
            "tags_not_written": report.exceptions.not_written.count(),
            "not_written": report.exceptions.not_written.names(),
            "tags_left": report.exceptions.duplicates.count(),
            "left": report.exceptions.duplicates.names(),
            "seconds": report.seconds,
        }),
    )
}

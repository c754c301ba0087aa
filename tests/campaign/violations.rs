//! What `check --strict` finds before a schedule and after it.

use std::collections::BTreeMap;

use testkit::oracle::{Act, Case, Operation, State, Wrong};

use super::at_work::run;
use super::operation::stated;
use super::world::Arena;

/// A violation: its rule and its subject.
pub type Violation = (String, String, i64);

/// What `check --strict` finds.
pub fn violations(arena: &Arena) -> BTreeMap<Violation, String> {
    let report = run(
        &arena.role_url(),
        &stated(&[
            "check",
            "--strict",
            "--grace",
            "0s",
            "--format",
            "json",
            "--allow-settling",
        ]),
    );
    let report = report.json();
    let found = report["violations"].as_array().expect("violations");
    found
        .iter()
        .map(|violation| {
            let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let subject = &violation["subject"];
            let key = (
                word(&violation["rule"]),
                word(&subject["kind"]),
                subject["id"].as_i64().unwrap_or_default(),
            );
            (key, violation.to_string())
        })
        .collect()
}

/// Violations that were not there before, and are nobody else's doing: Quay's users leave some, and
/// tags that are to be kept are a violation to `--strict`.
pub fn new_violations(
    arena: &Arena,
    known: &BTreeMap<Violation, String>,
    case: &Case<'_>,
    after: &State,
) -> Vec<Wrong> {
    let (operations, acts) = (case.operations, case.acts);
    let keeps = operations.iter().any(|operation| {
        matches!(
            operation,
            Operation::Update {
                unmatched: quay_doctor::TagsChoice::Keep,
                ..
            } | Operation::Delete(_, quay_doctor::TagsChoice::Keep)
                | Operation::Deactivate(_, quay_doctor::TagsChoice::Keep)
        )
    });
    let users = acts
        .iter()
        .any(|act| matches!(act, Act::PolicyDeleted { .. } | Act::PolicyAdded(..)));
    // A fix that is taken back brings its violations back.
    let mended = operations
        .iter()
        .any(|operation| matches!(operation, Operation::TakeBack(_)));
    if mended {
        return Vec::new();
    }
    // What a label or a user holds is explained, and to `--strict` a violation all the same. A row
    // that a fast clock has ended lives on by ours for some seconds.
    let explained = |id: i64| {
        let found = after.tags.iter().find(|(tag, _)| i64::from(tag.0) == id);
        found.is_some_and(|(tag, row)| {
            row.labelled || row.set_by_user || after.was_pushed_over(*tag)
        })
    };
    let touched = |id: i64| {
        explained(id)
            || acts.iter().any(|act| match act {
                Act::Set(tag)
                | Act::TakenOff(tag)
                | Act::Expires(tag, _)
                | Act::Deleted(tag, _) => i64::from(tag.0) == id,
                _ => false,
            })
    };
    violations(arena)
        .into_iter()
        .filter(|(key, _)| !known.contains_key(key))
        .filter(
            |((rule, kind, id), _)| match (rule.as_str(), kind.as_str()) {
                ("orphaned-immutable-tag", _) => !keeps && !users && !touched(*id),
                ("redundant-policy" | "duplicate-policy" | "stale-inactive-policy", _) => false,
                (_, "tag") => !touched(*id) && !users,
                _ => true,
            },
        )
        .map(|(_, told)| Wrong::NewViolation(told))
        .collect()
}

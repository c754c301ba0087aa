//! What was pruned from the journal, or would be.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::json::{head, with};
use super::words::{line, plural, thousands};
use crate::quay::OperationId;

/// Operations that are shown one by one.
pub const SHOWN_PRUNED: usize = 20;

/// Whether anything was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneDone {
    /// Only looked at.
    Shown,
    /// Carried out.
    Done,
}

/// One operation of a prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedOperation {
    /// The operation.
    pub operation: OperationId,
    /// What it is.
    pub kind: String,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// Entries of tags that go.
    pub tag_changes: u64,
    /// Entries that stay, for their tags are immutable.
    pub immutable: u64,
    /// Declarations in force, which stay.
    pub kept: u64,
    /// Whether nothing of it stays.
    pub whole: bool,
}

/// A prune, or what it would be.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneReport {
    /// Whether it was carried out.
    pub done: PruneDone,
    /// How long ago an operation has to have ended.
    pub older_than: Duration,
    /// The first operations, where it was only looked.
    pub shown: Vec<PrunedOperation>,
    /// Entries of tags.
    pub tag_changes: u64,
    /// Operations altogether.
    pub operations: u64,
    /// Entries that stay, for their tags are immutable.
    pub immutable: u64,
    /// Declarations in force, which stay.
    pub kept: u64,
    /// Operations of which something stays.
    pub left: u64,
    /// How long it took.
    pub seconds: f64,
}

impl PruneReport {
    /// Whether there is anything to prune.
    pub fn is_empty(&self) -> bool {
        self.tag_changes == 0 && self.operations == 0
    }
}

/// A prune for people.
pub fn prune_for_people(report: &PruneReport) -> String {
    let mut out = String::new();
    if report.done == PruneDone::Shown {
        line!(out, "What would be pruned; nothing has been changed.");
        for shown in &report.shown {
            line!(
                out,
                "     {} {}, ended {}: {} of tags{}",
                shown.kind,
                shown.operation,
                shown.finished.format("%Y-%m-%d"),
                plural(shown.tag_changes, "entry"),
                if shown.whole {
                    ", and the operation"
                } else {
                    ""
                }
            );
        }
        let more = (report.operations + report.left).saturating_sub(report.shown.len() as u64);
        if more > 0 {
            line!(out, "     … and {} more operations", thousands(more));
        }
    }
    let verb = match report.done {
        PruneDone::Shown => "to prune",
        PruneDone::Done => "pruned",
    };
    line!(
        out,
        "{verb}: {} of tags, {} altogether.",
        plural(report.tag_changes, "entry"),
        plural(report.operations, "operation")
    );
    if report.immutable + report.kept + report.left > 0 {
        line!(
            out,
            "kept: {} of tags that are immutable, {} in force; something of {} stays.",
            plural(report.immutable, "entry"),
            plural(report.kept, "declaration"),
            plural(report.left, "operation")
        );
    }
    if report.done == PruneDone::Shown && !report.is_empty() {
        line!(
            out,
            "What is pruned can no longer be undone. To do it: the same command with --apply."
        );
    }
    out
}

/// A prune, after docs/schemas/prune.json.
pub fn prune_json(report: &PruneReport) -> Value {
    let shown: Vec<Value> = report
        .shown
        .iter()
        .map(|shown| {
            json!({
                "operation": shown.operation,
                "kind": shown.kind,
                "finished_at": shown.finished,
                "tag_changes": shown.tag_changes,
                "immutable": shown.immutable,
                "declarations": shown.kept,
                "whole": shown.whole,
            })
        })
        .collect();
    with(
        head(),
        json!({
            "applied": report.done == PruneDone::Done,
            "older_than_seconds": report.older_than.as_secs(),
            "shown": shown,
            "pruned": { "tag_changes": report.tag_changes, "operations": report.operations },
            "kept": {
                "tag_changes": report.immutable,
                "declarations": report.kept,
                "operations": report.left,
            },
            "seconds": report.seconds,
        }),
    )
}

//! Everything that accounts for one tag: for people and as JSON.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::harmless;
use super::json::{head, with};
use super::words::line;
use crate::quay::UnixMillis;
use crate::rules::RuleId;

/// What is known about one row of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagRowTold {
    /// `tag.id`.
    pub id: i32,
    /// Whether it is alive.
    pub live: bool,
    /// `immutable`.
    pub immutable: bool,
    /// `lifetime_start_ms`.
    pub start_ms: UnixMillis,
    /// `lifetime_end_ms`.
    pub end_ms: Option<UnixMillis>,
}

/// What one policy says of the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySays {
    /// It makes the tag immutable.
    Immutable,
    /// It does not.
    Nothing,
    /// Quay fails on it.
    Fails,
    /// It cannot be told here.
    NotTold,
}

/// One policy of the tag's repository or namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyTold {
    /// Its uuid.
    pub uuid: String,
    /// "repository" or "namespace".
    pub scope: &'static str,
    /// Its pattern, or its text where that has none.
    pub pattern: String,
    /// Whether Quay is to enforce it.
    pub active: bool,
    /// What it says, active or not.
    pub says: PolicySays,
    /// Why it fails or cannot be told.
    pub why: Option<String>,
}

/// One entry of Quay's audit log about tags of the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryTold {
    /// Its id.
    pub id: i64,
    /// When, in the application server's own zone.
    pub at: NaiveDateTime,
    /// Who.
    pub user: Option<String>,
    /// What was done.
    pub did: &'static str,
}

/// One change of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeTold {
    /// The operation.
    pub operation: i64,
    /// What it was.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// `immutable`, before and after.
    pub immutable: [bool; 2],
    /// `lifetime_end_ms`, before and after.
    pub end_ms: [Option<UnixMillis>; 2],
    /// When it was taken back, if it was.
    pub undone_at: Option<DateTime<Utc>>,
}

/// How one rule stands on the tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTold {
    /// The rule.
    pub id: RuleId,
    /// "not-a-subject", "sound", "violated", "explained" or "undecided".
    pub verdict: &'static str,
    /// Why it is undecided.
    pub why: Option<String>,
}

/// Everything that accounts for a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagExplanation {
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: String,
    /// The tag's name.
    pub name: String,
    /// The row that is explained: the live one, or the one that ended last.
    pub row: TagRowTold,
    /// How many more rows of the name were found.
    pub earlier_rows: usize,
    /// Policies in the order in which Quay evaluates them, inactive ones among them.
    pub policies: Vec<PolicyTold>,
    /// Evidence, in sentences.
    pub evidence: Vec<String>,
    /// Entries of the audit log, oldest first.
    pub audit: Vec<EntryTold>,
    /// Changes of ours, newest first.
    pub journal: Vec<ChangeTold>,
    /// What each rule about tags says.
    pub rules: Vec<RuleTold>,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

/// An explanation as JSON, after docs/schemas/tag.json.
pub fn tag_json(tag: &TagExplanation) -> Value {
    with(
        head(),
        json!({
            "namespace": tag.namespace,
            "repository": tag.repository,
            "name": tag.name,
            "row": tag.row,
            "earlier_rows": tag.earlier_rows,
            "policies": tag.policies,
            "evidence": tag.evidence,
            "audit": tag.audit,
            "journal": tag.journal,
            "rules": tag.rules,
            "notes": tag.notes,
        }),
    )
}

/// An explanation for people.
pub fn tag_for_people(tag: &TagExplanation) -> String {
    let mut out = String::new();
    let row = &tag.row;
    line!(
        out,
        "{}/{}:{} is {} and {}{} (row {}, pushed {})",
        harmless(&tag.namespace),
        harmless(&tag.repository),
        harmless(&tag.name),
        if row.live { "alive" } else { "dead" },
        state(row.immutable),
        match row.end_ms {
            Some(end) if row.live => format!(", expires {end}"),
            Some(end) => format!(", ended {end}"),
            None => String::new(),
        },
        row.id,
        row.start_ms
    );
    if tag.earlier_rows > 0 {
        line!(
            out,
            "     there are {} more rows of this name",
            tag.earlier_rows
        );
    }
    for note in &tag.notes {
        line!(out, "note: {note}");
    }
    policies(&mut out, tag);
    line!(out, "\nevidence");
    if tag.evidence.is_empty() {
        line!(out, "     none");
    }
    for evidence in &tag.evidence {
        line!(out, "     {}", harmless(evidence));
    }
    for entry in &tag.audit {
        line!(
            out,
            "     audit entry {} of {}: {} {}",
            entry.id,
            entry.at,
            harmless(entry.user.as_deref().unwrap_or("somebody")),
            entry.did
        );
    }
    journal(&mut out, tag);
    line!(out, "\nrules");
    for rule in &tag.rules {
        let why = rule
            .why
            .as_deref()
            .map_or_else(String::new, |why| format!(": {}", harmless(why)));
        line!(out, "     {:<26} {}{why}", rule.id.0, rule.verdict);
    }
    out
}

fn state(immutable: bool) -> &'static str {
    if immutable { "immutable" } else { "mutable" }
}

fn policies(out: &mut String, tag: &TagExplanation) {
    line!(out, "\npolicies");
    if tag.policies.is_empty() {
        line!(out, "     none");
    }
    for policy in &tag.policies {
        let says = match policy.says {
            PolicySays::Immutable => "makes it immutable",
            PolicySays::Nothing => "says nothing of it",
            PolicySays::Fails => "cannot be used by Quay",
            PolicySays::NotTold => "cannot be decided here",
        };
        let why = policy
            .why
            .as_deref()
            .map_or_else(String::new, |why| format!(": {}", harmless(why)));
        line!(
            out,
            "     {} of the {} ({}){}: {says}{why}",
            harmless(&policy.uuid),
            policy.scope,
            harmless(&policy.pattern),
            if policy.active { "" } else { ", inactive" }
        );
    }
}

fn journal(out: &mut String, tag: &TagExplanation) {
    line!(out, "\njournal");
    if tag.journal.is_empty() {
        line!(out, "     nothing");
    }
    let end =
        |end: Option<UnixMillis>| end.map_or_else(|| "no expiry".to_owned(), |e| e.to_string());
    for change in &tag.journal {
        line!(
            out,
            "     {} of {} by {}{}: from {}, {} to {}, {}{}",
            change.kind,
            change.started_at.format("%Y-%m-%d %H:%M:%S UTC"),
            harmless(&change.actor),
            change
                .reason
                .as_deref()
                .map_or_else(String::new, |why| format!(" ({})", harmless(why))),
            state(change.immutable[0]),
            end(change.end_ms[0]),
            state(change.immutable[1]),
            end(change.end_ms[1]),
            match change.undone_at {
                Some(at) => format!("; taken back {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
                None => String::new(),
            }
        );
    }
}

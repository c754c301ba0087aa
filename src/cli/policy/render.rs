//! Policies and operations, rendered.

use comfy_table::{Table, presets::NOTHING};
use miette::Diagnostic;
use quay_doctor::{
    Activity, Evaluated, Polarity, PolicyEnded, PolicyOutcome, PolicyState, PolicyView, Preflight,
    harmless,
};
use serde_json::{Value, json};
use thiserror::Error;

use crate::cli::{Exit, Failure, Format, output};

/// How many repositories a preview names.
const SHOWN: usize = 20;

#[derive(Debug, Error, Diagnostic)]
enum Unasked {
    #[error(
        "a Quay that does not know the column `active` goes on enforcing a policy that is inactive"
    )]
    #[diagnostic(help("where that is understood: --yes"))]
    Yes,
    #[error("there is no policy {0}")]
    #[diagnostic(help("`quay-doctor policy list` shows them all"))]
    NoPolicy(String),
}

/// The complaint where `deactivate` lacks its `--yes`.
pub fn wants_yes() -> Failure {
    Failure::usage(Unasked::Yes)
}

fn state(state: PolicyState) -> &'static str {
    match state {
        PolicyState::Active => "active",
        PolicyState::Inactive => "INACTIVE",
        PolicyState::Applying => "being applied",
        PolicyState::Interrupted => "INTERRUPTED",
    }
}

/// Quay's API view, and what we know beyond it.
fn view(policy: &PolicyView) -> Value {
    let matches = policy
        .policy
        .as_ref()
        .map(|stored| stored.polarity == Polarity::Matching);
    json!({
        "uuid": policy.uuid,
        "tagPattern": policy.policy.as_ref().map(|stored| &stored.pattern),
        "tagPatternMatches": matches,
        "active": policy.activity == Activity::Active,
        "state": state(policy.state).to_lowercase(),
        "created": policy.created,
        "scope": {
            "namespace": policy.namespace,
            "repository": policy.repository,
        },
        "operation": policy.operation,
    })
}

/// All policies.
pub fn list(policies: &[PolicyView], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let all: Vec<Value> = policies.iter().map(view).collect();
        return output::json(&json!({ "policies": all }));
    }
    if policies.is_empty() {
        return output::text("No policies.\n");
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["STATE", "SCOPE", "PATTERN", "CREATED", "UUID"]);
    for policy in policies {
        let scope = match &policy.repository {
            Some(repository) => format!("{}/{repository}", policy.namespace),
            None => policy.namespace.clone(),
        };
        let pattern = policy.policy.as_ref().map_or_else(
            || "(Quay fails on it)".to_owned(),
            |stored| match stored.polarity {
                Polarity::Matching => stored.pattern.clone(),
                Polarity::NotMatching => format!("not {}", stored.pattern),
            },
        );
        let created = policy.created.map_or_else(
            || "not known".to_owned(),
            |at| at.format("%Y-%m-%d %H:%M").to_string(),
        );
        table.add_row([
            state(policy.state).to_owned(),
            harmless(&scope),
            harmless(&pattern),
            created,
            harmless(&policy.uuid.0),
        ]);
    }
    let lines: String = table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    output::text(&lines)
}

/// One policy.
pub fn one(policy: Option<&PolicyView>, uuid: &str, format: Format) -> Result<Exit, Failure> {
    let Some(policy) = policy else {
        return Err(Failure::usage(Unasked::NoPolicy(harmless(uuid))));
    };
    match format {
        Format::Json => output::json(&view(policy))?,
        Format::Human => list(std::slice::from_ref(policy), format)?,
    }
    Ok(Exit::AllWell)
}

/// What an operation came to, for people.
pub fn outcome(outcome: &PolicyOutcome) -> String {
    let Some(operation) = outcome.operation else {
        return format!(
            "Policy {} is there already, active and equal.\n",
            outcome.policy
        );
    };
    let sums = &outcome.sums;
    let mut text = format!(
        "Operation {operation}: done ({}). Policy {}: {} tags changed, {} expiry dates cleared, \
         in {} batches ({:.1} s, the longest {} ms).\n",
        outcome.strategy,
        outcome.policy,
        sums.changed,
        sums.expirations_cleared,
        sums.batches,
        outcome.seconds,
        sums.longest_batch_ms,
    );
    for sentence in outcome.exceptions.sentences() {
        text.push_str(&format!(
            "{}. `quay-doctor history {operation}` has what was changed.\n",
            harmless(&sentence)
        ));
    }
    text
}

/// What an operation came to, as JSON.
pub fn outcome_json(outcome: &PolicyOutcome) -> Value {
    let phase = match outcome.ended {
        PolicyEnded::Done => "done",
        PolicyEnded::RolledBack => "rolled_back",
        PolicyEnded::AlreadyThere => "already_there",
    };
    json!({
        "operation": outcome.operation,
        "policy": outcome.policy,
        "phase": phase,
        "strategy": outcome.strategy,
        "tags_matched": outcome.sums.matched,
        "tags_changed": outcome.sums.changed,
        "expirations_cleared": outcome.sums.expirations_cleared,
        "past_expirations_left_out": outcome.exceptions.past_expiries.count(),
        "past_expirations": outcome.exceptions.past_expiries.names(),
        "expirations_not_restored": outcome.exceptions.void_images.count(),
        "not_restored": outcome.exceptions.void_images.names(),
        "tags_not_written": outcome.sums.skipped.saturating_sub(outcome.exceptions.duplicates.count()),
        "not_written": outcome.exceptions.not_written.names(),
        "tags_left": outcome.exceptions.duplicates.count(),
        "left": outcome.exceptions.duplicates.names(),
        "batches": outcome.sums.batches,
        "longest_batch_ms": outcome.sums.longest_batch_ms,
        "seconds": outcome.seconds,
    })
}

/// What a policy would do, and what it would meet.
pub fn preflight(preflight: &Preflight, format: Format) -> Result<(), Failure> {
    let impact = &preflight.impact;
    if format == Format::Json {
        let checked: Vec<Value> = preflight
            .checked
            .iter()
            .map(|one| json!({ "what": one.what, "found": one.found, "warning": one.warning }))
            .collect();
        return output::json(&json!({
            "become_immutable": impact.become_immutable,
            "by_repository": impact.by_repository,
            "expiring": impact.expiring,
            "already_immutable": impact.already_immutable,
            "estimated_seconds": preflight.time.as_secs_f64(),
            "estimated_wal_bytes": preflight.wal_bytes,
            "preflight": checked,
        }));
    }
    let mut text = format!("{} tags would become immutable.\n", impact.become_immutable);
    for (repository, tags) in impact.by_repository.iter().take(SHOWN) {
        text.push_str(&format!("     {}: {tags}\n", harmless(repository)));
    }
    if impact.by_repository.len() > SHOWN {
        let more = impact.by_repository.len() - SHOWN;
        text.push_str(&format!("     … and in {more} more repositories\n"));
    }
    text.push_str(&format!(
        "{} of them have an expiry date, which is cleared unless immutable tags may expire.\n\
         {} tags that it covers are immutable already.\n\
         Estimated: {:.1} s, {:.1} MB of write-ahead log.\n\n",
        impact.expiring,
        impact.already_immutable,
        preflight.time.as_secs_f64(),
        preflight.wal_bytes as f64 / 1e6,
    ));
    for one in &preflight.checked {
        let (mark, why) = match one.warning {
            Some(why) => ("!!", format!(" ({why})")),
            None => ("ok", String::new()),
        };
        text.push_str(&format!("{mark} {}: {}{why}\n", one.what, one.found));
    }
    text.push_str("\nNothing has been changed.\n");
    output::text(&text)
}

/// What was decided on tags.
pub fn evaluated(decided: &[Evaluated], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let all: Vec<Value> = decided
            .iter()
            .map(|one| {
                json!({
                    "tag": one.tag,
                    "immutable": one.immutable,
                    "policy": one.policy,
                    "undecided": one.why,
                })
            })
            .collect();
        return output::json(&json!({ "decisions": all }));
    }
    let mut text = String::new();
    for one in decided {
        let says = match (one.immutable, &one.policy) {
            (Some(true), Some(policy)) => format!("immutable, by policy {policy}"),
            (Some(_), _) => "mutable: no active policy matches".to_owned(),
            (None, _) => format!("not known: {}", one.why.as_deref().unwrap_or_default()),
        };
        text.push_str(&format!("{}: {}\n", harmless(&one.tag), harmless(&says)));
    }
    output::text(&text)
}

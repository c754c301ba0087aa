//! `history`: every operation and run: who, why, when, before and after.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use clap::Args;
use miette::Diagnostic;
use quay_doctor::{
    History, HistoryChange, HistoryOf, HistoryRow, Immutability, OperationId, TagImage, TagPath,
    harmless, read_history,
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use thiserror::Error;

use super::{Exit, Failure, Format, Globals, output};

/// Shows every operation and run: who, why, when, before and after
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Only this operation or run, with the tags that it changed
    id: Option<i64>,

    /// Only what was done to this tag
    #[arg(long, value_name = "NS/REPO:TAG", value_parser = tag_path)]
    tag: Option<TagPath>,

    /// Only what began after this: a date, or a time as in 2026-03-01T04:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,

    /// How many operations to show, and how many changes [default: 50; as JSON all]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

/// How many operations and changes people are shown.
const FOR_PEOPLE: u32 = 50;

#[derive(Debug, Error, Diagnostic)]
#[error("the journal knows no operation {0}")]
#[diagnostic(help("`quay-doctor history` shows them all"))]
struct NoSuch(i64);

/// A tag as people write it: namespace, repository (which may hold slashes), tag.
pub fn tag_path(text: &str) -> Result<TagPath, String> {
    let parts = text.split_once('/').and_then(|(namespace, rest)| {
        let (repository, tag) = rest.rsplit_once(':')?;
        Some((namespace, repository, tag))
    });
    match parts {
        Some((namespace, repository, tag))
            if ![namespace, repository, tag]
                .iter()
                .any(|part| part.is_empty()) =>
        {
            Ok(TagPath {
                namespace: namespace.to_owned(),
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            })
        }
        _ => Err("it has the form NAMESPACE/REPOSITORY:TAG".to_owned()),
    }
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    // Without an offset it is UTC, as everything that is printed.
    let whole = DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc());
    let naive = |layout| NaiveDateTime::parse_from_str(text, layout).map(|naive| naive.and_utc());
    let date = || {
        text.parse()
            .map(|date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc())
    };
    whole
        .or_else(|_| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| naive("%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|_| date())
        .map_err(|_| "a date as in 2026-03-01, or a time as in 2026-03-01T04:00:00Z".to_owned())
}

/// Runs the verb.
pub fn run(args: &HistoryArgs, globals: &Globals) -> Result<Exit, Failure> {
    let of = HistoryOf {
        operation: args.id.map(OperationId),
        tag: args.tag.clone(),
        since: args.since,
    };
    let limit = match globals.format {
        Format::Json => args.limit,
        Format::Human => args.limit.or(Some(FOR_PEOPLE)),
    };
    let history = read_history(&globals.connection()?, &of, limit)?;
    if let (Some(id), true) = (args.id, history.operations.is_empty() && args.tag.is_none()) {
        return Err(Failure::usage(NoSuch(id)));
    }
    match globals.format {
        Format::Json => output::document(&Document::of(&history))?,
        Format::Human => output::text(&for_people(&history))?,
    }
    Ok(Exit::AllWell)
}

/// The document; its changes, of which there may be millions, become JSON one by one.
#[derive(Serialize)]
struct Document<'h> {
    operations: Vec<Value>,
    #[serde(serialize_with = "one_by_one")]
    changes: &'h [HistoryChange],
    totals: Value,
    complete: bool,
}

impl<'h> Document<'h> {
    fn of(history: &'h History) -> Self {
        Self {
            operations: history.operations.iter().map(operation).collect(),
            changes: &history.changes,
            totals: json!({
                "operations": history.all_operations,
                "changes": history.all_changes,
            }),
            complete: history.left_out() == (0, 0),
        }
    }
}

fn one_by_one<S: Serializer>(changes: &&[HistoryChange], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(changes.iter().map(change))
}

fn operation(row: &HistoryRow) -> Value {
    let (namespace, repository) = match &row.place {
        Some((namespace, repository)) => (Some(namespace), repository.as_ref()),
        None => (None, None),
    };
    json!({
        "operation": row.id,
        "kind": row.kind.as_column(),
        "run": row.run,
        "phase": row.phase.as_column(),
        "namespace": namespace,
        "repository": repository,
        "policy": row.policy,
        "policy_before": row.before,
        "policy_after": row.after,
        "actor": row.actor,
        "reason": row.reason,
        "started_at": row.started,
        "finished_at": row.finished,
        "tags_changed": row.changed,
        "expirations_cleared": row.expirations_cleared,
        "error": row.error,
    })
}

fn change(change: &HistoryChange) -> Value {
    let image = |image: &TagImage| {
        json!({
            "immutable": image.immutability == Immutability::Immutable,
            "lifetime_end_ms": image.expiry,
        })
    };
    json!({
        "operation": change.operation,
        "tag": change.tag,
        "namespace": change.path.as_ref().map(|path| &path.namespace),
        "repository": change.path.as_ref().map(|path| &path.repository),
        "name": change.path.as_ref().map(|path| &path.tag),
        "before": image(&change.before),
        "after": image(&change.after),
        "undone_at": change.undone,
    })
}

fn for_people(history: &History) -> String {
    let mut text = String::new();
    if history.operations.is_empty() {
        text.push_str("Nothing was done.\n");
    }
    for row in &history.operations {
        let place = match &row.place {
            Some((namespace, Some(repository))) => format!(" in {namespace}/{repository}"),
            Some((namespace, None)) => format!(" in {namespace}"),
            None => String::new(),
        };
        let reason = row
            .reason
            .as_ref()
            .map(|why| format!(" ({why})"))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {}{}{}: {}, {} tags changed, {} expiry dates cleared; {} by {}{}",
            row.id,
            row.kind.as_column(),
            row.run
                .map(|run| format!(" for run {run}"))
                .unwrap_or_default(),
            harmless(&place),
            row.phase.as_column(),
            row.changed,
            row.expirations_cleared,
            row.started.format("%Y-%m-%d %H:%M:%S UTC"),
            harmless(&row.actor),
            harmless(&reason),
        );
        for (what, policy) in [("was", &row.before), ("is", &row.after)] {
            if let Some(policy) = policy {
                let _ = writeln!(text, "     the policy {what} {}", harmless(policy));
            }
        }
        if let Some(error) = &row.error {
            let _ = writeln!(text, "     {}", harmless(error));
        }
    }
    for change in &history.changes {
        let name = match &change.path {
            Some(path) => format!("{}/{}:{}", path.namespace, path.repository, path.tag),
            None => format!("tag {} (its row is gone)", change.tag),
        };
        let undone = change
            .undone
            .map(|at| format!(", taken back {}", at.format("%Y-%m-%d %H:%M:%S UTC")))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "     {} {}: {} → {}{undone}",
            change.operation,
            harmless(&name),
            told(&change.before),
            told(&change.after),
        );
    }
    let left_out = history.left_out();
    for (more, what) in [(left_out.0, "operations"), (left_out.1, "changes")] {
        if more > 0 {
            let _ = writeln!(
                text,
                "{more} more {what} are not shown: --limit N shows more."
            );
        }
    }
    text
}

fn told(image: &TagImage) -> String {
    let is = match image.immutability {
        Immutability::Immutable => "immutable",
        Immutability::Mutable => "mutable",
    };
    image
        .expiry
        .0
        .map_or_else(|| is.to_owned(), |end| format!("{is} until {end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_written_as_in_a_pull_command() {
        let path = tag_path("acme/team/app:v1.2").expect("a tag");
        assert_eq!(
            (path.namespace.as_str(), path.repository.as_str()),
            ("acme", "team/app")
        );
        assert_eq!(path.tag, "v1.2");
        for wrong in ["acme", "acme/app", "/app:v1", "acme/:v1", "acme/app:"] {
            assert!(tag_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_date_is_a_moment_too() {
        for (text, read) in [
            ("2026-03-01", "2026-03-01T00:00:00+00:00"),
            ("2026-03-01T04:00:00Z", "2026-03-01T04:00:00+00:00"),
            ("2026-03-01T04:00:00.5", "2026-03-01T04:00:00.500+00:00"),
            ("2026-03-01 04:00:00", "2026-03-01T04:00:00+00:00"),
            ("2026-03-01T04:00:00+02:00", "2026-03-01T02:00:00+00:00"),
        ] {
            assert_eq!(moment(text).map(|at| at.to_rfc3339()), Ok(read.to_owned()));
        }
        for wrong in ["yesterday", "2026-02-30", "2026-03-01T04", "04:00:00", ""] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}

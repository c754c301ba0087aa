//! A user's own query, run in the snapshot: read-only, bounded in time, and without harm to the scan.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::Value;

use super::ScanError;
use crate::pg::{Columns, FaultClass, PgError, ReadSnapshot, Streams as _};
use crate::rules::RowQuery;

/// Rows a message exchange.
const BATCH: i32 = 1_000;

/// How a query ended.
#[derive(Debug)]
pub enum QueryEnded {
    /// Every row was taken.
    Well,
    /// It failed, or took too long; the snapshot is as before.
    Failed(String),
}

/// Runs a query, each row an object by its columns' names.
///
/// # Errors
/// [`ScanError`] where the snapshot itself is lost.
pub fn rows(
    snapshot: &mut ReadSnapshot<'_>,
    query: &RowQuery,
    mut take: impl FnMut(Value),
) -> Result<QueryEnded, ScanError> {
    let ended = snapshot.attempt(query.time_limit, |snapshot| {
        stream(snapshot, query, &mut take)
    })?;
    match ended {
        Ok(ended) => Ok(ended),
        Err(error) if is_the_querys_own(&error) => Ok(QueryEnded::Failed(reason(&error))),
        Err(error) => Err(error.into()),
    }
}

fn stream(
    snapshot: &mut ReadSnapshot<'_>,
    query: &RowQuery,
    take: &mut impl FnMut(Value),
) -> Result<QueryEnded, PgError> {
    let begun = Instant::now();
    let mut ended = QueryEnded::Well;
    // A subquery can only read. The line feed ends a comment that the query may end in.
    let sql = format!("SELECT to_jsonb(found) FROM (\n{}\n) AS found", query.sql);
    snapshot.stream(&sql, &[], BATCH, |batch| {
        for row in &batch {
            take(row.read(0)?);
        }
        // The server bounds each exchange, we bound all of them.
        if begun.elapsed() > query.time_limit {
            ended = QueryEnded::Failed("it took longer than its time limit".to_owned());
            return Ok::<_, PgError>(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ended)
}

/// Whether the statement is at fault, and neither connection nor server.
fn is_the_querys_own(error: &PgError) -> bool {
    match error.class() {
        FaultClass::Connection | FaultClass::RecoveryConflict | FaultClass::Retryable => false,
        FaultClass::LockTimeout
        | FaultClass::StatementTimeout
        | FaultClass::Cancelled
        | FaultClass::Privilege
        | FaultClass::MissingObject
        | FaultClass::ReadOnly
        | FaultClass::Other => true,
    }
}

/// The error and its causes, in a line.
fn reason(error: &PgError) -> String {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason.push_str(": ");
        reason.push_str(&error.to_string());
        cause = error.source();
    }
    reason
}

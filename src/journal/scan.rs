//! The history of recorded scans.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::JournalError;
use crate::pg::{Columns, Statements, WriteTransaction};

/// How long scans are kept.
const KEPT: &str = "400 days";

/// Writes a scan down, and takes out what is older than it is kept; how many were taken out.
///
/// # Errors
/// [`JournalError`] where the row cannot be written.
pub fn record_scan(
    tx: &mut WriteTransaction<'_>,
    times: (DateTime<Utc>, DateTime<Utc>),
    complete: bool,
    report: &Value,
) -> Result<u64, JournalError> {
    let (started, finished) = times;
    tx.execute(
        r"
        INSERT INTO quay_doctor.scan (started_at, finished_at, complete, tool_version, report)
        VALUES ($1, $2, $3, $4, $5)
        ",
        &[
            &started,
            &finished,
            &complete,
            &env!("CARGO_PKG_VERSION"),
            report,
        ],
    )?;
    Ok(tx.execute(
        "DELETE FROM quay_doctor.scan WHERE started_at < clock_timestamp() - $1::text::interval",
        &[&KEPT],
    )?)
}

/// The report of the newest complete scan of the same scope.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn latest_scan(pg: &mut impl Statements, scope: &Value) -> Result<Option<Value>, JournalError> {
    let row = pg.query_opt(
        r"
        SELECT report
        FROM quay_doctor.scan
        WHERE complete AND report -> 'scope' = $1
        ORDER BY started_at DESC, id DESC
        LIMIT 1
        ",
        &[scope],
    )?;
    Ok(row.map(|row| row.read(0)).transpose()?)
}

/// What is left of a recorded scan in a trend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedScan {
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// Whether it saw everything.
    pub complete: bool,
    /// All its violations.
    pub violations: i64,
    /// Rules that it could not decide.
    pub undecided: i64,
}

/// The newest scans of the same scope, at most `limit`, the newest first.
///
/// # Errors
/// [`JournalError`] where the server does not answer with rows.
pub fn recorded_scans(
    pg: &mut impl Statements,
    scope: &Value,
    limit: u32,
) -> Result<Vec<RecordedScan>, JournalError> {
    let rows = pg.query(
        r"
        SELECT started_at, finished_at, complete,
            coalesce((report #>> '{totals,violations}')::bigint, 0),
            (
                SELECT count(*)
                FROM jsonb_array_elements(report -> 'rules') AS rule
                WHERE rule ->> 'status' = 'undecided'
            )
        FROM quay_doctor.scan
        WHERE report -> 'scope' = $1
        ORDER BY started_at DESC, id DESC
        LIMIT $2
        ",
        &[scope, &i64::from(limit)],
    )?;
    let mut scans = Vec::with_capacity(rows.len());
    for row in &rows {
        scans.push(RecordedScan {
            started: row.read(0)?,
            finished: row.read(1)?,
            complete: row.read(2)?,
            violations: row.read(3)?,
            undecided: row.read(4)?,
        });
    }
    Ok(scans)
}

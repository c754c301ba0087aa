//! The history of scans: written down in a journal or a file, and compared with.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{CheckRequest, RunError};
use crate::apply;
use crate::config::ConnectionSettings;
use crate::journal::{RecordedScan, SchemaState, latest_scan, recorded_scans};
use crate::pg::ReadSession;
use crate::report::{CheckReport, Comparison, check_json};

/// Where scans are written down.
#[derive(Debug)]
pub enum ScanHistory<'h> {
    /// `quay_doctor.scan` of a database that can be written to.
    Database(&'h ConnectionSettings),
    /// A file, a report a line.
    File(PathBuf),
}

impl ScanHistory<'_> {
    /// Compares a report with the newest complete scan of the same scope.
    ///
    /// # Errors
    /// [`RunError`] where the history cannot be read.
    pub fn compare(
        &self,
        request: &CheckRequest,
        report: &CheckReport,
    ) -> Result<Comparison, RunError> {
        let scope = scope(request);
        let before = match self {
            Self::Database(settings) => {
                let mut session = ReadSession::open(settings)?;
                let journal = SchemaState::read(&mut session)?.has_journal();
                if journal {
                    latest_scan(&mut session, &scope)?
                } else {
                    None
                }
            }
            Self::File(file) => latest_line(file, &scope)?,
        };
        Ok(Comparison::new(report, before.as_ref())?)
    }

    /// Writes a scan down.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be written.
    pub fn record(&self, request: &CheckRequest, report: &CheckReport) -> Result<(), RunError> {
        let mut document = check_json(report);
        document["scope"] = scope(request);
        let complete = report.cut_short.is_none();
        match self {
            Self::Database(settings) => {
                let times = (report.started, report.finished);
                Ok(apply::record(settings, times, complete, &document)?)
            }
            Self::File(file) => {
                document["complete"] = complete.into();
                let line = format!("{document}\n");
                let mut options = OpenOptions::new();
                options
                    .create(true)
                    .append(true)
                    .open(file)
                    .and_then(|mut opened| opened.write_all(line.as_bytes()))
                    .map_err(|error| unusable(file, &error))
            }
        }
    }
}

/// The newest recorded scans of what is asked for, at most `limit`, the newest first; none where there
/// is no journal.
///
/// # Errors
/// [`RunError`] where the history cannot be read.
pub fn recent_scans(
    session: &mut ReadSession,
    request: &CheckRequest,
    limit: u32,
) -> Result<Vec<RecordedScan>, RunError> {
    if !SchemaState::read(session)?.has_journal() {
        return Ok(Vec::new());
    }
    Ok(recorded_scans(session, &scope(request), limit)?)
}

/// What a scan looked at: two scans can be compared where it is the same.
fn scope(request: &CheckRequest) -> Value {
    let mut rules: Vec<&str> = request
        .rules
        .rules()
        .iter()
        .map(|r| r.id.0.as_str())
        .collect();
    rules.sort_unstable();
    json!({
        "namespace": request.selection.namespace,
        "repository": request.selection.repository,
        "shard": request.shard.to_string(),
        "rules": rules,
    })
}

/// The last complete report of the scope; none where the file is not there yet.
fn latest_line(file: &Path, scope: &Value) -> Result<Option<Value>, RunError> {
    let opened = match std::fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(file, &error)),
    };
    let mut latest = None;
    for line in BufReader::new(opened).lines() {
        let line = line.map_err(|error| unusable(file, &error))?;
        let report: Value = serde_json::from_str(&line)
            .map_err(|error| unusable(file, &std::io::Error::other(error)))?;
        if report["complete"] == true && report["scope"] == *scope {
            latest = Some(report);
        }
    }
    Ok(latest)
}

fn unusable(file: &Path, error: &std::io::Error) -> RunError {
    RunError::HistoryFile {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

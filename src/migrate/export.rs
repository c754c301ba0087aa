//! The journal, written to a file before it is dropped: one JSON object a line.
//!
//! The first line says what the file is; every other line is `{"table": …, "row": {…}}`, a table's
//! rows in the order of their ids. Memory is bounded whatever the journal's size.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::MigrateError;
use crate::journal::TABLES;
use crate::pg::{PgError, Statements as _, WriteTransaction};

/// How many rows are held in memory at a time.
const ROWS_AT_A_TIME: i64 = 1_000;

/// What was written, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// How many rows it holds.
    pub rows: u64,
}

/// A name for the file where none is given; the time keeps two exports apart.
pub fn default_path() -> PathBuf {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ");
    PathBuf::from(format!("quay-doctor-journal-{now}.jsonl"))
}

/// Writes every row of the journal to a new file and makes sure that it is on disk. The caller
/// holds the locks that keep rows from being added, and drops the tables only after this.
pub(super) fn write(
    transaction: &mut WriteTransaction<'_>,
    path: &Path,
) -> Result<Exported, MigrateError> {
    let failed = |source: io::Error| MigrateError::Export {
        path: path.to_owned(),
        source,
    };
    let file = create(path).map_err(failed)?;
    let written = fill(transaction, file, path);
    if written.is_err() {
        // Half an export must not be taken for a whole one.
        let _ = std::fs::remove_file(path);
    }
    let rows = written?;
    if let Some(folder) = path.parent() {
        // The name has to survive a crash as well; not every system can make sure of that.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(Exported {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        rows,
    })
}

/// A file of that name is never overwritten: it may be the export of another database.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

fn fill(
    transaction: &mut WriteTransaction<'_>,
    file: File,
    path: &Path,
) -> Result<u64, MigrateError> {
    let failed = |source: io::Error| MigrateError::Export {
        path: path.to_owned(),
        source,
    };
    let mut out = BufWriter::new(file);
    let head = json!({
        "export": "quay-doctor journal",
        "format": 1,
        "tool_version": env!("CARGO_PKG_VERSION"),
        "exported_at": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    });
    writeln!(out, "{head}").map_err(failed)?;
    let mut rows = 0;
    for table in TABLES {
        open_cursor(transaction, table)?;
        loop {
            let lines = fetch(transaction)?;
            if lines.is_empty() {
                break;
            }
            for line in &lines {
                writeln!(out, r#"{{"table":"{table}","row":{line}}}"#).map_err(failed)?;
            }
            rows += lines.len() as u64;
        }
        transaction.run("CLOSE journal_export")?;
    }
    let file = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(rows)
}

/// The table's name is one of ours; it cannot be a parameter.
fn open_cursor(transaction: &mut WriteTransaction<'_>, table: &str) -> Result<(), PgError> {
    transaction.run(&format!(
        "DECLARE journal_export NO SCROLL CURSOR FOR
         SELECT to_jsonb(journal)::text FROM quay_doctor.{table} AS journal ORDER BY journal.id"
    ))
}

fn fetch(transaction: &mut WriteTransaction<'_>) -> Result<Vec<String>, PgError> {
    let sql = format!("FETCH {ROWS_AT_A_TIME} FROM journal_export");
    let rows = transaction.query(&sql, &[])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

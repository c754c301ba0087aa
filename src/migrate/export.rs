//! The journal, written to a file before it is dropped: one JSON object a line.
//!
//! The first line says what the file is; every other line is `{"table": …, "row": {…}}`, a table's
//! rows in the order of their ids. Memory is bounded whatever the journal's size.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sea_query::{Expr, Order, Query};
use serde::Serialize;
use serde_json::json;

use super::MigrateError;
use crate::journal::TABLES;
use crate::pg::{Built, Columns as _, Streams as _, WriteTransaction};

/// How many rows are held in memory at a time.
const ROWS_AT_A_TIME: i32 = 1_000;

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
        let lines = Built::of(
            Query::select()
                .expr(Expr::cust("to_jsonb(journal)::text"))
                .from_as(("quay_doctor", table), "journal")
                .order_by(("journal", "id"), Order::Asc),
        );
        transaction.stream(
            lines.text(),
            &lines.values(),
            ROWS_AT_A_TIME,
            |batch| -> Result<_, MigrateError> {
                for row in &batch {
                    let line: &str = row.read(0)?;
                    writeln!(out, r#"{{"table":"{table}","row":{line}}}"#).map_err(failed)?;
                }
                rows += batch.len() as u64;
                Ok(ControlFlow::Continue(()))
            },
        )?;
    }
    let file = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(rows)
}

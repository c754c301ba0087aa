//! Results, to stdout.

use std::fmt;
use std::io::{self, Write};

use miette::Diagnostic;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::Failure;

/// Results could not be written: a full disk, a closed pipe.
#[derive(Debug, Error, Diagnostic)]
#[error("the result could not be written")]
#[diagnostic(help("what was to be done has been done; only its account is lost"))]
struct Unwritten(#[source] io::Error);

/// Writes text.
pub fn text(text: &str) -> Result<(), Failure> {
    write(text.as_bytes())
}

/// Writes text, where there is all of it.
pub fn whole_text(text: Result<String, fmt::Error>) -> Result<(), Failure> {
    let text = text.map_err(|error| Failure::unknown(Unwritten(io::Error::other(error))))?;
    write(text.as_bytes())
}

/// Writes one JSON document.
pub fn json(document: &Value) -> Result<(), Failure> {
    write(format!("{document:#}\n").as_bytes())
}

/// Writes one JSON document that is made as it is written.
pub fn document(document: &impl Serialize) -> Result<(), Failure> {
    stream(|out| {
        let written = serde_json::to_writer_pretty(&mut *out, document);
        let written = written.map_err(io::Error::from);
        written
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|error| Failure::unknown(Unwritten(error)))
    })
}

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes)
}

/// Writes one JSON document in a line.
pub fn line(document: &Value) -> Result<(), Failure> {
    write(format!("{document}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::unknown(Unwritten(error)))
}

/// Writes what comes piece by piece.
pub fn stream<T>(print: impl FnOnce(&mut dyn Write) -> Result<T, Failure>) -> Result<T, Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = print(&mut out)?;
    out.flush()
        .map_err(|error| Failure::unknown(Unwritten(error)))?;
    Ok(printed)
}

//! The JSON document of a migrate command: the report's own keys under a common head.
//!
//! docs/migrations.md documents it; keys are only ever added.

use miette::Diagnostic;
use quay_doctor::MigrateError;
use serde::Serialize;
use thiserror::Error;

/// The output could not be written.
#[derive(Debug, Error, Diagnostic)]
#[error("the result cannot be written to standard output")]
#[diagnostic(help("what was done stays done; `migrate status` tells it again"))]
pub(super) struct NotPrinted(#[source] pub(super) std::io::Error);

#[derive(Serialize)]
struct Document<'r, R> {
    tool: &'static str,
    version: &'static str,
    format: u32,
    command: &'static str,
    result: Option<&'r R>,
    error: Option<Fault>,
}

#[derive(Serialize)]
struct Fault {
    message: String,
    help: Option<String>,
}

/// The document, pretty, with its newline.
pub(super) fn document<R: Serialize>(
    command: &'static str,
    result: Option<&R>,
    fault: Option<&MigrateError>,
) -> String {
    let document = Document {
        tool: "quay-doctor",
        version: env!("CARGO_PKG_VERSION"),
        format: 1,
        command,
        result,
        error: fault.map(|fault| Fault {
            message: fault.to_string(),
            help: fault.help().map(|help| help.to_string()),
        }),
    };
    // Our own structures have text keys only, so this does not fail; an empty document would be
    // seen by any reader.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

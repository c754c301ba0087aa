//! A check as NDJSON: one JSON object a line, each violation as it is found, the sums last.

use serde_json::{Value, json};

use super::CheckReport;
use super::json::{check_json, violation, with};
use crate::evaluate::Violation;

/// The line of a violation; after docs/schemas/check-line.json.
pub fn violation_line(found: &Violation) -> Value {
    with(json!({ "type": "violation" }), violation(found))
}

/// The line that voids the lines before it: the scan has begun anew.
pub fn begun_anew_line() -> Value {
    json!({ "type": "begun-anew" })
}

/// The last line: the document of `--format json` without its violations.
pub fn summary_line(report: &CheckReport) -> Value {
    let mut document = check_json(report);
    if let Value::Object(members) = &mut document {
        members.remove("violations");
        members.remove("truncated");
    }
    with(json!({ "type": "summary" }), document)
}

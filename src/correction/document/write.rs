//! A plan's document, written: one correction a line.

use std::io::{self, Write};

use super::digest::Corrections;
use super::{PlanDigest, PlanHead, PlanRest};
use crate::correction::Planned;

/// Writes a plan's document and returns its digest.
///
/// # Errors
/// Those of `out`.
pub fn write_plan(
    out: &mut dyn Write,
    head: &PlanHead,
    corrections: &[Planned],
    rest: &PlanRest,
) -> io::Result<PlanDigest> {
    out.write_all(b"{\"plan\":")?;
    serde_json::to_writer(&mut *out, head)?;
    out.write_all(b",\n\"corrections\":[")?;
    let mut digest = Corrections::default();
    for (nth, planned) in corrections.iter().enumerate() {
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        out.write_all(digest.feed(planned)?)?;
    }
    out.write_all(b"\n],\n\"open\":")?;
    serde_json::to_writer(&mut *out, rest)?;
    let digest = digest.seal(head, rest)?;
    writeln!(out, ",\n\"digest\":\"{digest}\"}}")?;
    Ok(digest)
}

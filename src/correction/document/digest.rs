//! The digest of a plan's document: over what it says, not over how it is spaced.
//!
//! The SHA-256 of three lines, each ended by a line feed: the member `plan` as compact JSON, the
//! SHA-256 in hexadecimal of all corrections (each as compact JSON and a line feed), and the member
//! `open` as compact JSON. Members stand in the order of the schema. So a document that a formatter
//! has passed over is still the same, and both sides need to hold one correction only.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{PlanHead, PlanRest};
use crate::correction::Planned;

/// The digest, as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanDigest(String);

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The corrections' part of the digest, fed one by one.
#[derive(Default)]
pub(super) struct Corrections {
    hash: Sha256,
    line: Vec<u8>,
}

impl Corrections {
    /// Feeds a correction; its canonical text, without the line feed.
    pub(super) fn feed(&mut self, planned: &Planned) -> serde_json::Result<&[u8]> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, planned)?;
        self.hash.update(&self.line);
        self.hash.update(b"\n");
        Ok(&self.line)
    }

    /// The digest of the whole document.
    pub(super) fn seal(self, head: &PlanHead, rest: &PlanRest) -> serde_json::Result<PlanDigest> {
        let mut whole = Sha256::new();
        whole.update(serde_json::to_vec(head)?);
        whole.update(b"\n");
        whole.update(hex(&self.hash.finalize()));
        whole.update(b"\n");
        whole.update(serde_json::to_vec(rest)?);
        whole.update(b"\n");
        Ok(PlanDigest(format!("sha256:{}", hex(&whole.finalize()))))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Guards of speed that run with the tests: they count what is done and look at no clock, so that a
//! slow machine is no defect.
//!
//! Each bound is what was counted, and some room for another version of PostgreSQL or Rust. What a
//! figure means in seconds is for `make bench`.

mod exchanges;
mod instructions;
mod server;

/// The most tags that a guard works with.
const TAGS: u32 = 20_000;

/// Makes all of a world's tags immutable.
const CREATE: [&str; 8] = [
    "policy",
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
];

/// Releases all of a world's tags.
const RELEASE: [&str; 8] = [
    "fix",
    "--apply",
    "--remedy",
    "orphaned-immutable-tag=release",
    "--max-changes",
    "20000",
    "--audit",
    "none",
];

/// Options that make the number of batches nearly the same on every machine.
const STATED: [&str; 4] = [
    "--immutable-tags-can-expire",
    "false",
    "--batch-time",
    "10s",
];

/// A policy that explains all of a world's tags.
const POLICY: &str = r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
    SELECT 'one', id, '{"tag_pattern": "v.*"}' FROM "user" WHERE username = 'acme'"#;

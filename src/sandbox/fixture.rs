//! Quay's tables, as its own migrations leave them; built in, so that `demo` needs no files.

use super::SandboxError;
use crate::pg::{Statements, WriteSession};

/// The SQL of `fixtures/quay/`, in an order in which every reference is there already.
const SCHEMA: [&str; 7] = [
    include_str!("../../fixtures/quay/lookups.sql"),
    include_str!("../../fixtures/quay/namespaces.sql"),
    include_str!("../../fixtures/quay/repositories.sql"),
    include_str!("../../fixtures/quay/tags.sql"),
    include_str!("../../fixtures/quay/policies.sql"),
    include_str!("../../fixtures/quay/logs.sql"),
    include_str!("../../fixtures/quay/rows.sql"),
];

/// Creates the tables of Quay's that matter, empty but for the lookup rows, in one transaction.
///
/// # Errors
/// [`SandboxError::NoTrigrams`] where the server lacks the extension `pg_trgm`, which two of
/// Quay's indexes need; [`SandboxError::Database`] where a table of these names is there already.
pub fn load_schema(session: &mut WriteSession) -> Result<(), SandboxError> {
    let available = session.query_opt(
        "SELECT true FROM pg_available_extensions WHERE name = 'pg_trgm'",
        &[],
    )?;
    if available.is_none() {
        return Err(SandboxError::NoTrigrams);
    }
    let mut transaction = session.begin()?;
    for part in SCHEMA {
        transaction.run(part)?;
    }
    Ok(transaction.commit()?)
}

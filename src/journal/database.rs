//! Which database this is.

use crate::correction::DatabaseIdentity;
use crate::pg::{Columns, PgError, Statements};

/// Reads what tells this database from others, as far as the role may know it.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn database_identity(pg: &mut impl Statements) -> Result<DatabaseIdentity, PgError> {
    let row = pg.query_one(
        r"
        SELECT d.datname::text, d.oid,
            has_function_privilege('pg_control_system()', 'EXECUTE'),
            coalesce(has_table_privilege(
                to_regclass('quay_doctor.refinery_schema_history'), 'SELECT'), false)
        FROM pg_database d
        WHERE d.datname = current_database()
        ",
        &[],
    )?;
    // Each is asked for in a statement of its own: a privilege counts even where a condition would
    // never come to the call.
    let system_identifier = if row.read(2)? {
        let row = pg.query_one(
            "SELECT system_identifier::text FROM pg_control_system()",
            &[],
        )?;
        Some(row.read(0)?)
    } else {
        None
    };
    let journal = if row.read(3)? {
        let first = pg.query_opt(
            "SELECT applied_on::text FROM quay_doctor.refinery_schema_history WHERE version = 1",
            &[],
        )?;
        first.map(|row| row.read(0)).transpose()?
    } else {
        None
    };
    Ok(DatabaseIdentity {
        name: row.read(0)?,
        oid: row.read(1)?,
        system_identifier,
        journal,
    })
}

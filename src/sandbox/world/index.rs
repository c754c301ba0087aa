//! Secondary indexes out of the way of a large load, and back.

use sea_query::{Index, PostgresQueryBuilder};

use crate::pg::{PgError, Statements, WriteTransaction};

/// Drops a table's indexes that no constraint owns; the statements that build them again.
///
/// Building them once at the end is the faster way (a million tags and 850,000 manifests: 17 s
/// instead of 23 s on two cores), the more so the less of the indexes fits into shared buffers.
pub(super) fn drop_secondary(
    transaction: &mut WriteTransaction<'_>,
    table: &str,
) -> Result<Vec<String>, PgError> {
    let rows = transaction.query(
        "SELECT relname::text AS name, pg_get_indexdef(indexrelid) AS definition
         FROM pg_index
         JOIN pg_class ON pg_class.oid = indexrelid
         WHERE indrelid = $1::text::regclass
           AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
         ORDER BY indexrelid",
        &[&table],
    )?;
    let mut definitions = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.get("name");
        let statement = Index::drop().name(name).to_string(PostgresQueryBuilder);
        transaction.run(&statement)?;
        definitions.push(row.get("definition"));
    }
    Ok(definitions)
}

/// Builds the indexes again.
pub(super) fn create(
    transaction: &mut WriteTransaction<'_>,
    definitions: &[String],
) -> Result<(), PgError> {
    transaction.run("SET LOCAL maintenance_work_mem = '256MB'")?;
    definitions
        .iter()
        .try_for_each(|definition| transaction.run(definition))
}

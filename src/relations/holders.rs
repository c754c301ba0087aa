//! Who holds rows of `tag`: for people, where a row could not be had.

use std::collections::HashMap;

use crate::pg::{Columns, PgError, Statements};
use crate::quay::{RepositoryId, TagId, retarget_lock_key};

/// A row that somebody else holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTag {
    /// `namespace/repository:tag`, as the database has it.
    pub name: String,
    /// Who holds it, as far as that can be told.
    pub holder: Option<String>,
}

/// Describes rows that could not be had, with who holds each: the transaction in the row's `xmax`, or whoever has Quay's
/// lock on its repository. A row that several transactions share has a multixact there, and nobody is named.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn held_tags(pg: &mut impl Statements, tags: &[TagId]) -> Result<Vec<HeldTag>, PgError> {
    let ids: Vec<i32> = tags.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r#"
        SELECT t.repository_id,
            coalesce(u.username || '/', '') || coalesce(r.name, t.repository_id::text) || ':' || t.name,
            coalesce(
                'process ' || l.pid || coalesce(' (' || nullif(a.application_name, '') || ')', '')
                    || coalesce(' as ' || a.usename, '')
                    || coalesce(', in a transaction since ' || date_trunc('second', a.xact_start), ''),
                'the prepared transaction ' || p.gid || ' of ' || date_trunc('second', p.prepared)
            )
        FROM tag t
        LEFT JOIN repository r ON r.id = t.repository_id
        LEFT JOIN "user" u ON u.id = r.namespace_user_id
        LEFT JOIN pg_locks l ON l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
            AND l.transactionid = t.xmax
        LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        LEFT JOIN pg_prepared_xacts p ON p.transaction = t.xmax
        WHERE t.id = ANY ($1)
        ORDER BY t.id
        "#,
        &[&ids],
    )?;
    let mut of_repositories: HashMap<RepositoryId, Option<String>> = HashMap::new();
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        let repository = RepositoryId(row.read(0)?);
        let mut holder: Option<String> = row.read(2)?;
        if holder.is_none() {
            holder = match of_repositories.get(&repository) {
                Some(known) => known.clone(),
                None => {
                    let found = repository_holder(pg, repository)?;
                    of_repositories.insert(repository, found.clone());
                    found
                }
            };
        }
        held.push(HeldTag {
            name: row.read(1)?,
            holder,
        });
    }
    Ok(held)
}

/// Who has Quay's lock on a repository, where somebody else has it.
fn repository_holder(
    pg: &mut impl Statements,
    repository: RepositoryId,
) -> Result<Option<String>, PgError> {
    let row = pg.query_opt(
        r"
        SELECT 'process ' || l.pid || coalesce(' (' || nullif(a.application_name, '') || ')', '')
            || coalesce(' as ' || a.usename, '')
            || coalesce(', in a transaction since ' || date_trunc('second', a.xact_start), '')
            || ', which has the lock on the repository'
        FROM pg_locks l
        LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (l.classid::bigint << 32) | l.objid::bigint = $1
        LIMIT 1
        ",
        &[&retarget_lock_key(repository)],
    )?;
    row.map(|row| row.read(0)).transpose()
}

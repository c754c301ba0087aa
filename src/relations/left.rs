//! Tags that a pass over a scope left mutable.

use crate::pg::{Columns, PgError, Statements};
use crate::quay::{Scope, TagId, UnixMillis};

/// Names of live mutable tags of a scope with ids below this one: Quay's pass walks by id, and came
/// past them. At most `limit`, spread over all of them, always the same ones.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn left_mutable(
    pg: &mut impl Statements,
    scope: Scope,
    below: TagId,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<String>, PgError> {
    let condition = match scope {
        Scope::Repository(_) => "t.repository_id = $1",
        Scope::Namespace(_) => {
            "t.repository_id IN (SELECT id FROM repository WHERE namespace_user_id = $1)"
        }
    };
    let id = match scope {
        Scope::Repository(id) => id.0,
        Scope::Namespace(id) => id.0,
    };
    pg.query(
        &format!(
            r"
            SELECT t.name
            FROM tag t
            WHERE {condition} AND t.id < $2 AND NOT t.immutable AND NOT t.hidden
                AND (t.lifetime_end_ms IS NULL OR t.lifetime_end_ms > $3)
            ORDER BY hashint4(t.id), t.id
            LIMIT $4
            "
        ),
        &[&id, &below.0, &now.0, &i64::from(limit)],
    )?
    .iter()
    .map(|row| row.read(0))
    .collect()
}

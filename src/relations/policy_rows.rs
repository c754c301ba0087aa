//! Corrections of policy rows: read under lock, removed, mended, put back.

use sea_query::{Expr, ExprTrait as _, LockType, Query};

use super::policies::{PoliciesOf, PolicySchema, policies_locked, whole_row};
use crate::evaluate::PolicyRow;
use crate::pg::{Built, Columns, PgError, Statements, WriteTransaction};
use crate::quay::{NamespaceId, PolicyRowId, PolicyTable, PolicyText, PolicyUuid};

/// Reads the policies of some scopes and holds their rows until the transaction ends: nobody
/// changes or deletes one meanwhile. A row that somebody else holds is waited for.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody holds one for longer than we wait.
pub fn hold_policies(
    tx: &mut WriteTransaction<'_>,
    schema: PolicySchema,
    of: &PoliciesOf,
) -> Result<Vec<PolicyRow>, PgError> {
    policies_locked(tx, schema, of, Some(LockType::Update))
}

/// Deletes a policy row that has this text; the whole row as it was, or `None` where it has not.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn remove_policy(
    tx: &mut WriteTransaction<'_>,
    table: PolicyTable,
    id: PolicyRowId,
    text: &PolicyText,
) -> Result<Option<serde_json::Value>, PgError> {
    let statement = Built::of(
        Query::delete()
            .from_table(table.name())
            .and_where(Expr::col("id").eq(id.0))
            .and_where(Expr::col("policy").eq(&*text.0))
            .returning(Query::returning().expr(whole_row(table))),
    );
    let removed = tx.query_opt(statement.text(), &statement.values())?;
    removed.map(|row| row.read(0)).transpose()
}

/// Writes a namespace into a repository policy's row, where it has another one and the namespace
/// is there; the row before and after, or `None`.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn move_policy(
    tx: &mut WriteTransaction<'_>,
    id: PolicyRowId,
    uuid: &PolicyUuid,
    from: NamespaceId,
    to: NamespaceId,
) -> Result<Option<(serde_json::Value, serde_json::Value)>, PgError> {
    let moved = tx.query_opt(
        r#"
        WITH before AS (
            SELECT id, to_jsonb(p) AS row
            FROM repositoryimmutabilitypolicy p
            WHERE id = $1 AND uuid = $2 AND namespace_id = $3
                AND EXISTS (SELECT FROM "user" u WHERE u.id = $4)
            FOR NO KEY UPDATE
        )
        UPDATE repositoryimmutabilitypolicy p
        SET namespace_id = $4
        FROM before
        WHERE p.id = before.id
        RETURNING before.row, to_jsonb(p)
        "#,
        &[&id.0, &uuid.0, &from.0, &to.0],
    )?;
    moved
        .map(|row| Ok((row.read(0)?, row.read(1)?)))
        .transpose()
}

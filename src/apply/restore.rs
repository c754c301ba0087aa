//! A policy row put back as it was before a run: one transaction a row.

use serde_json::Value;

use super::ApplyError;
use super::policies::Held;
use crate::journal::{FixRun, FixTotals, Phase, PolicyChange, mark_policy_undone};
use crate::pg::{WriteSession, WriteTransaction};
use crate::quay::{NamespaceId, PolicyTable, PolicyText, PolicyUuid, RepositoryId, Scope};
use crate::relations::{PolicySchema, lock_scope, move_policy, restore_policy};

/// Puts a row back; or says why not.
pub(super) fn restore(
    session: &mut WriteSession,
    schema: PolicySchema,
    run: &FixRun,
    entry: i64,
    change: &PolicyChange,
) -> Result<Result<(), &'static str>, ApplyError> {
    let mut tx = session.begin()?;
    let restored = match (&change.before, &change.after) {
        (Some(before), None) => put_back(&mut tx, schema, change.table, before)?,
        (Some(before), Some(after)) => move_back(&mut tx, change, before, after)?,
        // A fix run makes no policy of its own.
        (None, _) => Err("it is not known what it was"),
    };
    if restored.is_ok() {
        mark_policy_undone(&mut tx, entry)?;
        run.advance(&mut tx, Phase::Undoing, &FixTotals::default())?;
        tx.commit()?;
    }
    Ok(restored)
}

/// Puts a deleted row back. An active one only where another one decides alike, as when it was
/// deleted: what was pushed since would otherwise stand unprotected under it.
fn put_back(
    tx: &mut WriteTransaction<'_>,
    schema: PolicySchema,
    table: PolicyTable,
    row: &Value,
) -> Result<Result<(), &'static str>, ApplyError> {
    let Some(scope) = scope(table, row) else {
        return Ok(Err("its scope is not known"));
    };
    lock_scope(tx, scope)?;
    // Without the column every policy is active.
    if row["active"] != Value::Bool(false) {
        let text = PolicyText(row["policy"].as_str().unwrap_or_default().to_owned());
        let held = Held::of(tx, scope, schema)?;
        let policy = text.parse();
        let alike = policy.is_ok() && held.active().any(|other| other.text.parse() == policy);
        if !alike {
            return Ok(Err(
                "no other active policy decides alike any more: create it with `policy create`",
            ));
        }
    }
    Ok(if restore_policy(tx, table, row)? {
        Ok(())
    } else {
        Err("its id, its uuid or its scope is taken or gone")
    })
}

/// Gives a row the namespace back that it had.
fn move_back(
    tx: &mut WriteTransaction<'_>,
    change: &PolicyChange,
    before: &Value,
    after: &Value,
) -> Result<Result<(), &'static str>, ApplyError> {
    let namespace = |row: &Value| number(row, "namespace_id").map(NamespaceId);
    let (Some(was), Some(is), Some(uuid)) =
        (namespace(before), namespace(after), after["uuid"].as_str())
    else {
        return Ok(Err("it is not known what it was"));
    };
    let moved = move_policy(tx, change.id, &PolicyUuid(uuid.to_owned()), is, was)?;
    Ok(moved
        .map(|_| ())
        .ok_or("it has been changed since, or its namespace is gone"))
}

fn scope(table: PolicyTable, row: &Value) -> Option<Scope> {
    let id = number(row, table.scope_column())?;
    Some(match table {
        PolicyTable::Namespace => Scope::Namespace(NamespaceId(id)),
        PolicyTable::Repository => Scope::Repository(RepositoryId(id)),
    })
}

fn number(row: &Value, column: &str) -> Option<i32> {
    row[column].as_i64().and_then(|id| i32::try_from(id).ok())
}

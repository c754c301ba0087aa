//! Rows of the two policy tables, whether the `active` column is there or not.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::tags::MOST_BYTES;
use crate::evaluate::{Activity, PolicyRow};
use crate::journal::SchemaState;
use crate::pg::{Columns, PgError, Row, Statements, WriteTransaction};
use crate::quay::{
    NamespaceId, PolicyRowId, PolicyTable, PolicyText, PolicyUuid, RepositoryId, Scope,
};

/// What a policy's row takes in an answer beside its text.
const POLICY_BYTES: i32 = 120;

/// Which columns the policy tables have beyond Quay's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicySchema {
    /// `active`; without it every policy counts as active.
    pub active: bool,
    /// `created_date`; without it no date is known.
    pub created_date: bool,
}

/// Whose policies are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoliciesOf {
    /// Everybody's.
    All,
    /// Those of these scopes.
    Scopes {
        /// Repositories.
        repositories: Vec<RepositoryId>,
        /// Namespaces.
        namespaces: Vec<NamespaceId>,
    },
}

/// Reads policy rows, in the order in which Quay's evaluation meets them: a repository's before a
/// namespace's, each by id.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn policies(
    pg: &mut impl Statements,
    schema: PolicySchema,
    of: &PoliciesOf,
) -> Result<Vec<PolicyRow>, PgError> {
    policies_locked(pg, schema, of, "")
}

/// The same, with a locking clause.
pub(super) fn policies_locked(
    pg: &mut impl Statements,
    schema: PolicySchema,
    of: &PoliciesOf,
    lock: &str,
) -> Result<Vec<PolicyRow>, PgError> {
    let mut rows = Vec::new();
    for table in PolicyTable::IN_LOCK_ORDER {
        let ids: Option<Vec<i32>> = match (of, table) {
            (PoliciesOf::All, _) => None,
            (PoliciesOf::Scopes { repositories, .. }, PolicyTable::Repository) => {
                Some(repositories.iter().map(|id| id.0).collect())
            }
            (PoliciesOf::Scopes { namespaces, .. }, PolicyTable::Namespace) => {
                Some(namespaces.iter().map(|id| id.0).collect())
            }
        };
        if ids.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let sql = select(table, schema, lock);
        let mut after = None;
        loop {
            let some = pg.query(&sql, &[&ids, &after])?;
            after = None;
            for row in &some {
                let policy = policy_row(table, row)?;
                if row.read(7)? {
                    after = Some(policy.id.0);
                }
                rows.push(policy);
            }
            if after.is_none() {
                break;
            }
        }
    }
    Ok(rows)
}

/// The statement's shape depends on the table and its columns only; every value is a parameter. Rows that make an
/// answer too large are left for the next, which begins after the last that says so.
fn select(table: PolicyTable, schema: PolicySchema, lock: &str) -> String {
    let active = if schema.active { "active" } else { "true" };
    let created = if schema.created_date {
        "created_date"
    } else {
        "NULL::timestamp"
    };
    let (name, scope) = (table.name(), table.scope_column());
    format!(
        "WITH had AS MATERIALIZED ( \
             SELECT id, uuid, {scope} AS scope_id, namespace_id, policy, {active} AS active, \
                 {created} AS created \
             FROM {name} \
             WHERE ($1::int[] IS NULL OR {scope} = ANY ($1)) AND ($2::int IS NULL OR id > $2) \
             ORDER BY id {lock} \
         ), sized AS ( \
             SELECT *, octet_length(policy) + {POLICY_BYTES} AS own, \
                 sum(octet_length(policy) + {POLICY_BYTES}) OVER (ORDER BY id) AS size \
             FROM had \
         ) \
         SELECT id, uuid, scope_id, namespace_id, policy, active, created, size > {MOST_BYTES} \
         FROM sized \
         WHERE size - own <= {MOST_BYTES} \
         ORDER BY id"
    )
}

fn policy_row(table: PolicyTable, row: &Row) -> Result<PolicyRow, PgError> {
    let scope_id = row.read(2)?;
    let created: Option<NaiveDateTime> = row.read(6)?;
    Ok(PolicyRow {
        id: PolicyRowId(row.read(0)?),
        uuid: PolicyUuid(row.read(1)?),
        scope: match table {
            PolicyTable::Namespace => Scope::Namespace(NamespaceId(scope_id)),
            PolicyTable::Repository => Scope::Repository(RepositoryId(scope_id)),
        },
        namespace: NamespaceId(row.read(3)?),
        text: PolicyText(row.read(4)?),
        activity: if row.read(5)? {
            Activity::Active
        } else {
            Activity::Inactive
        },
        created: created.map(|naive| DateTime::<Utc>::from_naive_utc_and_offset(naive, Utc)),
    })
}

impl From<&SchemaState> for PolicySchema {
    fn from(schema: &SchemaState) -> Self {
        let has_date = |table| schema.policies(table).created_date.is_some();
        Self {
            active: schema.knows_active(),
            created_date: PolicyTable::IN_LOCK_ORDER.into_iter().all(has_date),
        }
    }
}

/// Holds both policy tables IN SHARE MODE, the repository table first, until the transaction ends:
/// nobody adds, changes or deletes a policy meanwhile. Whoever takes protection away holds them
/// from before it reads policies, or Quay's own pass, running between, skips the tag that is still
/// immutable and nobody protects it again.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody writes policies for longer than we wait.
pub fn lock_policy_tables(tx: &mut WriteTransaction<'_>) -> Result<(), PgError> {
    // One message; to the server they are statements one after the other.
    let locks = PolicyTable::IN_LOCK_ORDER.map(|table| {
        let name = table.name();
        format!("LOCK TABLE {name} IN SHARE MODE;")
    });
    tx.run(&locks.concat())
}

/// The same, for a transaction that also writes them: no other one that holds them comes beside it,
/// so that two cannot wait for each other.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody holds them for longer than we wait.
pub fn lock_policy_tables_alone(tx: &mut WriteTransaction<'_>) -> Result<(), PgError> {
    for table in PolicyTable::IN_LOCK_ORDER {
        tx.run(&format!(
            "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
            table.name()
        ))?;
    }
    Ok(())
}

/// Puts a deleted policy row back, every column as it was; `false` where its id, its uuid or its
/// scope is taken or gone. One that was deleted before there was a column `active` was active.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn restore_policy(
    tx: &mut WriteTransaction<'_>,
    table: PolicyTable,
    row: &serde_json::Value,
) -> Result<bool, PgError> {
    let (name, scope) = (table.name(), table.scope_column());
    let owner = match table {
        PolicyTable::Namespace => "\"user\"",
        PolicyTable::Repository => "repository",
    };
    let restored = tx.execute(
        &format!(
            r#"
            INSERT INTO {name}
            SELECT r.*
            FROM jsonb_populate_record(NULL::{name}, '{{"active": true}}'::jsonb || $1) r
            WHERE NOT EXISTS (SELECT FROM {name} p WHERE p.id = r.id OR p.uuid = r.uuid)
                AND EXISTS (SELECT FROM {owner} o WHERE o.id = r.{scope})
            "#
        ),
        &[row],
    )?;
    Ok(restored == 1)
}

/// A policy row as an operation of ours compares it: its text and whether it is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRow {
    /// `policy`.
    pub text: PolicyText,
    /// `active`.
    pub activity: Activity,
}

/// Reads a policy row and holds it `FOR SHARE`: until the transaction ends nobody changes or
/// deletes it. `None` where it is gone.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn hold_policy(
    tx: &mut WriteTransaction<'_>,
    table: PolicyTable,
    uuid: &PolicyUuid,
) -> Result<Option<OwnRow>, PgError> {
    let name = table.name();
    let row = tx.query_opt(
        &format!("SELECT policy, active FROM {name} WHERE uuid = $1 FOR SHARE"),
        &[&uuid.0],
    )?;
    row.map(|row| {
        let active: bool = row.read(1)?;
        Ok(OwnRow {
            text: PolicyText(row.read(0)?),
            activity: if active {
                Activity::Active
            } else {
                Activity::Inactive
            },
        })
    })
    .transpose()
}

/// Writes a new policy row; the whole row.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn insert_policy(
    tx: &mut WriteTransaction<'_>,
    scope: Scope,
    namespace: NamespaceId,
    uuid: &PolicyUuid,
    text: &PolicyText,
    activity: Activity,
) -> Result<(PolicyRowId, serde_json::Value), PgError> {
    let active = activity == Activity::Active;
    let row = match scope {
        Scope::Namespace(id) => tx.query_one(
            r"
            INSERT INTO namespaceimmutabilitypolicy AS p (uuid, namespace_id, policy, active)
            VALUES ($1, $2, $3, $4)
            RETURNING id, to_jsonb(p)
            ",
            &[&uuid.0, &id.0, &text.0, &active],
        )?,
        Scope::Repository(id) => tx.query_one(
            r"
            INSERT INTO repositoryimmutabilitypolicy AS p
                (uuid, repository_id, namespace_id, policy, active)
            VALUES ($1, $2, $3, $4, $5)
            RETURNING id, to_jsonb(p)
            ",
            &[&uuid.0, &id.0, &namespace.0, &text.0, &active],
        )?,
    };
    Ok((PolicyRowId(row.read(0)?), row.read(1)?))
}

/// Gives a policy row its new text and activity where it is still as expected; its id and both
/// images, or `None`.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn change_policy(
    tx: &mut WriteTransaction<'_>,
    table: PolicyTable,
    uuid: &PolicyUuid,
    from: &OwnRow,
    to: &OwnRow,
) -> Result<Option<PolicyImages>, PgError> {
    let name = table.name();
    let active = |row: &OwnRow| row.activity == Activity::Active;
    let row = tx.query_opt(
        &format!(
            r"
            WITH before AS (
                SELECT id, to_jsonb(p) AS row
                FROM {name} p
                WHERE uuid = $1 AND policy = $2 AND active = $3
                FOR NO KEY UPDATE
            )
            UPDATE {name} p
            SET policy = $4, active = $5
            FROM before
            WHERE p.id = before.id
            RETURNING p.id, before.row, to_jsonb(p)
            "
        ),
        &[
            &uuid.0,
            &from.text.0,
            &active(from),
            &to.text.0,
            &active(to),
        ],
    )?;
    row.map(|row| {
        Ok(PolicyImages {
            id: PolicyRowId(row.read(0)?),
            before: row.read(1)?,
            after: row.read(2)?,
        })
    })
    .transpose()
}

/// A policy row before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyImages {
    /// The row.
    pub id: PolicyRowId,
    /// As it was.
    pub before: serde_json::Value,
    /// As it is.
    pub after: serde_json::Value,
}

/// Deletes a policy row where it is still as expected; its id and the row as it was, or `None`.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn delete_policy(
    tx: &mut WriteTransaction<'_>,
    table: PolicyTable,
    uuid: &PolicyUuid,
    expected: &OwnRow,
) -> Result<Option<(PolicyRowId, serde_json::Value)>, PgError> {
    let name = table.name();
    let row = tx.query_opt(
        &format!(
            "DELETE FROM {name} p WHERE uuid = $1 AND policy = $2 AND active = $3 \
             RETURNING id, to_jsonb(p)"
        ),
        &[
            &uuid.0,
            &expected.text.0,
            &(expected.activity == Activity::Active),
        ],
    )?;
    row.map(|row| Ok((PolicyRowId(row.read(0)?), row.read(1)?)))
        .transpose()
}

/// Holds a scope against other operations that begin, until the transaction ends: a check for
/// duplicates and an insert are two statements, and two at once could both succeed.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody holds it for longer than we wait.
pub fn lock_scope(tx: &mut WriteTransaction<'_>, scope: Scope) -> Result<(), PgError> {
    let key = match scope {
        Scope::Namespace(id) => format!("quay-doctor scope namespace {id}"),
        Scope::Repository(id) => format!("quay-doctor scope repository {id}"),
    };
    tx.query_one(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        &[&key],
    )?;
    Ok(())
}

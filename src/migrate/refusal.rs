//! What going down would destroy: inactive policies, unfinished operations, a journal in use.
//!
//! Asked twice: before anything is touched, and again under lock in the transaction that drops.

use std::fmt;

use serde::Serialize;

use super::MigrateError;
use crate::journal::{ActiveColumn, JournalState, SchemaState};
use crate::pg::{PgError, Row, Statements};
use crate::quay::PolicyTable;

/// At most this many are named; the rest is counted.
const NAMED_AT_MOST: usize = 20;

/// Refuses while a policy is inactive or an operation unfinished.
pub(super) fn refuse_while_in_use(
    db: &mut impl Statements,
    state: &SchemaState,
) -> Result<(), MigrateError> {
    let operations = unfinished_operations(db, state)?;
    if !operations.0.named.is_empty() {
        return Err(MigrateError::UnfinishedOperations(operations));
    }
    let policies = inactive_policies(db, state)?;
    if !policies.0.named.is_empty() {
        return Err(MigrateError::InactivePolicies(policies));
    }
    Ok(())
}

/// Refuses while the journal could still undo something or excuses something.
pub(super) fn refuse_while_journal_is_needed(db: &mut impl Statements) -> Result<(), MigrateError> {
    // Counted up to a million each: more would only take longer to say the same.
    let row = db.query_one(
        "SELECT (SELECT count(*) FROM (SELECT FROM quay_doctor.tag_change
                                       WHERE undone_at IS NULL LIMIT 1000000) AS counted),
                (SELECT count(*) FROM (SELECT FROM quay_doctor.policy_change
                                       WHERE undone_at IS NULL LIMIT 1000000) AS counted),
                (SELECT count(*) FROM (SELECT FROM quay_doctor.kept
                                       WHERE withdrawn_at IS NULL LIMIT 1000000) AS counted)",
        &[],
    )?;
    let count = |column: usize| row.try_get::<_, i64>(column).map_err(PgError::from);
    let undoable = Undoable {
        tag_changes: count(0)?,
        policy_changes: count(1)?,
        kept: count(2)?,
    };
    match undoable {
        Undoable {
            tag_changes: 0,
            policy_changes: 0,
            kept: 0,
        } => Ok(()),
        _ => Err(MigrateError::JournalInUse(undoable)),
    }
}

fn inactive_policies(
    db: &mut impl Statements,
    state: &SchemaState,
) -> Result<ListedPolicies, MigrateError> {
    let mut listed = Listed::default();
    for table in PolicyTable::IN_LOCK_ORDER {
        // A column of another shape is not ours, and no down takes it away.
        if state.policies(table).active() != ActiveColumn::Usable {
            continue;
        }
        let sql = match table {
            PolicyTable::Repository => {
                "SELECT policy.uuid::text, coalesce(namespace.username, '?') || '/' || coalesce(repository.name, '?'),
                        count(*) OVER ()
                 FROM repositoryimmutabilitypolicy AS policy
                 LEFT JOIN repository ON repository.id = policy.repository_id
                 LEFT JOIN \"user\" AS namespace ON namespace.id = repository.namespace_user_id
                 WHERE NOT policy.active
                 ORDER BY policy.id LIMIT $1"
            }
            PolicyTable::Namespace => {
                "SELECT policy.uuid::text, coalesce(namespace.username, '?'), count(*) OVER ()
                 FROM namespaceimmutabilitypolicy AS policy
                 LEFT JOIN \"user\" AS namespace ON namespace.id = policy.namespace_id
                 WHERE NOT policy.active
                 ORDER BY policy.id LIMIT $1"
            }
        };
        let rows = db.query(sql, &[&(NAMED_AT_MOST as i64)])?;
        listed.add(&rows, 2, |row| {
            Ok(ListedPolicy {
                uuid: row.try_get(0)?,
                scope: row.try_get(1)?,
            })
        })?;
    }
    Ok(ListedPolicies(listed))
}

fn unfinished_operations(
    db: &mut impl Statements,
    state: &SchemaState,
) -> Result<ListedOperations, MigrateError> {
    let mut listed = Listed::default();
    let there = match &state.journal {
        JournalState::Absent => false,
        JournalState::Incomplete(missing) => !missing.iter().any(|table| table == "operation"),
        JournalState::Unreadable(_) | JournalState::Present => true,
    };
    if there {
        let rows = db.query(
            "SELECT id, kind, phase,
                    concat_ws('/', coalesce(namespace_name, '(whole registry)'), repository_name),
                    policy_uuid, count(*) OVER ()
             FROM quay_doctor.operation
             WHERE finished_at IS NULL
             ORDER BY id LIMIT $1",
            &[&(NAMED_AT_MOST as i64)],
        )?;
        listed.add(&rows, 5, |row| {
            Ok(ListedOperation {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                phase: row.try_get(2)?,
                scope: row.try_get(3)?,
                policy_uuid: row.try_get(4)?,
            })
        })?;
    }
    Ok(ListedOperations(listed))
}

/// Some named, all counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    named: Vec<T>,
    total: i64,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            named: Vec::new(),
            total: 0,
        }
    }
}

impl<T> Listed<T> {
    /// Adds rows; the column `total` holds how many there are altogether.
    fn add(
        &mut self,
        rows: &[Row],
        total: usize,
        named: impl Fn(&Row) -> Result<T, PgError>,
    ) -> Result<(), PgError> {
        if let Some(first) = rows.first() {
            self.total += first.try_get::<_, i64>(total)?;
        }
        for row in rows {
            self.named.push(named(row)?);
        }
        Ok(())
    }
}

impl<T: fmt::Display> fmt::Display for Listed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.named.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{item}")?;
        }
        let unnamed = usize::try_from(self.total)
            .unwrap_or(0)
            .saturating_sub(self.named.len());
        match unnamed {
            0 => Ok(()),
            unnamed => write!(f, "; and {unnamed} more"),
        }
    }
}

/// An inactive policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedPolicy {
    uuid: String,
    scope: String,
}

impl fmt::Display for ListedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.uuid, self.scope)
    }
}

/// The inactive policies that stand in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedPolicies(Listed<ListedPolicy>);

impl fmt::Display for ListedPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.total {
            1 => write!(f, "a policy is inactive: {}", self.0),
            many => write!(f, "{many} policies are inactive: {}", self.0),
        }
    }
}

/// An unfinished operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedOperation {
    id: i64,
    kind: String,
    phase: String,
    scope: String,
    policy_uuid: Option<String>,
}

impl fmt::Display for ListedOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {}) in {}",
            self.id, self.kind, self.phase, self.scope
        )?;
        match &self.policy_uuid {
            Some(uuid) => write!(f, " for policy {uuid}"),
            None => Ok(()),
        }
    }
}

/// The unfinished operations that stand in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedOperations(Listed<ListedOperation>);

impl fmt::Display for ListedOperations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.total {
            1 => write!(f, "an operation is unfinished: {}", self.0),
            many => write!(f, "{many} operations are unfinished: {}", self.0),
        }
    }
}

/// What of the journal could still be needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Undoable {
    tag_changes: i64,
    policy_changes: i64,
    kept: i64,
}

impl fmt::Display for Undoable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} changes of tags and {} of policies could still be undone, {} declarations keep tags immutable",
            self.tag_changes, self.policy_changes, self.kept
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_counted() {
        let policy = |n: usize| ListedPolicy {
            uuid: format!("u{n}"),
            scope: "acme".to_owned(),
        };
        let listed = Listed {
            named: (0..2).map(policy).collect(),
            total: 5,
        };
        assert_eq!(
            ListedPolicies(listed).to_string(),
            "5 policies are inactive: u0 of acme; u1 of acme; and 3 more"
        );
    }
}

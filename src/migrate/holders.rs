//! Who stands in the way: the sessions that hold a lock, named for the operator.

use std::fmt;

use serde::Serialize;

use crate::pg::{PgError, Row, Statements};
use crate::quay::PolicyTable;

/// At most this many are named.
const NAMED_AT_MOST: i64 = 5;

/// A session that holds a lock. Columns of `pg_stat_activity` are NULL for a role without
/// `pg_read_all_stats`; the process id comes from `pg_locks` and is always there, but for a
/// prepared transaction, which has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The server process.
    pub pid: Option<i32>,
    /// What the session calls itself.
    pub application_name: Option<String>,
    /// The time its transaction, or else the session, began; as the server spells it.
    pub since: Option<String>,
    /// What is locked, where that is a table.
    pub table: Option<String>,
}

/// Those sessions, as many as are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Holders(pub Vec<Holder>);

impl Holders {
    /// Who holds the session-level advisory lock of two keys.
    pub(super) fn of_advisory_lock(
        db: &mut impl Statements,
        class: i32,
        object: i32,
    ) -> Result<Self, PgError> {
        // pg_locks shows the two keys as oids, the same 32 bits unsigned.
        let rows = db.query(
            "SELECT lock.pid, activity.application_name,
                    activity.backend_start::timestamptz(0)::text, NULL::text
             FROM pg_locks AS lock
             LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
             WHERE lock.locktype = 'advisory'
               AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND lock.classid = $1::int8::oid AND lock.objid = $2::int8::oid
               AND lock.objsubid = 2 AND lock.granted
             LIMIT $3",
            &[&i64::from(class), &i64::from(object), &NAMED_AT_MOST],
        )?;
        Self::named(&rows)
    }

    /// Who holds a lock on a policy table or on a table of ours.
    pub(super) fn of_tables(db: &mut impl Statements) -> Result<Self, PgError> {
        let policy_tables = PolicyTable::IN_LOCK_ORDER.map(PolicyTable::name);
        let rows = db.query(
            "SELECT DISTINCT ON (lock.pid) lock.pid, activity.application_name,
                    coalesce(activity.xact_start, activity.backend_start)::timestamptz(0)::text,
                    class.relname::text
             FROM pg_locks AS lock
             JOIN pg_class AS class ON class.oid = lock.relation
             JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
             LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
             WHERE lock.locktype = 'relation'
               AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND lock.granted AND lock.pid IS DISTINCT FROM pg_backend_pid()
               AND class.relkind = 'r'
               AND (class.relname = ANY ($1) OR schema.nspname = $2)
             ORDER BY lock.pid
             LIMIT $3",
            &[
                &policy_tables.as_slice(),
                &crate::journal::SCHEMA,
                &NAMED_AT_MOST,
            ],
        )?;
        Self::named(&rows)
    }

    /// Whose transactions have been open for a while: a concurrent build waits for them. Only as
    /// far as the role may see it, so none does not mean that there is none.
    pub(super) fn of_old_transactions(db: &mut impl Statements) -> Result<Self, PgError> {
        let rows = db.query(
            "SELECT pid, application_name, xact_start::timestamptz(0)::text, NULL::text
             FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND xact_start < clock_timestamp() - interval '1 second'
             ORDER BY xact_start
             LIMIT $1",
            &[&NAMED_AT_MOST],
        )?;
        Self::named(&rows)
    }

    fn named(rows: &[Row]) -> Result<Self, PgError> {
        let holders: Result<_, PgError> = rows
            .iter()
            .map(|row| {
                Ok(Holder {
                    pid: row.try_get(0)?,
                    application_name: row.try_get(1)?,
                    since: row.try_get(2)?,
                    table: row.try_get(3)?,
                })
            })
            .collect();
        holders.map(Self)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("a prepared transaction")?,
        }
        match self.application_name.as_deref() {
            Some("") | None => {}
            Some(name) => write!(f, " ({name})")?,
        }
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        if let Some(table) = &self.table {
            write!(f, " on {table}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("whoever held the lock has just let it go");
        }
        for (index, holder) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{holder}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_as_far_as_the_role_may_see_it() {
        let seen = Holder {
            pid: Some(7),
            application_name: Some("psql".to_owned()),
            since: Some("2026-08-01 00:00:00+00".to_owned()),
            table: Some("operation".to_owned()),
        };
        assert_eq!(
            seen.to_string(),
            "process 7 (psql) since 2026-08-01 00:00:00+00 on operation"
        );
        let unseen = Holder {
            pid: None,
            application_name: None,
            since: None,
            table: None,
        };
        assert_eq!(unseen.to_string(), "a prepared transaction");
    }
}

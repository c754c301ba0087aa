//! Who may still be deciding by policies as they were: transactions that have read a policy table.

use crate::pg::{Columns, PgError, READS_ONLY, Statements};

/// A transaction that holds a lock on a policy table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyReader {
    /// `virtualtransaction` in pg_locks.
    pub transaction: String,
    /// The backend; none for a prepared transaction.
    pub pid: Option<i32>,
}

/// Every transaction of this database but ours that holds a lock on either policy table; those that only
/// read for us (a check, a plan) never write by what they have read, and are left out. They are known by their
/// transaction, since a pooler may give their backend to Quay as soon as it ends. Taken from pg_locks, which every role sees whole: in pg_stat_activity the columns of others are NULL
/// for a role without pg_read_all_stats, and a wait for nobody would be over at once.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn policy_readers(pg: &mut impl Statements) -> Result<Vec<PolicyReader>, PgError> {
    pg.query(
        r"
        WITH here AS MATERIALIZED (
            SELECT * FROM pg_locks
            WHERE granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ), only_read AS MATERIALIZED (
            SELECT virtualtransaction FROM here
            WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1
                AND classid::bigint = ($1::bigint >> 32) & 4294967295
                AND objid::bigint = $1::bigint & 4294967295
        )
        SELECT DISTINCT virtualtransaction, pid
        FROM here
        WHERE locktype = 'relation'
            AND relation IN ('repositoryimmutabilitypolicy'::regclass,
                             'namespaceimmutabilitypolicy'::regclass)
            AND pid IS DISTINCT FROM pg_backend_pid()
            AND virtualtransaction NOT IN (SELECT virtualtransaction FROM only_read)
        ORDER BY 1
        ",
        &[&READS_ONLY],
    )?
    .iter()
    .map(|row| {
        Ok(PolicyReader {
            transaction: row.read(0)?,
            pid: row.read(1)?,
        })
    })
    .collect()
}

/// The same as pg_stat_activity has it: every session in a transaction, or none for a role that may
/// not see others'. Only a test that shows what goes wrong then asks for it.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn policy_readers_by_activity(pg: &mut impl Statements) -> Result<Vec<PolicyReader>, PgError> {
    pg.query(
        r"
        SELECT pid::text AS transaction, pid
        FROM pg_stat_activity
        WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
        ORDER BY transaction
        ",
        &[],
    )?
    .iter()
    .map(|row| {
        Ok(PolicyReader {
            transaction: row.read(0)?,
            pid: row.read(1)?,
        })
    })
    .collect()
}

/// What pg_stat_activity shows of these backends, for people; a role may see little of it.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn described(pg: &mut impl Statements, pids: &[i32]) -> Result<Vec<String>, PgError> {
    pg.query(
        r"
        SELECT 'process ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '')
            || coalesce(' as ' || usename, '') || coalesce(', in a transaction since ' || xact_start, '')
        FROM pg_stat_activity
        WHERE pid = ANY ($1)
        ORDER BY pid
        ",
        &[&pids],
    )?
    .iter()
    .map(|row| row.read(0))
    .collect()
}

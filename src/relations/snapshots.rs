//! Who may still decide by rows as they were: transactions whose snapshot is older than a commit.

use super::readers::PolicyReader;
use crate::pg::{Columns, PgError, READS_ONLY, Statements};

/// Every other transaction of this database whose snapshot is not newer than a transaction of ours (`xid`, as the
/// server spells it), and whose role can write tags: under REPEATABLE READ it still decides by the policies as they
/// were, even where it has not touched their tables yet. CREATE INDEX CONCURRENTLY waits for such transactions.
///
/// Of pg_stat_activity only columns are asked that every role may see: `datid`, `usesysid`, `backend_xmin`. A
/// transaction is known by the lock that it holds on its own virtual id. Left out are those that only read for us
/// (as in [`policy_readers`](super::policy_readers)), VACUUM, whose snapshot decides
/// nothing, and everything that is no client's session (no `datid`, or no user). A role that may take on another one
/// (SET ROLE) can write what that one can.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn older_snapshots(pg: &mut impl Statements, than: &str) -> Result<Vec<PolicyReader>, PgError> {
    pg.query(
        r"
        WITH writers AS MATERIALIZED (
            SELECT oid FROM pg_roles
            WHERE has_any_column_privilege(oid, 'tag'::regclass, 'INSERT, UPDATE')
        ), locks AS MATERIALIZED (
            SELECT * FROM pg_locks WHERE granted
        ), only_read AS MATERIALIZED (
            SELECT virtualtransaction FROM locks
            WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND classid::bigint = ($2::bigint >> 32) & 4294967295
                AND objid::bigint = $2::bigint & 4294967295
        )
        SELECT DISTINCT own.virtualtransaction, backend.pid
        FROM pg_stat_activity backend
        JOIN locks own ON own.pid = backend.pid
            AND own.locktype = 'virtualxid' AND own.mode = 'ExclusiveLock'
        WHERE backend.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND backend.usesysid IS NOT NULL
            AND backend.pid <> pg_backend_pid()
            AND age(backend.backend_xmin) >= age($1::text::xid)
            AND own.virtualtransaction NOT IN (SELECT virtualtransaction FROM only_read)
            AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum vacuum WHERE vacuum.pid = backend.pid)
            AND (
                EXISTS (SELECT FROM writers WHERE pg_has_role(backend.usesysid, writers.oid, 'MEMBER'))
                OR NOT EXISTS (SELECT FROM pg_roles WHERE oid = backend.usesysid)
            )
        ORDER BY 1
        ",
        &[&than, &READS_ONLY],
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

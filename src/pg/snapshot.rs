//! One consistent moment of the database, to read from.

use std::time::Duration;

use postgres::types::ToSql;
use postgres::{Client, IsolationLevel, Row, Transaction};

use super::prepared::Prepared;
use super::session::statements;
use super::stream::streams;
use super::timed::{Timed, milliseconds};
use super::{PgError, Statements as _};

/// The advisory lock, shared by all of our transactions that only read: `quay-dr` in ASCII. No key of
/// Quay's, whose keys are the first eight bytes of a hash, nor of ours in two parts.
pub const READS_ONLY: i64 = 0x71_7561_792d_6472;

/// The name of an exported snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName(String);

/// A transaction that is REPEATABLE READ and READ ONLY; ends with no trace when dropped.
pub struct ReadSnapshot<'s> {
    // Dropped first: a pooler may give the session to another backend as soon as the transaction ends.
    prepared: Prepared,
    transaction: Transaction<'s>,
    timed: Timed,
}

statements!(ReadSnapshot<'_>, transaction);
streams!(ReadSnapshot<'_>, transaction);

impl<'s> ReadSnapshot<'s> {
    pub(super) fn begin(client: &'s mut Client, timed: Timed) -> Result<Self, PgError> {
        let mut snapshot = Self::unmarked(client, timed)?;
        snapshot.run(&marking())?;
        Ok(snapshot)
    }

    pub(super) fn begin_as(
        client: &'s mut Client,
        timed: Timed,
        name: &SnapshotName,
    ) -> Result<Self, PgError> {
        let mut snapshot = Self::unmarked(client, timed)?;
        // The name is the server's own, of digits, letters and hyphens; it takes no parameter, and the
        // server takes it before the first query only.
        let name = &name.0;
        snapshot.run(&format!("SET TRANSACTION SNAPSHOT '{name}'; {}", marking()))?;
        Ok(snapshot)
    }

    fn unmarked(client: &'s mut Client, timed: Timed) -> Result<Self, PgError> {
        let transaction = timed.run(|| {
            client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .read_only(true)
                .deferrable(false)
                .start()
        })?;
        Ok(Self {
            prepared: Prepared::default(),
            transaction,
            timed,
        })
    }

    /// Lets other sessions read the same moment, for as long as this snapshot lasts.
    ///
    /// # Errors
    /// [`PgError`] where the server does not export it.
    pub fn export(&mut self) -> Result<SnapshotName, PgError> {
        let row = self.query_one("SELECT pg_export_snapshot()", &[])?;
        let name: String = row.try_get(0)?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        debug_assert!(plain, "{name}");
        Ok(SnapshotName(if plain { name } else { String::new() }))
    }

    /// The one row of a query that is asked many times: it is prepared the first time.
    ///
    /// # Errors
    /// [`PgError`], also where there is no row or more than one.
    pub fn query_one_of_many(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, PgError> {
        self.prepared
            .query_one(&mut self.transaction, self.timed, sql, params)
    }

    /// Sets a parameter or opens a cursor: statements without rows that write nothing.
    ///
    /// # Errors
    /// [`PgError`] where the statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        self.timed.run(|| self.transaction.batch_execute(sql))
    }

    /// Limits each statement from here on, for as long as the snapshot lasts.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer.
    pub fn limit_statements(&mut self, most: Duration) -> Result<(), PgError> {
        self.run(&format!(
            "SET LOCAL statement_timeout = {}",
            milliseconds(most)
        ))?;
        self.timed = self.timed.within(most);
        Ok(())
    }

    /// Carries out what may fail without harm to the snapshot, each of its statements limited; what
    /// failed is undone, and the limit taken back.
    ///
    /// # Errors
    /// [`PgError`] where the snapshot itself is lost.
    pub fn attempt<T>(
        &mut self,
        most: Duration,
        attempt: impl FnOnce(&mut Self) -> Result<T, PgError>,
    ) -> Result<Result<T, PgError>, PgError> {
        let before = self.timed;
        self.run("SAVEPOINT attempt")?;
        self.limit_statements(most)?;
        let ended = attempt(self);
        self.timed = before;
        match ended {
            Err(error) if self.run("ROLLBACK TO attempt").is_err() => Err(error),
            Ok(_) => {
                self.run("ROLLBACK TO attempt")?;
                Ok(ended)
            }
            failed => Ok(failed),
        }
    }
}

/// Marks the transaction as one of ours that only reads, for whoever waits for those that may write by what
/// they have read. Nobody takes the lock for itself; where somebody did all the same, the mark is missing.
fn marking() -> String {
    format!("SELECT pg_try_advisory_xact_lock_shared({READS_ONLY})")
}

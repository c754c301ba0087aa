//! One consistent moment of the database, to read from.

use postgres::types::ToSql;
use postgres::{Client, IsolationLevel, Row, Transaction};

use super::PgError;
use super::literal::filled;
use super::prepared::Prepared;
use super::session::statements;
use super::stream::streams;

/// The name of an exported snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName(String);

/// A transaction that is REPEATABLE READ and READ ONLY; ends with no trace when dropped.
pub struct ReadSnapshot<'s> {
    // Dropped first: a pooler may give the session to another backend as soon as the transaction ends.
    prepared: Prepared,
    transaction: Transaction<'s>,
}

statements!(ReadSnapshot<'_>, transaction);
streams!(ReadSnapshot<'_>, transaction);

impl<'s> ReadSnapshot<'s> {
    pub(super) fn begin(client: &'s mut Client) -> Result<Self, PgError> {
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()?;
        Ok(Self {
            prepared: Prepared::default(),
            transaction,
        })
    }

    pub(super) fn begin_as(client: &'s mut Client, name: &SnapshotName) -> Result<Self, PgError> {
        let mut snapshot = Self::begin(client)?;
        // The name is the server's own, of digits, letters and hyphens; it takes no parameter.
        let text = filled("SET TRANSACTION SNAPSHOT $1", [(&*name.0).into()]);
        snapshot.run(&text)?;
        Ok(snapshot)
    }

    /// Lets other sessions read the same moment, for as long as this snapshot lasts.
    ///
    /// # Errors
    /// [`PgError`] where the server does not export it.
    pub fn export(&mut self) -> Result<SnapshotName, PgError> {
        let row = self
            .transaction
            .query_one("SELECT pg_export_snapshot()", &[])?;
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
        self.prepared.query_one(&mut self.transaction, sql, params)
    }

    /// Sets a parameter or opens a cursor: statements without rows that write nothing.
    ///
    /// # Errors
    /// [`PgError`] where the statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        Ok(self.transaction.batch_execute(sql)?)
    }
}

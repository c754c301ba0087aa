//! A session that can only read, and the statements that every kind of session understands.

use postgres::types::ToSql;
use postgres::{Client, Row};

use super::profile::Database;
use super::profile::Purpose;
use super::timed::Timed;
use super::{PgError, ReadSnapshot, SnapshotName, connect};
use crate::config::ConnectionSettings;

/// Statements that return rows. Shared by sessions, snapshots and write transactions, so that a
/// query is written once, whoever runs it.
pub trait Statements {
    /// All rows of a query.
    ///
    /// # Errors
    /// [`PgError`] where the database does not answer with rows.
    fn query(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError>;

    /// The one row of a query that always has one.
    ///
    /// # Errors
    /// [`PgError`], also where there is no row or more than one.
    fn query_one(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, PgError>;

    /// The row of a query that has one or none.
    ///
    /// # Errors
    /// [`PgError`], also where there are more.
    fn query_opt(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, PgError>;
}

/// Implements [`Statements`] for a type with a field that speaks to the driver, and `timed`.
macro_rules! statements {
    ($type:ty, $field:ident) => {
        impl $crate::pg::Statements for $type {
            fn query(
                &mut self,
                sql: &str,
                params: &[&(dyn ::postgres::types::ToSql + Sync)],
            ) -> Result<Vec<::postgres::Row>, $crate::pg::PgError> {
                self.timed.run(|| self.$field.query(sql, params))
            }

            fn query_one(
                &mut self,
                sql: &str,
                params: &[&(dyn ::postgres::types::ToSql + Sync)],
            ) -> Result<::postgres::Row, $crate::pg::PgError> {
                self.timed.run(|| self.$field.query_one(sql, params))
            }

            fn query_opt(
                &mut self,
                sql: &str,
                params: &[&(dyn ::postgres::types::ToSql + Sync)],
            ) -> Result<Option<::postgres::Row>, $crate::pg::PgError> {
                self.timed.run(|| self.$field.query_opt(sql, params))
            }
        }
    };
}
pub(super) use statements;

/// A session whose every transaction is read-only, by the server's word and not by ours alone.
pub struct ReadSession {
    client: Client,
    timed: Timed,
    database: Database,
}

statements!(ReadSession, client);

impl ReadSession {
    /// Opens a read-only session.
    ///
    /// # Errors
    /// [`PgError`] where no server answers, or refuses.
    pub fn open(settings: &ConnectionSettings) -> Result<Self, PgError> {
        let (client, known) = connect::open(settings, Purpose::Reading)?;
        Ok(Self {
            client,
            timed: Timed::new(&known),
            database: Database::of(settings, known),
        })
    }

    /// Refuses a database in which nothing may be begun, since its encoding is not UTF8.
    ///
    /// # Errors
    /// [`PgError::Encoding`].
    pub fn only_in_utf8(&self) -> Result<(), PgError> {
        self.database.only_in_utf8()
    }

    /// Begins a snapshot: everything read through it is of one moment.
    ///
    /// # Errors
    /// [`PgError`] where the transaction cannot begin.
    pub fn snapshot(&mut self) -> Result<ReadSnapshot<'_>, PgError> {
        ReadSnapshot::begin(&mut self.client, self.timed)
    }

    /// Begins a snapshot of the moment that another session has exported.
    ///
    /// # Errors
    /// [`PgError`] where the other's snapshot is gone.
    pub fn snapshot_as(&mut self, name: &SnapshotName) -> Result<ReadSnapshot<'_>, PgError> {
        ReadSnapshot::begin_as(&mut self.client, self.timed, name)
    }
}

/// Reading a row's columns with our own error.
pub trait Columns {
    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// [`PgError`] where the column is not there or has another type: the statement and its reader
    /// disagree, or the table is not what it should be.
    fn read<'r, T: postgres::types::FromSql<'r>>(&'r self, column: usize) -> Result<T, PgError>;
}

impl Columns for Row {
    fn read<'r, T: postgres::types::FromSql<'r>>(&'r self, column: usize) -> Result<T, PgError> {
        Ok(self.try_get(column)?)
    }
}

//! Sessions and transactions that can write.

use std::io::Write as _;

use postgres::types::ToSql;
use postgres::{Client, Row, Transaction};

use super::prepared::Prepared;
use super::stream::streams;
use super::{PgError, Statements, connect};
use crate::config::ConnectionSettings;

/// A session that can write. Only `apply`, `migrate`, `policy` and `sandbox` may open one.
pub struct WriteSession {
    client: Client,
    prepared: Prepared,
}

/// Implements [`Statements`] over prepared statements.
macro_rules! prepared_statements {
    ($type:ty, $field:ident) => {
        impl Statements for $type {
            fn query(
                &mut self,
                sql: &str,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Vec<Row>, PgError> {
                self.prepared.query(&mut self.$field, sql, params)
            }

            fn query_one(
                &mut self,
                sql: &str,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Row, PgError> {
                self.prepared.query_one(&mut self.$field, sql, params)
            }

            fn query_opt(
                &mut self,
                sql: &str,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Option<Row>, PgError> {
                self.prepared.query_opt(&mut self.$field, sql, params)
            }
        }
    };
}

prepared_statements!(WriteSession, client);

impl WriteSession {
    /// Opens a session that can write.
    ///
    /// # Errors
    /// [`PgError`] where no server answers, or refuses.
    pub fn open(settings: &ConnectionSettings) -> Result<Self, PgError> {
        let client = connect::open(settings)?;
        Ok(Self {
            client,
            prepared: Prepared::default(),
        })
    }

    /// Begins a transaction; dropped without [`WriteTransaction::commit`] it is rolled back.
    ///
    /// # Errors
    /// [`PgError`] where the transaction cannot begin.
    pub fn begin(&mut self) -> Result<WriteTransaction<'_>, PgError> {
        Ok(WriteTransaction {
            transaction: self.client.transaction()?,
            prepared: &mut self.prepared,
        })
    }

    /// Runs statements outside a transaction of ours, as `CREATE INDEX CONCURRENTLY` needs; more
    /// than one statement in the text is one implicit transaction to the server.
    ///
    /// # Errors
    /// [`PgError`] where a statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        Ok(self.client.batch_execute(sql)?)
    }

    /// Lets refinery's runner work over this session, by refinery's own driver for it: a migration
    /// and its history row are one transaction, where the runner groups them.
    ///
    /// # Errors
    /// [`PgError`] where a statement fails, or the history is not as the runner expects.
    pub fn migrate(&mut self, runner: &refinery::Runner) -> Result<(), PgError> {
        runner.run(&mut self.client)?;
        Ok(())
    }
}

/// A write transaction.
pub struct WriteTransaction<'s> {
    transaction: Transaction<'s>,
    prepared: &'s mut Prepared,
}

prepared_statements!(WriteTransaction<'_>, transaction);
streams!(WriteTransaction<'_>, transaction);

impl WriteTransaction<'_> {
    /// Runs one statement; how many rows it touched.
    ///
    /// # Errors
    /// [`PgError`] where the statement fails.
    pub fn execute(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        self.prepared.execute(&mut self.transaction, sql, params)
    }

    /// Runs a text of statements without parameters.
    ///
    /// # Errors
    /// [`PgError`] where a statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        Ok(self.transaction.batch_execute(sql)?)
    }

    /// Feeds `COPY … FROM STDIN` with text that `fill` writes; how many rows arrived.
    ///
    /// # Errors
    /// [`PgError`] where the server refuses a row or the stream breaks.
    pub fn copy_in(
        &mut self,
        sql: &str,
        fill: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<u64, PgError> {
        let mut writer = self.transaction.copy_in(sql)?;
        match fill(&mut writer).and_then(|()| writer.flush()) {
            Ok(()) => Ok(writer.finish()?),
            Err(error) => {
                drop(writer);
                Err(PgError::copy(error))
            }
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// [`PgError`]; of class connection, it is unknown whether the commit happened.
    pub fn commit(self) -> Result<(), PgError> {
        Ok(self.transaction.commit()?)
    }
}

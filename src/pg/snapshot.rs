//! One consistent moment of the database, to read from.

use postgres::{Client, IsolationLevel, Transaction};

use super::PgError;
use super::session::statements;

/// A transaction that is REPEATABLE READ and READ ONLY; ends with no trace when dropped.
pub struct ReadSnapshot<'s> {
    transaction: Transaction<'s>,
}

statements!(ReadSnapshot<'_>, transaction);

impl<'s> ReadSnapshot<'s> {
    pub(super) fn begin(client: &'s mut Client) -> Result<Self, PgError> {
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()?;
        Ok(Self { transaction })
    }

    /// Sets a parameter or opens a cursor: statements without rows that write nothing.
    ///
    /// # Errors
    /// [`PgError`] where the statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        Ok(self.transaction.batch_execute(sql)?)
    }
}

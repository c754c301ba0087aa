//! Sessions and transactions that can write.

use std::io::Write as _;
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use postgres::{Client, Row, Transaction};

use super::prepared::Prepared;
use super::profile::Database;
use super::profile::Purpose;
use super::stream::streams;
use super::timed::{Timed, milliseconds};
use super::{Columns as _, PgError, Statements, connect};
use crate::config::ConnectionSettings;

/// A session that can write. Only `apply`, `migrate`, `policy` and `sandbox` may open one.
pub struct WriteSession {
    client: Client,
    prepared: Prepared,
    timed: Timed,
    database: Database,
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
                self.prepared
                    .query(&mut self.$field, self.timed, sql, params)
            }

            fn query_one(
                &mut self,
                sql: &str,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Row, PgError> {
                self.prepared
                    .query_one(&mut self.$field, self.timed, sql, params)
            }

            fn query_opt(
                &mut self,
                sql: &str,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Option<Row>, PgError> {
                self.prepared
                    .query_opt(&mut self.$field, self.timed, sql, params)
            }
        }
    };
}

prepared_statements!(WriteSession, client);

impl WriteSession {
    /// Opens a session to be somebody else in a test, or to set a test up: with the role's own limits.
    ///
    /// # Errors
    /// [`PgError`] where no server answers, or refuses.
    pub fn open(settings: &ConnectionSettings) -> Result<Self, PgError> {
        Self::open_for(settings, Purpose::Equipment)
    }

    /// Opens a session that can write, for a purpose.
    ///
    /// # Errors
    /// [`PgError`] where no server answers, or refuses, or accepts no writes.
    pub fn open_for(settings: &ConnectionSettings, purpose: Purpose) -> Result<Self, PgError> {
        let (client, known) = connect::open(settings, purpose)?;
        if purpose != Purpose::Equipment
            && let Some(refusal) = PgError::no_writes(settings, &known)
        {
            return Err(refusal);
        }
        Ok(Self {
            client,
            prepared: Prepared::default(),
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

    /// Whether the server counts a name's characters as we do, so that it may leave out rows by them.
    pub fn counts_characters(&self) -> bool {
        self.database.is_utf8()
    }

    /// Begins a transaction; dropped without [`WriteTransaction::commit`] it is rolled back.
    ///
    /// # Errors
    /// [`PgError`] where the transaction cannot begin.
    pub fn begin(&mut self) -> Result<WriteTransaction<'_>, PgError> {
        Ok(WriteTransaction {
            transaction: self.timed.run(|| self.client.transaction())?,
            prepared: &mut self.prepared,
            timed: self.timed,
        })
    }

    /// Runs statements outside a transaction of ours, as `CREATE INDEX CONCURRENTLY` needs; more
    /// than one statement in the text is one implicit transaction to the server.
    ///
    /// # Errors
    /// [`PgError`] where a statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        self.timed.run(|| self.client.batch_execute(sql))
    }
}

impl WriteSession {
    /// Runs one statement outside a transaction of ours, bounded by this time alone: a `lock_timeout` would leave an
    /// INVALID index behind at the first long transaction. Then the session's limits are as before.
    ///
    /// # Errors
    /// [`PgError`] where the statement fails.
    pub fn run_unhurried(&mut self, sql: &str, most: Duration) -> Result<(), PgError> {
        const LIMITS: &str =
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')";
        const SET: &str = "SELECT set_config('statement_timeout', $1, false), \
             set_config('lock_timeout', $2, false)";
        let row = self.query_one(LIMITS, &[])?;
        let before: (String, String) = (row.read(0)?, row.read(1)?);
        self.query_one(SET, &[&milliseconds(most), &"0"])?;
        let timed = self.timed.within(most);
        let ran = timed.run(|| self.client.batch_execute(sql));
        let restored = self.query_one(SET, &[&before.0, &before.1]);
        ran.and(restored.map(|_| ()))
    }

    /// Lets refinery's runner work over this session, by refinery's own driver for it: a migration
    /// and its history row are one transaction, where the runner groups them. Its statements limit themselves to
    /// `most`: what is cancelled after so long has timed out.
    ///
    /// # Errors
    /// [`PgError`] where a statement fails, or the history is not as the runner expects.
    pub fn migrate(&mut self, runner: &refinery::Runner, most: Duration) -> Result<(), PgError> {
        let begun = Instant::now();
        let ran = runner.run(&mut self.client);
        ran.map_err(|error| PgError::migration(error, self.timed.within(most).since(begun)))?;
        Ok(())
    }
}

/// A write transaction.
pub struct WriteTransaction<'s> {
    transaction: Transaction<'s>,
    prepared: &'s mut Prepared,
    timed: Timed,
}

prepared_statements!(WriteTransaction<'_>, transaction);
/// Rows of a stream in one answer: a server that cannot get rid of an answer, since its client is frozen,
/// keeps its locks.
const AT_ONCE: i32 = 100;

streams!(WriteTransaction<'_>, transaction, AT_ONCE);

impl WriteTransaction<'_> {
    /// Runs one statement; how many rows it touched.
    ///
    /// # Errors
    /// [`PgError`] where the statement fails.
    pub fn execute(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        self.prepared
            .execute(&mut self.transaction, self.timed, sql, params)
    }

    /// The same transaction where its text limits its statements itself (`SET LOCAL`): what is cancelled after so
    /// long has timed out.
    pub fn within(self, most: Duration) -> Self {
        Self {
            timed: self.timed.within(most),
            ..self
        }
    }

    /// Runs a text of statements without parameters.
    ///
    /// # Errors
    /// [`PgError`] where a statement fails.
    pub fn run(&mut self, sql: &str) -> Result<(), PgError> {
        self.timed.run(|| self.transaction.batch_execute(sql))
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
        let timed = self.timed;
        let mut writer = timed.run(|| self.transaction.copy_in(sql))?;
        match fill(&mut writer).and_then(|()| writer.flush()) {
            Ok(()) => timed.run(|| writer.finish()),
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
        self.timed.run(|| self.transaction.commit())
    }
}

//! Statements that a session has prepared, by their text: an operation sends the same few over and
//! over, and each would otherwise cost an exchange of its own.

use std::collections::HashMap;

use postgres::types::ToSql;
use postgres::{GenericClient, Row, Statement};

use super::PgError;
use super::timed::Timed;

/// How many are kept; then all are forgotten. The texts of one operation are some dozens.
const KEPT: usize = 256;

/// The prepared statements of one session. They outlive transactions, also those rolled back.
#[derive(Default)]
pub(super) struct Prepared(HashMap<String, Statement>);

impl Prepared {
    fn statement(
        &mut self,
        client: &mut impl GenericClient,
        timed: Timed,
        sql: &str,
    ) -> Result<Statement, PgError> {
        if let Some(statement) = self.0.get(sql) {
            return Ok(statement.clone());
        }
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let statement = timed.run(|| client.prepare(sql))?;
        self.0.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) fn query(
        &mut self,
        client: &mut impl GenericClient,
        timed: Timed,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        let statement = self.statement(client, timed, sql)?;
        timed.run(|| client.query(&statement, params))
    }

    pub(super) fn query_one(
        &mut self,
        client: &mut impl GenericClient,
        timed: Timed,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, PgError> {
        let statement = self.statement(client, timed, sql)?;
        timed.run(|| client.query_one(&statement, params))
    }

    pub(super) fn query_opt(
        &mut self,
        client: &mut impl GenericClient,
        timed: Timed,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, PgError> {
        let statement = self.statement(client, timed, sql)?;
        timed.run(|| client.query_opt(&statement, params))
    }

    pub(super) fn execute(
        &mut self,
        client: &mut impl GenericClient,
        timed: Timed,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, PgError> {
        let statement = self.statement(client, timed, sql)?;
        timed.run(|| client.execute(&statement, params))
    }
}

//! Statements whose shape depends on input: sea-query builds them, the driver runs them.
//!
//! Text and values stay apart, so that the text names its parameters and nothing else: a statement of the
//! same shape is prepared once, whatever its values.

use postgres::types::ToSql;
use sea_query::PostgresQueryBuilder;
use sea_query_postgres::{PostgresBinder, PostgresValues};

/// A statement with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    text: String,
    values: PostgresValues,
}

impl Built {
    /// The statement that a builder has composed.
    pub fn of(statement: &impl PostgresBinder) -> Self {
        let (text, values) = statement.build_postgres(PostgresQueryBuilder);
        Self { text, values }
    }

    /// Its text, with `$n` where a value goes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its values, in the order of their numbers.
    pub fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.as_params()
    }
}

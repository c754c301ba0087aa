//! Rows that come some at a time, where nobody can say how many there are.

use std::ops::ControlFlow;

use postgres::types::ToSql;
use postgres::{Row, Transaction};

use super::timed::Timed;
use super::{PgError, Statements};

/// Statements in a transaction, whose rows can be had some at a time.
pub trait Streams: Statements {
    /// Streams a query's rows in batches of at most `batch`, through one portal: memory holds one
    /// batch, whatever the number of rows.
    ///
    /// # Errors
    /// [`PgError`] where the query fails, or what `take` returns.
    fn stream<E: From<PgError>>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        batch: i32,
        take: impl FnMut(Vec<Row>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E>;
}

pub(super) fn through_portal<E: From<PgError>>(
    transaction: &mut Transaction<'_>,
    timed: Timed,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
    batch: i32,
    mut take: impl FnMut(Vec<Row>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let portal = timed.run(|| transaction.bind(sql, params))?;
    loop {
        let rows = timed.run(|| transaction.query_portal(&portal, batch))?;
        if rows.is_empty() || take(rows)?.is_break() {
            return Ok(());
        }
    }
}

/// Implements [`Streams`] for a type with a field that is a transaction of the driver's, and `timed`.
macro_rules! streams {
    ($type:ty, $field:ident) => {
        $crate::pg::stream::streams!($type, $field, i32::MAX);
    };
    ($type:ty, $field:ident, $most:expr) => {
        impl $crate::pg::Streams for $type {
            fn stream<E: From<$crate::pg::PgError>>(
                &mut self,
                sql: &str,
                params: &[&(dyn ::postgres::types::ToSql + Sync)],
                batch: i32,
                take: impl FnMut(Vec<::postgres::Row>) -> Result<::std::ops::ControlFlow<()>, E>,
            ) -> Result<(), E> {
                $crate::pg::stream::through_portal(
                    &mut self.$field,
                    self.timed,
                    sql,
                    params,
                    batch.min($most),
                    take,
                )
            }
        }
    };
}
pub(super) use streams;

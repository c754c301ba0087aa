//! Tags that a pass over a scope left mutable.

use sea_query::{Expr, ExprTrait as _, Order, Query};

use super::scope::{alive_at, tag_in};
use crate::pg::{Built, Columns, PgError, Statements};
use crate::quay::{Scope, TagId, UnixMillis};

/// Names of live mutable tags of a scope with ids below this one: Quay's pass walks by id, and came
/// past them. At most `limit`, spread over all of them, always the same ones.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn left_mutable(
    pg: &mut impl Statements,
    scope: Scope,
    below: TagId,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<String>, PgError> {
    let statement = Built::of(
        Query::select()
            .column("name")
            .from("tag")
            .cond_where(tag_in(scope))
            .and_where(Expr::col("id").lt(below.0))
            .and_where(Expr::col("immutable").not())
            .and_where(Expr::col("hidden").not())
            .cond_where(alive_at(now))
            .order_by_expr(Expr::cust("hashint4(id)"), Order::Asc)
            .order_by("id", Order::Asc)
            .limit(limit.into()),
    );
    pg.query(statement.text(), &statement.values())?
        .iter()
        .map(|row| row.read(0))
        .collect()
}

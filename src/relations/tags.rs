//! Rows of `tag`.

use std::collections::HashSet;
use std::time::Duration;

use sea_query::{Expr, LockBehavior, LockType, Order, Query, SelectStatement};

use super::Written;
use crate::evaluate::TagRow;
use crate::journal::TagChange;
use crate::pg::{Built, Columns, PgError, Row, Statements, WriteTransaction};
use crate::quay::{
    Expiry, Immutability, ManifestId, RepositoryId, TagId, UnixMillis, retarget_lock_key,
};

/// The columns of [`tag_row`], in its order.
pub const TAG_COLUMNS: [&str; 8] = [
    "id",
    "repository_id",
    "name",
    "manifest_id",
    "lifetime_start_ms",
    "lifetime_end_ms",
    "immutable",
    "hidden",
];

/// Whether rows are locked as they are read. A before-image comes only from a locking read: one
/// without the lock may be stale by the time it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLock {
    /// No lock.
    None,
    /// `FOR NO KEY UPDATE SKIP LOCKED`: a row that somebody else holds is left out. Never waits:
    /// Quay's delete locks row, then repository, and would be the deadlock's victim.
    SkipLocked,
}

impl RowLock {
    fn of(self, rows: &mut SelectStatement) {
        match self {
            Self::None => {}
            Self::SkipLocked => {
                rows.lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked);
            }
        }
    }
}

/// Reads a row that was selected by [`TAG_COLUMNS`].
///
/// # Errors
/// [`PgError`] where a column has another type.
pub fn tag_row(row: &Row) -> Result<TagRow, PgError> {
    Ok(TagRow {
        id: TagId(row.read(0)?),
        repository: RepositoryId(row.read(1)?),
        name: row.read(2)?,
        manifest: row.read::<Option<i32>>(3)?.map(ManifestId),
        start: UnixMillis(row.read(4)?),
        expiry: Expiry(row.read::<Option<i64>>(5)?.map(UnixMillis)),
        immutability: Immutability::from_column(row.read(6)?),
        hidden: row.read(7)?,
    })
}

/// The rows with these ids, in id order; fewer where rows are gone, or held by somebody else.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tags_by_id(
    pg: &mut impl Statements,
    ids: &[TagId],
    lock: RowLock,
) -> Result<Vec<TagRow>, PgError> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let mut rows = Query::select();
    rows.columns(TAG_COLUMNS)
        .from("tag")
        .and_where(Expr::cust_with_values("id = ANY ($1)", [ids]))
        .order_by("id", Order::Asc);
    lock.of(&mut rows);
    let statement = Built::of(&rows);
    pg.query(statement.text(), &statement.values())?
        .iter()
        .map(tag_row)
        .collect()
}

/// The rows of one name in a repository: alive ones and those that ended last, at most `limit`.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tags_named(
    pg: &mut impl Statements,
    repository: RepositoryId,
    name: &str,
    limit: u32,
) -> Result<Vec<TagRow>, PgError> {
    pg.query(
        r"
        SELECT id, repository_id, name, manifest_id, lifetime_start_ms, lifetime_end_ms,
            immutable, hidden
        FROM tag
        WHERE repository_id = $1 AND name = $2
        ORDER BY lifetime_end_ms DESC NULLS FIRST, id DESC
        LIMIT $3
        ",
        &[&repository.0, &name, &i64::from(limit)],
    )?
    .iter()
    .map(tag_row)
    .collect()
}

/// Which of these rows have a twin: another row of the same name in the same repository that is
/// alive at `now`. Clocks differ: a row that a push has just ended may look alive, and clearing
/// its end would bring it back.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn names_alive_twice(
    pg: &mut impl Statements,
    ids: &[TagId],
    now: UnixMillis,
) -> Result<HashSet<TagId>, PgError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r"
        SELECT t.id
        FROM tag t
        WHERE t.id = ANY ($1)
            AND EXISTS (
                SELECT FROM tag twin
                WHERE twin.repository_id = t.repository_id AND twin.name = t.name
                    AND twin.id <> t.id AND NOT twin.hidden
                    AND (twin.lifetime_end_ms IS NULL OR twin.lifetime_end_ms > $2)
            )
        ",
        &[&ids, &now.0],
    )?;
    rows.iter().map(|row| Ok(TagId(row.read(0)?))).collect()
}

/// Gives tags their new `immutable` and `lifetime_end_ms`, and says what became of each; the rows are
/// locked by the caller.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn write_tags(
    tx: &mut WriteTransaction<'_>,
    changes: &[TagChange],
) -> Result<Written, PgError> {
    if changes.is_empty() {
        return Ok(Written::default());
    }
    let ids: Vec<i32> = changes.iter().map(|c| c.tag.0).collect();
    let immutable: Vec<bool> = changes
        .iter()
        .map(|c| c.after.immutability.as_column())
        .collect();
    let ends: Vec<Option<i64>> = changes
        .iter()
        .map(|c| c.after.expiry.0.map(|end| end.0))
        .collect();
    let rows = tx.query(
        r"
        UPDATE tag
        SET immutable = change.immutable, lifetime_end_ms = change.lifetime_end_ms
        FROM unnest($1::int[], $2::bool[], $3::bigint[])
            AS change (id, immutable, lifetime_end_ms)
        WHERE tag.id = change.id
        RETURNING tag.id, tag.repository_id, tag.name, tag.manifest_id, tag.lifetime_start_ms,
            tag.lifetime_end_ms, tag.immutable, tag.hidden
        ",
        &[&ids, &immutable, &ends],
    )?;
    let rows = rows
        .iter()
        .map(tag_row)
        .collect::<Result<Vec<TagRow>, _>>()?;
    Ok(Written::of(changes, rows))
}

/// Whether somebody waits for the lock of [`lock_repository`]. pg_locks shows a 64-bit key as two
/// halves, with 1 in `objsubid`.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn is_wanted(tx: &mut WriteTransaction<'_>, id: RepositoryId) -> Result<bool, PgError> {
    let row = tx.query_one(
        r"
        SELECT EXISTS (
            SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND classid::bigint = ($1::bigint >> 32) & 4294967295
                AND objid::bigint = $1::bigint & 4294967295
        )
        ",
        &[&retarget_lock_key(id)],
    )?;
    row.read(0)
}

/// Takes the lock with which Quay serialises changes of a repository's tags, until the transaction
/// ends. A statement of its own: rows that are read after it are as the last holder left them.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody holds it for longer than we wait.
pub fn lock_repository(tx: &mut WriteTransaction<'_>, id: RepositoryId) -> Result<(), PgError> {
    tx.query_one(
        "SELECT pg_advisory_xact_lock($1)",
        &[&retarget_lock_key(id)],
    )?;
    Ok(())
}

/// The same; the transaction's later locks are waited for no longer than this. In one exchange, since
/// a list is evaluated from the left.
///
/// # Errors
/// As [`lock_repository`].
pub fn lock_repository_limiting_waits(
    tx: &mut WriteTransaction<'_>,
    id: RepositoryId,
    limit: Duration,
) -> Result<(), PgError> {
    tx.query_one(
        "SELECT pg_advisory_xact_lock($1), set_config('lock_timeout', $2, true)",
        &[&retarget_lock_key(id), &format!("{}ms", limit.as_millis())],
    )?;
    Ok(())
}

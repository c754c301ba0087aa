//! Rows of `tag`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Written;
use crate::evaluate::TagRow;
use crate::journal::TagChange;
use crate::pg::{Columns, PgError, Row, Statements, WriteTransaction};
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

/// The most that one answer holds of rows' texts and of what surrounds them. A server that cannot get rid of an
/// answer, since its client is frozen, is not idle: no time-out of its own ends it, and it keeps its
/// locks. So what is read under a lock fits into what the connection itself takes.
pub(super) const MOST_BYTES: i32 = 48 * 1024;
/// What a tag's row takes in an answer beside its name.
const TAG_BYTES: i32 = 80;

/// All that are asked for are locked; those that make an answer too large are asked for again.
macro_rules! by_id {
    ($lock:literal) => {
        concat!(
            "WITH had AS MATERIALIZED (
                SELECT id, repository_id, name, manifest_id, lifetime_start_ms, lifetime_end_ms,
                    immutable, hidden
                FROM tag
                WHERE id = ANY ($1)
                ORDER BY id ",
            $lock,
            "
            ), sized AS (
                SELECT *, octet_length(name) + $2::int AS own,
                    sum(octet_length(name) + $2::int) OVER (ORDER BY id) AS size
                FROM had
            )
            SELECT id, repository_id, name, manifest_id, lifetime_start_ms, lifetime_end_ms,
                immutable, hidden, size > $3::bigint
            FROM sized
            WHERE size - own <= $3::bigint
            ORDER BY id"
        )
    };
}

const BY_ID: &str = by_id!("");
const BY_ID_LOCKED: &str = by_id!("FOR NO KEY UPDATE SKIP LOCKED");

/// Rows that fit into an answer with names of usual lengths.
const USUALLY_FIT: usize = 400;

/// The rows with these ids, in id order; fewer where rows are gone, or held by somebody else.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tags_by_id(
    pg: &mut impl Statements,
    ids: &[TagId],
    lock: RowLock,
) -> Result<Vec<TagRow>, PgError> {
    let mut ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    let sql = match lock {
        RowLock::None => BY_ID,
        RowLock::SkipLocked => BY_ID_LOCKED,
    };
    let mut rows = Vec::with_capacity(ids.len());
    for some in ids.chunks(USUALLY_FIT) {
        let mut left = some;
        while !left.is_empty() {
            let mut cut_off = None;
            for row in &pg.query(sql, &[&left, &TAG_BYTES, &i64::from(MOST_BYTES)])? {
                let tag = tag_row(row)?;
                if row.read(8)? {
                    cut_off = Some(tag.id.0);
                }
                rows.push(tag);
            }
            let done = cut_off.map_or(left.len(), |last| left.partition_point(|id| *id <= last));
            left = &left[done..];
        }
    }
    Ok(rows)
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
/// locked by the caller. `rows` are they before: the lengths of their names tell how many one answer holds.
///
/// # Errors
/// [`PgError`] where the statement fails.
pub fn write_tags<'r>(
    tx: &mut WriteTransaction<'_>,
    changes: &[TagChange],
    rows: impl IntoIterator<Item = &'r TagRow>,
) -> Result<Written, PgError> {
    let lengths: HashMap<TagId, usize> = rows
        .into_iter()
        .map(|row| (row.id, row.name.len()))
        .collect();
    let length = |change: &TagChange| lengths.get(&change.tag).copied().unwrap_or_default();
    let mut rows = Vec::with_capacity(changes.len());
    for some in fitting(changes, length) {
        let ids: Vec<i32> = some.iter().map(|c| c.tag.0).collect();
        let immutable: Vec<bool> = some
            .iter()
            .map(|c| c.after.immutability.as_column())
            .collect();
        let ends: Vec<Option<i64>> = some
            .iter()
            .map(|c| c.after.expiry.0.map(|end| end.0))
            .collect();
        let written = tx.query(
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
        for row in &written {
            rows.push(tag_row(row)?);
        }
    }
    Ok(Written::of(changes, rows))
}

/// Cuts items into runs whose rows fit into one answer, each of one item at least.
fn fitting<T>(items: &[T], length: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
    let beside = usize::try_from(TAG_BYTES).unwrap_or(0);
    let (mut runs, mut begin, mut size) = (Vec::new(), 0, 0);
    for (index, item) in items.iter().enumerate() {
        let more = length(item) + beside;
        if size + more > most && index > begin {
            runs.push(&items[begin..index]);
            (begin, size) = (index, 0);
        }
        size += more;
    }
    if begin < items.len() {
        runs.push(&items[begin..]);
    }
    runs
}

/// Whether somebody waits for one of the locks of [`lock_repository`]. pg_locks shows a 64-bit key as two
/// halves, with 1 in `objsubid`.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn is_wanted(tx: &mut WriteTransaction<'_>, ids: &[RepositoryId]) -> Result<bool, PgError> {
    let keys: Vec<i64> = ids.iter().map(|id| retarget_lock_key(*id)).collect();
    let row = tx.query_one(
        r"
        SELECT EXISTS (
            SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (classid::bigint << 32 | objid::bigint) = ANY ($1)
        )
        ",
        &[&keys],
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

/// The same, waiting for it no longer than this, or than the session waits for any lock where that is less. In one
/// exchange, since a list is evaluated from the left.
///
/// # Errors
/// As [`lock_repository`].
pub fn lock_repository_within(
    tx: &mut WriteTransaction<'_>,
    id: RepositoryId,
    limit: Duration,
) -> Result<(), PgError> {
    tx.query_one(
        r"
        SELECT set_config('lock_timeout', (1000 * extract(epoch FROM
                least(limits.usual::interval, $2::text::interval)))::bigint::text, true),
            pg_advisory_xact_lock($1),
            set_config('lock_timeout', limits.usual, true)
        FROM (SELECT current_setting('lock_timeout') AS usual OFFSET 0) limits
        ",
        &[
            &retarget_lock_key(id),
            &format!("{} milliseconds", limit.as_millis()),
        ],
    )?;
    Ok(())
}

/// Takes the same lock of each of these repositories where nobody has it; those of which somebody has. Nothing is waited for.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn try_lock_repositories(
    tx: &mut WriteTransaction<'_>,
    ids: &[RepositoryId],
) -> Result<Vec<RepositoryId>, PgError> {
    let numbers: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let keys: Vec<i64> = ids.iter().map(|id| retarget_lock_key(*id)).collect();
    let rows = tx.query(
        r"
        SELECT asked.id
        FROM unnest($1::int[], $2::bigint[]) AS asked (id, key)
        WHERE NOT pg_try_advisory_xact_lock(asked.key)
        ",
        &[&numbers, &keys],
    )?;
    rows.iter()
        .map(|row| row.read(0).map(RepositoryId))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn what_is_written_together_fits_into_one_answer() {
        for (names, runs) in [
            (vec![], vec![]),
            (vec![20; 400], vec![400]),
            (vec![20; 1_000], vec![491, 491, 18]),
            (vec![1_020; 100], vec![44, 44, 12]),
            (vec![100_000, 1, 100_000], vec![1, 1, 1]),
        ] {
            let found: Vec<usize> = fitting(&names, |size: &usize| *size)
                .iter()
                .map(|run| run.len())
                .collect();
            assert_eq!(found, runs);
        }
    }
}

//! One pass over the live tags of a snapshot.

use super::ScanError;
use crate::evaluate::{TagRow, TagSink};
use crate::pg::{Columns, PgError, ReadSnapshot, Statements};
use crate::quay::{RepositoryId, UnixMillis};
use crate::relations::{TAG_COLUMNS, tag_row};

/// Rows a message exchange: large enough that the exchange does not count, small enough that a
/// batch in memory does not either.
const BATCH: i32 = 10_000;

/// Streams every live tag into the sink, or those of some repositories.
///
/// # Errors
/// [`ScanError`] where the query fails, or what the sink returns.
pub fn tags<S>(
    snapshot: &mut ReadSnapshot<'_>,
    now: UnixMillis,
    repositories: Option<&[RepositoryId]>,
    sink: &mut S,
) -> Result<(), S::Error>
where
    S: TagSink,
    S::Error: From<ScanError> + From<PgError>,
{
    let repositories: Option<Vec<i32>> =
        repositories.map(|ids| ids.iter().map(|id| id.0).collect());
    snapshot.stream(
        &format!(
            r"
            SELECT {TAG_COLUMNS}
            FROM tag
            WHERE NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1)
                AND ($2::int[] IS NULL OR repository_id = ANY ($2))
            "
        ),
        &[&now.0, &repositories],
        BATCH,
        |rows| {
            let batch: Vec<TagRow> = rows.iter().map(tag_row).collect::<Result<_, PgError>>()?;
            sink.take(batch)
        },
    )
}

/// How many rows `tag` has, as the planner believes; for progress only.
///
/// # Errors
/// [`ScanError`] where the server does not answer.
pub fn estimated_tags(pg: &mut impl Statements) -> Result<u64, ScanError> {
    let row = pg.query_one(
        "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'tag'::regclass",
        &[],
    )?;
    Ok(u64::try_from(row.read::<i64>(0)?).unwrap_or(0))
}

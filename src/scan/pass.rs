//! One pass over the tags of a snapshot that the rules are about.

use super::{ScanError, Shard};
use crate::evaluate::{TagRow, TagSink};
use crate::pg::{Columns, PgError, ReadSnapshot, Statements, Streams as _};
use crate::quay::{RepositoryId, UnixMillis};
use crate::relations::{TAG_COLUMNS, tag_row};
use crate::rules::{Fact, Rule, SubjectKind};

/// Rows a message exchange: large enough that the exchange does not count, small enough that a
/// batch in memory does not either.
const BATCH: i32 = 10_000;

/// Which rows of `tag` are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// As of when rows are alive.
    pub now: UnixMillis,
    /// Only those of these repositories.
    pub repositories: Option<Vec<RepositoryId>>,
    /// Only those of this part.
    pub shard: Shard,
    live: bool,
    dead: bool,
}

impl Wanted {
    /// What the rules are about: live rows, dead ones that are immutable, both or neither.
    pub fn by(rules: &[Rule], now: UnixMillis) -> Self {
        let about = |fact: Fact| {
            rules
                .iter()
                .any(|rule| rule.subject == SubjectKind::Tag && rule.condition.contains(&fact))
        };
        Self {
            now,
            repositories: None,
            shard: Shard::default(),
            live: about(Fact::Live),
            dead: about(Fact::Dead),
        }
    }

    /// Whether no row is wanted.
    pub fn is_nothing(&self) -> bool {
        !(self.live || self.dead)
    }
}

/// Streams every tag that is wanted into the sink.
///
/// # Errors
/// [`ScanError`] where the query fails, or what the sink returns.
pub fn tags<S>(
    snapshot: &mut ReadSnapshot<'_>,
    wanted: &Wanted,
    sink: &mut S,
) -> Result<(), S::Error>
where
    S: TagSink,
    S::Error: From<ScanError> + From<PgError>,
{
    let repositories: Option<Vec<i32>> = wanted
        .repositories
        .as_ref()
        .map(|ids| ids.iter().map(|id| id.0).collect());
    let (shard, shards) = wanted.shard.parts();
    snapshot.stream(
        &format!(
            r"
            SELECT {TAG_COLUMNS}
            FROM tag
            WHERE ($2 AND NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1)
                    OR $3 AND immutable AND lifetime_end_ms <= $1)
                AND ($4::int[] IS NULL OR repository_id = ANY ($4))
                AND ($6::int = 1 OR repository_id % $6 = $5::int)
            "
        ),
        &[
            &wanted.now.0,
            &wanted.live,
            &wanted.dead,
            &repositories,
            &shard,
            &shards,
        ],
        BATCH,
        |rows| {
            let batch: Vec<TagRow> = rows.iter().map(tag_row).collect::<Result<_, PgError>>()?;
            sink.take(batch)
        },
    )
}

/// How many rows `tag` has, as the planner believes, or by its size where nobody has counted them; for
/// progress only.
///
/// # Errors
/// [`ScanError`] where the server does not answer.
pub fn estimated_tags(pg: &mut impl Statements) -> Result<u64, ScanError> {
    let row = pg.query_one(
        "SELECT CASE WHEN reltuples > 0 THEN reltuples::bigint ELSE pg_relation_size(oid) / 90 END
            FROM pg_class WHERE oid = 'tag'::regclass",
        &[],
    )?;
    Ok(u64::try_from(row.read::<i64>(0)?).unwrap_or(0))
}

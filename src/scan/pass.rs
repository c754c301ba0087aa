//! One pass over the tags of a snapshot that the rules are about.

use sea_query::{Cond, Expr, ExprTrait as _, Query};

use super::{ScanError, Shard};
use crate::evaluate::{TagRow, TagSink};
use crate::pg::{Built, Columns, PgError, ReadSnapshot, Statements, Streams as _};
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
    // No condition at all would be every row.
    if wanted.is_nothing() {
        return Ok(());
    }
    let alive = Cond::all().add(Expr::col("hidden").not()).add(
        Cond::any()
            .add(Expr::col("lifetime_end_ms").is_null())
            .add(Expr::col("lifetime_end_ms").gt(wanted.now.0)),
    );
    let dead = Cond::all()
        .add(Expr::col("immutable"))
        .add(Expr::col("lifetime_end_ms").lte(wanted.now.0));
    let repositories = wanted.repositories.as_ref().map(|ids| {
        let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
        Expr::cust_with_values("repository_id = ANY ($1)", [ids])
    });
    let shard = match wanted.shard.parts() {
        (_, 1) => None,
        (shard, shards) => Some(Expr::col("repository_id").modulo(shards).eq(shard)),
    };
    let statement = Built::of(
        Query::select()
            .columns(TAG_COLUMNS)
            .from("tag")
            .cond_where(
                Cond::any()
                    .add_option(wanted.live.then_some(alive))
                    .add_option(wanted.dead.then_some(dead)),
            )
            .and_where_option(repositories)
            .and_where_option(shard),
    );
    snapshot.stream(statement.text(), &statement.values(), BATCH, |rows| {
        let batch: Vec<TagRow> = rows.iter().map(tag_row).collect::<Result<_, PgError>>()?;
        sink.take(batch)
    })
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

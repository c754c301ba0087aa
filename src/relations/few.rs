//! Immutable tags by Quay's own index, where they are so few that most pages need no look.

use sea_query::{Expr, ExprTrait as _, Query};

use super::blocks::{TagsAt, mark};
use crate::evaluate::Mark;
use crate::pg::{Built, Columns, PgError, ReadSnapshot, Statements, Streams};

/// One tag in so many may be immutable. Each is fetched by itself and sent as a row of its own, which
/// costs ten times what a row costs that is passed by.
const FEW: f64 = 50.0;

/// A page that is read by itself takes as long as so many that are read in turn, where the table does
/// not lie in memory.
const PAGES_IN_TURN: f64 = 50.0;

/// Rows a message exchange.
const BATCH: i32 = 10_000;

/// Repositories by their ids, whether there is a row of them or not: from the first up to, and without,
/// the second; where one is not given, there is no end on that side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repositories {
    /// The first.
    pub from: Option<i32>,
    /// The one after the last.
    pub to: Option<i32>,
}

/// What the statistics say of immutable tags.
#[derive(Clone, Debug, PartialEq)]
struct Statistics {
    tags: f64,
    pages: f64,
    /// Immutable tags among all.
    share: f64,
    /// Whether the planner thinks that the table may lie in memory.
    in_memory: bool,
}

impl Statistics {
    /// Whether the index is the shorter way.
    fn are_few(&self) -> bool {
        let immutable = self.share * self.tags;
        self.tags > 0.0
            && self.share * FEW <= 1.0
            && (self.in_memory || immutable * PAGES_IN_TURN <= self.pages)
    }
}

/// Whether `tag` has an index that the planner may use, whole, whose first columns are these.
fn is_indexed(pg: &mut impl Statements, columns: &[&str]) -> Result<bool, PgError> {
    let row = pg.query_one(
        r"
        SELECT EXISTS (
            SELECT FROM pg_index i
            JOIN pg_class c ON c.oid = i.indexrelid
            JOIN pg_am m ON m.oid = c.relam
            WHERE i.indrelid = 'tag'::regclass AND m.amname = 'btree'
                AND i.indisvalid AND i.indisready AND i.indpred IS NULL
                AND ARRAY(SELECT a.attname::text
                        FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
                        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                        WHERE k.place <= cardinality($1::text[])
                        ORDER BY k.place) = $1
        )
        ",
        &[&columns],
    )?;
    row.read(0)
}

/// The largest repository id that a tag has, gone repositories included; none where there is no tag,
/// or where no index tells it at once.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn largest_repository_of_tags(pg: &mut impl Statements) -> Result<Option<i32>, PgError> {
    if !is_indexed(pg, &["repository_id"])? {
        return Ok(None);
    }
    let row = pg.query_one("SELECT max(repository_id) FROM tag", &[])?;
    row.read(0)
}

/// All repositories in at most so many ranges, by which the index finds immutable tags faster than the
/// table does; none where it does not, or where nobody knows. A server that was upgraded or never
/// analyzed has no statistics.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn ranges_of_few_immutable_tags(
    pg: &mut impl Statements,
    at_most: usize,
) -> Result<Option<Vec<Repositories>>, PgError> {
    if !is_indexed(pg, &["repository_id", "immutable"])? {
        return Ok(None);
    }
    let row = pg.query_one(
        r"
        SELECT greatest(c.reltuples, 0)::float8,
            pg_relation_size(c.oid)::float8 / current_setting('block_size')::float8,
            pg_relation_size(c.oid) <= pg_size_bytes(current_setting('effective_cache_size')),
            (SELECT i.most_common_vals::text::bool[] FROM pg_stats i
                WHERE (i.schemaname, i.tablename) = (n.nspname, c.relname)
                    AND i.attname = 'immutable' AND NOT i.inherited),
            (SELECT i.most_common_freqs FROM pg_stats i
                WHERE (i.schemaname, i.tablename) = (n.nspname, c.relname)
                    AND i.attname = 'immutable' AND NOT i.inherited),
            ARRAY(SELECT DISTINCT unnest(r.most_common_vals::text::int[]
                        || r.histogram_bounds::text::int[]) FROM pg_stats r
                WHERE (r.schemaname, r.tablename) = (n.nspname, c.relname)
                    AND r.attname = 'repository_id' AND NOT r.inherited
                ORDER BY 1)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = 'tag'::regclass
        ",
        &[],
    )?;
    let values: Option<Vec<bool>> = row.read(3)?;
    let frequencies: Option<Vec<f32>> = row.read(4)?;
    let (Some(values), Some(frequencies)) = (values, frequencies) else {
        return Ok(None);
    };
    // A value that a sample had but once is not among the common ones: what is not false may be true.
    let mut common = values.iter().zip(frequencies);
    let Some((_, mutable)) = common.find(|(value, _)| !**value) else {
        return Ok(None);
    };
    let statistics = Statistics {
        tags: row.read(0)?,
        pages: row.read(1)?,
        share: 1.0 - f64::from(mutable),
        in_memory: row.read(2)?,
    };
    let few = statistics.are_few();
    tracing::debug!(?statistics, few, "immutable tags");
    let ids: Vec<i32> = row.read(5)?;
    Ok(few.then(|| ranges(&ids, at_most)))
}

/// Ranges between some of these ids, which stand in order; together they hold every id there can be.
fn ranges(ids: &[i32], at_most: usize) -> Vec<Repositories> {
    let inner = at_most.saturating_sub(1);
    let step = ids.len() / (inner + 1) + 1;
    let bounds = ids.iter().skip(step).step_by(step).take(inner).copied();
    let bounds: Vec<Option<i32>> = [None]
        .into_iter()
        .chain(bounds.map(Some))
        .chain([None])
        .collect();
    let pairs = bounds.windows(2);
    pairs
        .map(|pair| Repositories {
            from: pair[0],
            to: pair[1],
        })
        .collect()
}

/// Lets this transaction take the index that it was looked at for: the planner, which thinks of pages on
/// disk, would read the whole table for much less than the share that is few here.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn prefer_indexes(snapshot: &mut ReadSnapshot<'_>) -> Result<(), PgError> {
    snapshot.run("SET LOCAL enable_seqscan = off")
}

/// Gives each tag of these repositories that is handed over to `take`; how many there were.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tags_of_repositories(
    pg: &mut impl Streams,
    tags: &TagsAt,
    repositories: Repositories,
    mut take: impl FnMut(Mark, &str),
) -> Result<u64, PgError> {
    let Repositories { from, to } = repositories;
    let id = || Expr::col("repository_id");
    let statement = Built::of(
        Query::select()
            .column("name")
            .expr(mark(tags.now))
            .from("tag")
            .and_where_option(from.map(|from| id().gte(from)))
            .and_where_option(to.map(|to| id().lt(to)))
            .cond_where(tags.rows()),
    );
    let mut given = 0;
    pg.stream(statement.text(), &statement.values(), BATCH, |rows| {
        given += rows.len() as u64;
        for row in &rows {
            take(Mark(row.read(1)?), row.read(0)?);
        }
        Ok::<_, PgError>(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_every_id_once_whatever_the_statistics_know() {
        for known in [0, 1, 2, 7, 8, 9, 100, 115] {
            let ids: Vec<i32> = (0..known).map(|n| 3 * n + 1).collect();
            for at_most in 0..12 {
                let ranges = ranges(&ids, at_most);
                assert!(ranges.len() <= at_most.max(1), "{known} {at_most}");
                for id in [i32::MIN, -1, 0, 1, 2, 150, 299, 300, i32::MAX] {
                    let holds = |range: &&Repositories| {
                        range.from.is_none_or(|from| from <= id)
                            && range.to.is_none_or(|to| id < to)
                    };
                    assert_eq!(ranges.iter().filter(holds).count(), 1, "{id} {ranges:?}");
                }
            }
        }
        assert_eq!(ranges(&(0..100).collect::<Vec<i32>>(), 8).len(), 8);
    }

    #[test]
    fn immutable_tags_are_few_where_the_index_reads_less() {
        let statistics = |share: f64, in_memory: bool| Statistics {
            tags: 1e7,
            pages: 1e5,
            share,
            in_memory,
        };
        for (share, in_memory, few) in [
            (0.0, true, true),
            (0.01, true, true),
            (0.03, true, false),
            (0.3, true, false),
            (0.01, false, false),
            (0.0001, false, true),
        ] {
            assert_eq!(statistics(share, in_memory).are_few(), few, "{share}");
        }
        let unknown = Statistics {
            tags: 0.0,
            ..statistics(0.0, true)
        };
        assert!(!unknown.are_few(), "a table that nobody has counted");
    }
}

//! Tags by the block: the server joins the names of a range of pages into one value.
//!
//! Messages cost, not bytes: eighty thousand rows in one message reach us several times faster
//! than in as many messages (docs/scan.md has the figures).

use sea_query::{Cond, Expr, ExprTrait as _, Query, Value};

use crate::evaluate::{Mark, TagRow};
use crate::pattern::Openings;
use crate::pg::{Built, Columns, PgError, ReadSnapshot, Statements};
use crate::quay::{RepositoryId, UnixMillis};

use super::tags::tag_row;

/// The largest repository id whose mark fits into an `integer`.
pub const LARGEST_MARKED: i32 = i32::MAX >> 3;

/// What stands between two names. A name that holds it makes the block's sums differ.
const SEPARATOR: u8 = b'\n';

/// Which tags are meant: live ones, and dead ones that are immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagsAt {
    /// As of when.
    pub now: UnixMillis,
    /// Only those of this part of the repositories, and how many parts there are.
    pub part: (i32, i32),
    /// Which of them are handed over.
    pub handed: Handed,
}

/// Which tags a scan hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// All that are meant.
    All,
    /// Immutable ones: no rule is about others.
    Immutable,
    /// Immutable ones, and those whose name begins with one of these ASCII characters, or with any
    /// other character than ASCII, or is empty: no rule is about others.
    Beginning(Openings),
}

impl Handed {
    /// Whether a row is meant, as of `now`, and handed over. One CASE, so that the tests are made in
    /// this order and not in the planner's: most rows are turned away by the first or the second.
    fn condition(self, now: UnixMillis) -> Expr {
        match self {
            Self::All => Expr::cust_with_values(
                "CASE WHEN lifetime_end_ms IS NULL OR lifetime_end_ms > $1 THEN NOT hidden
                    ELSE immutable END",
                [now.0],
            ),
            Self::Immutable => Expr::cust_with_values(
                "immutable AND (NOT hidden OR lifetime_end_ms <= $1)",
                [now.0],
            ),
            Self::Beginning(openings) => Expr::cust_with_values(
                "CASE WHEN immutable THEN NOT hidden OR lifetime_end_ms <= $1
                    WHEN get_bit($2::bytea, least(ascii(name), 128)) = 0 THEN false
                    ELSE NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1) END",
                [Value::from(now.0), bits(openings).into()],
            ),
        }
    }
}

/// A bit for each code point that `ascii` may return, from the lowest bit of the first byte on. `ascii`
/// is the first character's code point where the server's encoding is UTF-8, and 0 of an empty text; the
/// last bit is that of all characters beyond ASCII.
fn bits(openings: Openings) -> Vec<u8> {
    let mut bits = vec![0; 17];
    for code in 0..=128_u8 {
        if code == 0 || code == 128 || openings.holds(code) {
            bits[usize::from(code / 8)] |= 1 << (code % 8);
        }
    }
    bits
}

/// Whether the server tells a name's first character, whatever it is.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tells_first_characters(pg: &mut impl Statements) -> Result<bool, PgError> {
    let row = pg.query_one("SELECT current_setting('server_encoding') = 'UTF8'", &[])?;
    row.read(0)
}

/// A range of pages; the last one has no end, for what was added since they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The first page.
    pub from: u32,
    /// The page after the last.
    pub to: Option<u32>,
}

impl Pages {
    fn bounds(self) -> (i64, i64) {
        (self.from.into(), self.to.unwrap_or(u32::MAX).into())
    }
}

impl TagsAt {
    /// Which rows are handed over, of the part that is asked for.
    pub(super) fn rows(&self) -> Cond {
        let rows = Cond::all().add(self.handed.condition(self.now));
        match self.part {
            (_, 1) => rows,
            (part, parts) => rows.add(Expr::col("repository_id").modulo(parts).eq(part)),
        }
    }

    /// The same, of some pages. The driver knows no tid; PostgreSQL makes a range of pages of any
    /// expression that holds no column.
    fn within(&self, pages: Pages) -> Cond {
        let (from, to) = pages.bounds();
        let here = Expr::cust_with_values(
            "ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid",
            [from, to],
        );
        Cond::all().add(here).add(self.rows())
    }
}

/// A tag's mark as of `now`. Most tags have no end, and their mark takes one comparison and one sum.
/// The product, unlike a shift, is an error where there is no room.
pub(super) fn mark(now: UnixMillis) -> Expr {
    Expr::cust_with_values(
        "repository_id * 8 + CASE
            WHEN lifetime_end_ms IS NULL THEN CASE WHEN immutable THEN 2 ELSE 0 END
            WHEN lifetime_end_ms <= $1 THEN CASE WHEN immutable THEN 7 ELSE 5 END
            WHEN immutable THEN 3 ELSE 1
        END",
        [now.0],
    )
}

/// How many pages `tag` has.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tag_pages(pg: &mut impl Statements) -> Result<u32, PgError> {
    let row = pg.query_one(
        "SELECT pg_relation_size('tag') / current_setting('block_size')::bigint",
        &[],
    )?;
    Ok(u32::try_from(row.read::<i64>(0)?).unwrap_or(u32::MAX))
}

/// Gives each tag of a range of pages that is handed over to `take`; how many there were.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tags_of_pages(
    pg: &mut ReadSnapshot<'_>,
    tags: &TagsAt,
    pages: Pages,
    mut take: impl FnMut(Mark, &str),
) -> Result<u64, PgError> {
    let statement = Built::of(
        Query::select()
            .expr(Expr::cust(r"string_agg(name, E'\n')"))
            .expr(Expr::cust_with_expr(
                "string_agg(int4send($1), '')",
                mark(tags.now),
            ))
            .from("tag")
            .cond_where(tags.within(pages)),
    );
    let row = pg.query_one_of_many(statement.text(), &statement.values())?;
    let (Some(names), Some(marks)) = (row.read::<Option<&str>>(0)?, row.read::<Option<&[u8]>>(1)?)
    else {
        return Ok(0);
    };
    let (marks, _) = marks.as_chunks::<4>();
    let separators = names.bytes().filter(|byte| *byte == SEPARATOR).count();
    if separators + 1 != marks.len() {
        return one_by_one(pg, tags, pages, take);
    }
    for (mark, name) in marks.iter().zip(names.split(char::from(SEPARATOR))) {
        take(Mark(i32::from_be_bytes(*mark)), name);
    }
    Ok(marks.len() as u64)
}

/// The same where a name holds the separator.
fn one_by_one(
    pg: &mut ReadSnapshot<'_>,
    tags: &TagsAt,
    pages: Pages,
    mut take: impl FnMut(Mark, &str),
) -> Result<u64, PgError> {
    let statement = Built::of(
        Query::select()
            .column("name")
            .expr(mark(tags.now))
            .from("tag")
            .cond_where(tags.within(pages)),
    );
    let rows = pg.query(statement.text(), &statement.values())?;
    for row in &rows {
        take(Mark(row.read(1)?), row.read(0)?);
    }
    Ok(rows.len() as u64)
}

/// The rows of these names, whole: live ones, and dead ones that are immutable.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn marked_tags_named(
    pg: &mut impl Statements,
    now: UnixMillis,
    repositories: &[RepositoryId],
    names: &[&str],
) -> Result<Vec<TagRow>, PgError> {
    let repositories: Vec<i32> = repositories.iter().map(|id| id.0).collect();
    pg.query(
        r"
        SELECT id, repository_id, name, manifest_id, lifetime_start_ms, lifetime_end_ms,
            immutable, hidden
        FROM (SELECT DISTINCT * FROM unnest($2::int[], $3::text[]) AS u (repository_id, name))
            AS wanted
        JOIN tag USING (repository_id, name)
        WHERE NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1)
            OR immutable AND lifetime_end_ms <= $1
        ORDER BY id
        ",
        &[&now.0, &repositories, &names],
    )?
    .iter()
    .map(tag_row)
    .collect()
}

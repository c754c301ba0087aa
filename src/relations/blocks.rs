//! Tags by the block: the server joins the names of a range of pages into one value.
//!
//! Messages cost, not bytes: eighty thousand rows in one message reach us several times faster
//! than in as many messages (docs/scan.md has the figures).

use crate::evaluate::{Mark, TagRow};
use crate::pg::{Columns, PgError, Statements};
use crate::quay::{RepositoryId, UnixMillis};

use super::tags::{TAG_COLUMNS, tag_row};

/// The largest repository id whose mark fits into an `integer`.
pub const LARGEST_MARKED: i32 = i32::MAX >> 3;

/// What stands between two names. A name that holds it makes the block's sums differ.
const SEPARATOR: char = '\n';

/// Which tags are meant: live ones, and dead ones that are immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagsAt {
    /// As of when.
    pub now: UnixMillis,
    /// Only those of this part of the repositories, and how many parts there are.
    pub part: (i32, i32),
    /// Which of them are handed over; the others are only counted.
    pub handed: Handed,
}

/// Which tags a scan hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// All that are meant.
    All,
    /// Immutable ones: no rule is about others.
    Immutable,
}

impl Handed {
    fn condition(self) -> &'static str {
        match self {
            Self::All => "true",
            Self::Immutable => "immutable",
        }
    }
}

/// A range of pages; the last one has no end, for what was added since they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The first page.
    pub from: u32,
    /// The page after the last.
    pub to: Option<u32>,
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

/// Gives each such tag of a range of pages to `take`; how many there were.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn tags_of_pages(
    pg: &mut impl Statements,
    tags: &TagsAt,
    pages: Pages,
    mut take: impl FnMut(Mark, &str),
) -> Result<u64, PgError> {
    let to = pages.to.unwrap_or(u32::MAX);
    let (part, parts) = tags.part;
    let handed = tags.handed.condition();
    // Page numbers are ours, not a user's; the planner makes a range of pages of literals only.
    let row = pg.query_one(
        &format!(
            r"
            SELECT string_agg(name, E'\n') FILTER (WHERE {handed}),
                string_agg(int4send((repository_id << 3)
                    | ((lifetime_end_ms IS NOT NULL AND lifetime_end_ms <= $1)::int << 2)
                    | (immutable::int << 1) | (lifetime_end_ms IS NOT NULL)::int), '')
                    FILTER (WHERE {handed}),
                count(*)
            FROM tag
            WHERE ctid >= '({},0)'::tid AND ctid < '({to},0)'::tid
                AND (NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1)
                    OR immutable AND lifetime_end_ms <= $1)
                AND ($3::int = 1 OR repository_id % $3 = $2::int)
            ",
            pages.from
        ),
        &[&tags.now.0, &part, &parts],
    )?;
    let seen = u64::try_from(row.read::<i64>(2)?).unwrap_or(0);
    let (Some(names), Some(marks)) = (row.read::<Option<&str>>(0)?, row.read::<Option<&[u8]>>(1)?)
    else {
        return Ok(seen);
    };
    let (marks, _) = marks.as_chunks::<4>();
    if names.split(SEPARATOR).count() != marks.len() {
        return one_by_one(pg, tags, pages, take);
    }
    for (mark, name) in marks.iter().zip(names.split(SEPARATOR)) {
        take(Mark(i32::from_be_bytes(*mark)), name);
    }
    Ok(seen)
}

/// The same where a name holds the separator.
fn one_by_one(
    pg: &mut impl Statements,
    tags: &TagsAt,
    pages: Pages,
    mut take: impl FnMut(Mark, &str),
) -> Result<u64, PgError> {
    let to = pages.to.unwrap_or(u32::MAX);
    let (part, parts) = tags.part;
    let rows = pg.query(
        &format!(
            r"
            SELECT name, (repository_id << 3)
                | ((lifetime_end_ms IS NOT NULL AND lifetime_end_ms <= $1)::int << 2)
                | (immutable::int << 1) | (lifetime_end_ms IS NOT NULL)::int
            FROM tag
            WHERE ctid >= '({},0)'::tid AND ctid < '({to},0)'::tid
                AND (NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1)
                    OR immutable AND lifetime_end_ms <= $1)
                AND ($3::int = 1 OR repository_id % $3 = $2::int)
            ",
            pages.from
        ),
        &[&tags.now.0, &part, &parts],
    )?;
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
        &format!(
            r"
            SELECT {TAG_COLUMNS}
            FROM (SELECT DISTINCT * FROM unnest($2::int[], $3::text[]) AS u (repository_id, name))
                AS wanted
            JOIN tag USING (repository_id, name)
            WHERE NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $1)
                OR immutable AND lifetime_end_ms <= $1
            ORDER BY id
            "
        ),
        &[&now.0, &repositories, &names],
    )?
    .iter()
    .map(tag_row)
    .collect()
}

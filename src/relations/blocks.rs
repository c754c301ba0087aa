//! Tags by the block: the server joins the names of a range of pages into one value.
//!
//! Messages cost, not bytes: eighty thousand rows in one message reach us several times faster
//! than in as many messages (docs/scan.md has the figures).

use crate::evaluate::{Mark, TagRow};
use crate::pattern::Openings;
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
    /// Immutable ones, and those whose name begins with one of these ASCII characters, or with any
    /// other character than ASCII, or is empty: no rule is about others.
    Beginning(Openings),
}

impl Handed {
    /// `ascii` is the first character's code point where the server's encoding is UTF-8, and 0 of
    /// an empty text.
    fn condition(self) -> String {
        match self {
            Self::All => "true".to_owned(),
            Self::Immutable => "immutable".to_owned(),
            Self::Beginning(openings) => {
                let codes: Vec<String> = openings.characters().map(|c| c.to_string()).collect();
                let codes = [&["0".to_owned()], codes.as_slice()].concat().join(",");
                format!(
                    "(immutable OR ascii(name) = ANY ('{{{codes}}}'::int[]) OR ascii(name) > 127)"
                )
            }
        }
    }
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

/// A tag's mark as of `$1`. Most tags have no end, and their mark takes one comparison and one sum.
const MARK: &str = r"
    (repository_id << 3) + CASE
        WHEN lifetime_end_ms IS NULL THEN CASE WHEN immutable THEN 2 ELSE 0 END
        WHEN lifetime_end_ms <= $1 THEN CASE WHEN immutable THEN 7 ELSE 5 END
        WHEN immutable THEN 3 ELSE 1
    END";

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
                string_agg(int4send({MARK}), '') FILTER (WHERE {handed}),
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
            SELECT name, {MARK}
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

//! The table of tags cut into pieces, which readers take one after the other: pages, or, where a few
//! immutable tags are all that is handed over and an index finds them, repositories.

use crate::evaluate::Mark;
use crate::pg::{PgError, ReadSnapshot, Statements};
use crate::relations::{
    Handed, Pages, Repositories, TagsAt, prefer_indexes, ranges_of_few_immutable_tags, tag_pages,
    tags_of_pages, tags_of_repositories,
};

/// Pages a piece: some megabytes of names, so that the exchange does not count and memory does not
/// either.
const PAGES: u32 = 1_024;

/// Ranges of repositories for each reader, so that none is left alone with the last of them for long.
const RANGES: usize = 4;

/// All of the table.
pub(super) enum Pieces {
    /// So many pages.
    Pages(u32),
    /// Ranges of repositories.
    Repositories(Vec<Repositories>),
}

impl Pieces {
    /// Cuts the table for so many readers.
    pub(super) fn cut(
        pg: &mut impl Statements,
        handed: Handed,
        readers: usize,
    ) -> Result<Self, PgError> {
        let pages = tag_pages(pg)?;
        if handed == Handed::Immutable && pages > PAGES {
            let ranges = ranges_of_few_immutable_tags(pg, RANGES * readers)?;
            if let Some(ranges) = ranges {
                return Ok(Self::Repositories(ranges));
            }
        }
        Ok(Self::Pages(pages))
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Pages(pages) => pages / PAGES + 1,
            Self::Repositories(ranges) => u32::try_from(ranges.len()).unwrap_or(u32::MAX),
        }
    }

    /// Prepares a reader for them.
    pub(super) fn prepare(&self, snapshot: &mut ReadSnapshot<'_>) -> Result<(), PgError> {
        match self {
            Self::Pages(_) => Ok(()),
            Self::Repositories(_) => prefer_indexes(snapshot),
        }
    }

    /// Gives each tag of a piece that is handed over to `take`; how many there were.
    pub(super) fn read(
        &self,
        snapshot: &mut ReadSnapshot<'_>,
        tags: &TagsAt,
        number: u32,
        take: impl FnMut(Mark, &str),
    ) -> Result<u64, PgError> {
        match self {
            Self::Pages(pages) => {
                let from = number.saturating_mul(PAGES);
                let to = from.saturating_add(PAGES);
                // The last piece has no end: pages may have come since they were counted.
                let to = (to <= *pages).then_some(to);
                tags_of_pages(snapshot, tags, Pages { from, to }, take)
            }
            Self::Repositories(ranges) => match ranges.get(number as usize) {
                Some(range) => tags_of_repositories(snapshot, tags, *range, take),
                None => Ok(0),
            },
        }
    }
}

//! Tags that a batch could not write as asked, named.

use std::collections::HashSet;

use super::PolicyError;
use super::walk::WalkedRow;
use crate::pg::WriteTransaction;
use crate::quay::{Immutability, RepositoryId, TagId};
use crate::relations::{RowLock, registry_of, tags_by_id};
use crate::report::NamedTags;

/// Tags that were not written as asked.
#[derive(Default)]
pub(super) struct NotWritten {
    /// Those that the next walk meets again, and counts.
    pub(super) again: NamedTags,
    /// Those that it does not, since a trigger altered the change.
    pub(super) altered: NamedTags,
}

impl NotWritten {
    /// Adds those of another repository.
    pub(super) fn append(&mut self, more: Self) {
        self.again.append(more.again);
        self.altered.append(more.altered);
    }
}

/// Names tags that were not written as asked. A walk meets those again that are still `met`.
pub(super) fn not_written(
    tx: &mut WriteTransaction<'_>,
    repository: RepositoryId,
    tags: impl IntoIterator<Item = TagId>,
    met: Immutability,
) -> Result<NotWritten, PolicyError> {
    let mut named = NotWritten::default();
    let tags: Vec<TagId> = tags.into_iter().collect();
    if !tags.is_empty() {
        let registry = registry_of(tx, &[repository])?;
        for row in tags_by_id(tx, &tags, RowLock::None)? {
            if row.immutability == met {
                named.again.add(&registry, &row);
            } else {
                named.altered.add(&registry, &row);
            }
        }
    }
    Ok(named)
}

/// The same of a batch's rows, which lie together by repository.
pub(super) fn not_written_of(
    tx: &mut WriteTransaction<'_>,
    rows: &[WalkedRow],
    refused: impl IntoIterator<Item = TagId>,
    met: Immutability,
) -> Result<NotWritten, PolicyError> {
    let refused: HashSet<TagId> = refused.into_iter().collect();
    let mut named = NotWritten::default();
    for of in rows.chunk_by(|(a, _), (b, _)| a == b) {
        let tags = of.iter().map(|(_, tag)| *tag);
        let tags = tags.filter(|tag| refused.contains(tag));
        named.append(not_written(tx, of[0].0, tags, met)?);
    }
    Ok(named)
}

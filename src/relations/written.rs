//! What the database made of changes that were asked for: a trigger may swallow or alter an UPDATE.

use std::collections::{HashMap, HashSet};

use crate::evaluate::TagRow;
use crate::journal::{TagChange, TagImage};
use crate::quay::TagId;

/// Changes of tags as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The rows as they are now.
    pub rows: Vec<TagRow>,
    /// What has become of them: what the journal has to hold.
    pub changes: Vec<TagChange>,
    /// Tags that are not as asked.
    pub refused: HashSet<TagId>,
}

impl Written {
    /// Compares what was asked for with the rows that the UPDATE returned.
    pub(super) fn of(asked: &[TagChange], rows: Vec<TagRow>) -> Self {
        let is: HashMap<TagId, TagImage> = rows
            .iter()
            .map(|row| {
                let image = TagImage {
                    immutability: row.immutability,
                    expiry: row.expiry,
                };
                (row.id, image)
            })
            .collect();
        let mut written = Self {
            rows,
            ..Self::default()
        };
        for change in asked {
            let after = is.get(&change.tag).copied().unwrap_or(change.before);
            if after != change.after {
                written.refused.insert(change.tag);
            }
            if after != change.before {
                written.changes.push(TagChange { after, ..*change });
            }
        }
        written
    }

    /// The changes that are as asked.
    pub fn as_asked(&self) -> impl Iterator<Item = &TagChange> {
        let refused = |change: &&TagChange| !self.refused.contains(&change.tag);
        self.changes.iter().filter(refused)
    }

    /// Those that are not: what an undo, which journals by marking, has to write down.
    pub fn altered(&self) -> Vec<TagChange> {
        let refused = |change: &&TagChange| self.refused.contains(&change.tag);
        self.changes.iter().filter(refused).copied().collect()
    }

    /// How many expiration dates were cleared.
    pub fn expirations_cleared(&self) -> u64 {
        let cleared = |change: &&TagChange| {
            change.before.expiry.0.is_some() && change.after.expiry.0.is_none()
        };
        self.changes.iter().filter(cleared).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quay::{Expiry, Immutability, RepositoryId, UnixMillis};

    fn image(immutable: bool, end: Option<i64>) -> TagImage {
        TagImage {
            immutability: Immutability::from_column(immutable),
            expiry: Expiry(end.map(UnixMillis)),
        }
    }

    fn row(image: TagImage) -> TagRow {
        TagRow {
            id: TagId(1),
            repository: RepositoryId(1),
            name: "v1".to_owned(),
            manifest: None,
            start: UnixMillis(0),
            expiry: image.expiry,
            immutability: image.immutability,
            hidden: false,
        }
    }

    #[test]
    fn the_journal_holds_what_the_update_returned_and_no_row_that_it_did_not() {
        let (before, after) = (image(false, Some(7)), image(true, None));
        let asked = [TagChange {
            tag: TagId(1),
            repository: RepositoryId(1),
            before,
            after,
        }];
        for (returned, journaled, refused) in [
            (Some(after), Some(after), false),
            (None, None, true),
            (Some(before), None, true),
            (Some(image(true, Some(7))), Some(image(true, Some(7))), true),
            (Some(image(false, None)), Some(image(false, None)), true),
        ] {
            let rows: Vec<TagRow> = returned.map(row).into_iter().collect();
            let written = Written::of(&asked, rows);
            let became: Vec<TagImage> = written.changes.iter().map(|c| c.after).collect();
            assert_eq!(became, Vec::from_iter(journaled), "{returned:?}");
            assert_eq!(!written.refused.is_empty(), refused, "{returned:?}");
        }
    }
}

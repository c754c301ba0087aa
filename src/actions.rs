//! What becomes of a locked row: decisions that release and take back share.
//!
//! Pure. An expiration of the journal's is written back only to the very version of a row that the
//! change has left which took it: whoever has written the row since may have meant another one.

use crate::evaluate::TagRow;
use crate::journal::{TagChange, TagImage};
use crate::quay::{Expiry, OperationId, UnixMillis};
use crate::relations::LastChange;
use crate::report::Exceptions;

/// An expiration that the journal knows, and that is not written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It has passed: the tag would die at once.
    Past,
    /// The row has been written since, and it may be nobody's any more.
    Void(UnixMillis),
}

/// What becomes of a row's expiration where the row becomes mutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The expiration.
    pub expiry: Expiry,
    /// The one that is left out.
    pub left_out: Option<LeftOut>,
}

impl Restored {
    fn plain(expiry: Expiry) -> Self {
        Self {
            expiry,
            left_out: None,
        }
    }

    /// Tells what is left out.
    pub fn tell(
        &self,
        registry: &crate::evaluate::Registry,
        row: &TagRow,
        exceptions: &mut Exceptions,
    ) {
        match self.left_out {
            None => {}
            Some(LeftOut::Past) => exceptions.past_expiries.add(registry, row),
            Some(LeftOut::Void(end)) => exceptions.void_images.add_with_end(registry, row, end),
        }
    }
}

/// The expiration of a tag that is released: its own, or the one that was cleared when it was made
/// immutable.
pub fn released(
    row: &TagRow,
    last: Option<&LastChange>,
    now: UnixMillis,
    restore_past: bool,
) -> Restored {
    // A release of ours cleared nothing.
    let known = last.filter(|last| {
        let change = &last.change;
        change.after.immutability.as_column() || !change.before.immutability.as_column()
    });
    let end = known.and_then(|last| last.change.before.expiry.0);
    match (known, end) {
        _ if row.expiry.0.is_some() => Restored::plain(row.expiry),
        (Some(_), Some(end)) if end <= now && !restore_past => Restored {
            expiry: Expiry(None),
            left_out: Some(LeftOut::Past),
        },
        (Some(last), Some(end)) if !last.is_current => Restored {
            expiry: Expiry(None),
            left_out: Some(LeftOut::Void(end)),
        },
        (_, end) => Restored::plain(Expiry(end)),
    }
}

/// Why a change of a fix run is not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The row is not there.
    Gone,
    /// An operation of ours has written it since.
    Superseded(OperationId),
    /// Somebody has changed it since.
    Changed,
    /// A label, a user's act or a declaration makes it immutable.
    Evident,
    /// Somebody has written it since, and an active policy covers it.
    Covered,
    /// Somebody has written it since, and may mean another expiration than the one that it had.
    Written(Option<UnixMillis>),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("the row is gone"),
            Self::Superseded(by) => write!(f, "operation {by} has changed it since"),
            Self::Changed => f.write_str("it has been changed since"),
            Self::Evident => f.write_str("a label, a user or a declaration makes it immutable"),
            Self::Covered => {
                f.write_str("it has been written since, and an active policy covers it")
            }
            Self::Written(end) => {
                f.write_str("it has been written since; before, it had ")?;
                match end {
                    Some(end) => write!(f, "the expiration {}", end),
                    None => f.write_str("no expiration"),
                }
            }
        }
    }
}

/// What else there is to know about a row whose change is taken back.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// A label, a user's act or a declaration makes it immutable.
    pub evident: bool,
    /// An active policy covers it.
    pub covered: bool,
}

/// The change that takes a change of a run back, where the change is still the tag's last one.
///
/// # Errors
/// Why it is not taken back.
pub fn taken_back(
    (run, change): (OperationId, &TagChange),
    row: Option<&TagRow>,
    last: Option<&LastChange>,
    held: Held,
    (now, restore_past): (UnixMillis, bool),
) -> Result<(TagChange, Restored), Refused> {
    let row = row.ok_or(Refused::Gone)?;
    let is = TagImage {
        immutability: row.immutability,
        expiry: row.expiry,
    };
    // Asked first: it may look as we left it, and be another's all the same.
    if let Some(last) = last
        && last.operation != run
    {
        return Err(Refused::Superseded(last.operation));
    }
    if is != change.after {
        return Err(Refused::Changed);
    }
    let is_current = last.is_some_and(|last| last.is_current);
    let released = is.immutability.as_column() && !change.before.immutability.as_column();
    if released && held.evident {
        return Err(Refused::Evident);
    }
    if released && !is_current && held.covered {
        return Err(Refused::Covered);
    }
    let at_stake = change.before.expiry != is.expiry;
    if !released && !is_current && at_stake {
        return Err(Refused::Written(change.before.expiry.0));
    }
    let restored = match change.before.expiry.0 {
        Some(end) if at_stake && end <= now && !restore_past => Restored {
            expiry: Expiry(None),
            left_out: Some(LeftOut::Past),
        },
        Some(end) if at_stake && !is_current => Restored {
            expiry: is.expiry,
            left_out: Some(LeftOut::Void(end)),
        },
        // Whoever gave the row the end that it has meant it.
        None if at_stake && !is_current => Restored::plain(is.expiry),
        _ => Restored::plain(change.before.expiry),
    };
    let after = TagImage {
        immutability: change.before.immutability,
        expiry: restored.expiry,
    };
    Ok((
        TagChange {
            before: is,
            after,
            ..*change
        },
        restored,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quay::{Immutability, RepositoryId, TagId};

    const RUN: OperationId = OperationId(1);
    const END: i64 = 9;

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

    fn last(before: TagImage, after: TagImage, is_current: bool) -> LastChange {
        LastChange {
            entry: 1,
            operation: RUN,
            change: TagChange {
                tag: TagId(1),
                repository: RepositoryId(1),
                before,
                after,
            },
            is_current,
            beneath: Vec::new(),
        }
    }

    #[test]
    fn an_expiration_comes_back_only_to_the_version_that_was_written() {
        let marked = (image(false, Some(END)), image(true, None));
        let table = [
            // (is current, now, restore past expirations) -> (expiration, left out)
            (true, 1, false, Some(END), None),
            (true, 10, false, None, Some(LeftOut::Past)),
            (true, 10, true, Some(END), None),
            (false, 1, false, None, Some(LeftOut::Void(UnixMillis(END)))),
            (false, 10, true, None, Some(LeftOut::Void(UnixMillis(END)))),
            (false, 10, false, None, Some(LeftOut::Past)),
        ];
        for (is_current, now, restore, end, left_out) in table {
            let last = last(marked.0, marked.1, is_current);
            let restored = released(&row(marked.1), Some(&last), UnixMillis(now), restore);
            assert_eq!(restored.expiry.0, end.map(UnixMillis), "{is_current} {now}");
            assert_eq!(restored.left_out, left_out, "{is_current} {now}");
            // Its own end is its own.
            let own = row(image(true, Some(3)));
            let restored = released(&own, Some(&last), UnixMillis(now), restore);
            assert_eq!(restored, Restored::plain(Expiry(Some(UnixMillis(3)))));
        }
        // A change that left it mutable knows nothing of an expiration that was cleared.
        let released_before = last(image(true, Some(END)), image(false, None), true);
        let restored = released(
            &row(image(true, None)),
            Some(&released_before),
            UnixMillis(1),
            false,
        );
        assert_eq!(restored, Restored::plain(Expiry(None)));
        assert_eq!(
            released(&row(image(true, None)), None, UnixMillis(1), false),
            Restored::plain(Expiry(None))
        );
    }

    #[test]
    fn a_change_is_taken_back_only_where_it_is_the_tags_last() {
        let nobody = Held {
            evident: false,
            covered: false,
        };
        let covered = Held {
            covered: true,
            ..nobody
        };
        let evident = Held {
            evident: true,
            ..nobody
        };
        let (mutable, immutable) = (image(false, Some(END)), image(true, None));
        let cleared = (image(true, Some(END)), image(true, None));
        let table = [
            ((mutable, immutable), true, covered, Ok(mutable)),
            ((mutable, immutable), true, evident, Err(Refused::Evident)),
            ((mutable, immutable), false, covered, Err(Refused::Covered)),
            ((mutable, immutable), false, nobody, Ok(image(false, None))),
            ((immutable, mutable), true, nobody, Ok(immutable)),
            (
                (immutable, mutable),
                false,
                nobody,
                Err(Refused::Written(None)),
            ),
            (
                (immutable, image(false, None)),
                false,
                nobody,
                Ok(immutable),
            ),
            (cleared, true, covered, Ok(cleared.0)),
            (
                cleared,
                false,
                nobody,
                Err(Refused::Written(Some(UnixMillis(END)))),
            ),
        ];
        for ((before, after), is_current, held, expected) in table {
            let mut last = last(before, after, is_current);
            let change = last.change;
            let taken = |last: &LastChange, row: &TagRow| {
                let how = (UnixMillis(1), false);
                taken_back((RUN, &change), Some(row), Some(last), held, how)
                    .map(|(change, _)| change.after)
            };
            assert_eq!(
                taken(&last, &row(after)),
                expected,
                "{before:?} {is_current}"
            );
            let another = row(image(after.immutability.as_column(), Some(5)));
            assert_eq!(taken(&last, &another), Err(Refused::Changed));
            last.operation = OperationId(2);
            let superseded = Err(Refused::Superseded(OperationId(2)));
            assert_eq!(taken(&last, &row(after)), superseded);
        }
    }
}

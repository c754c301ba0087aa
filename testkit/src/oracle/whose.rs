//! Whose value each expiration and each protection is, told from the ledger alone.
//!
//! The last author of a tag is whoever gave it its expiration, or took it. A marking of ours clears one and owes it
//! from then on: where we make the tag mutable again it comes back, or a result names it. What an author did
//! afterwards voids the debt; nothing older is ever written over it.

use std::collections::BTreeMap;

use quay_doctor::quay::TagId;

use super::ledger::{Image, Write};
use super::state::State;
use super::verdict::Wrong;

/// Who made a tag as immutable, or as mutable, as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// Whoever was there before.
    Before,
    /// Quay, for whomever, with this write.
    Quay(i64),
    /// The program, with this write.
    Ours(i64),
}

/// What is known of a tag at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The expiration that we have cleared, and that nobody has had an opinion of since.
    pub owed: Option<i64>,
    /// Who made it as immutable as it is.
    pub author: Author,
    /// Whose protection we took off, where the program made it mutable last.
    pub released: Option<Author>,
    /// The write that made the row, where it was not there at the beginning.
    pub pushed: Option<i64>,
}

/// An expiration that came off at a write of ours: a result has to name the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The tag.
    pub tag: TagId,
    /// The write.
    pub nth: i64,
    /// The expiration.
    pub end: i64,
}

/// What a ledger tells.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// By tag, of those that were written.
    pub known: BTreeMap<TagId, Known>,
    /// What has to be named.
    pub left_out: Vec<LeftOut>,
    /// What was written and must not have been.
    pub wrong: Vec<Wrong>,
}

/// Reads a ledger that began at this state.
#[must_use]
pub fn whose(before: &State, writes: &[Write]) -> Whose {
    let mut whose = Whose::default();
    for write in writes {
        let there = before.tags.get(&write.tag);
        let known = whose.known.entry(write.tag).or_insert(Known {
            // What an operation before has cleared.
            owed: there.and_then(|tag| tag.known_end_ms.filter(|_| tag.immutable)),
            author: Author::Before,
            released: None,
            pushed: there.is_none().then_some(write.nth),
        });
        let Some(was) = write.was else {
            known.author = author(write);
            continue;
        };
        if write.ours {
            ours(known, was, write, &mut whose.left_out, &mut whose.wrong);
        } else if was != write.is {
            // Whoever writes what is there already gives it no other value.
            known.owed = None;
        }
        if was.0 != write.is.0 {
            known.released = (write.ours && was.0).then_some(known.author);
            known.author = author(write);
        }
    }
    whose
}

fn author(write: &Write) -> Author {
    if write.ours {
        Author::Ours(write.nth)
    } else {
        Author::Quay(write.nth)
    }
}

/// A write of the program's.
fn ours(
    known: &mut Known,
    was: Image,
    write: &Write,
    left_out: &mut Vec<LeftOut>,
    wrong: &mut Vec<Wrong>,
) {
    let told = |what: &str| format!("{} {}: {what}; {was:?}, {write:?}", write.tag, write.name);
    let (is, owed) = (write.is, known.owed);
    match (was.1, is.1) {
        // A tag that becomes mutable without the expiration that we cleared.
        (None, None) if was.0 && !is.0 => {
            left_out.extend(owed.map(|end| LeftOut {
                tag: write.tag,
                nth: write.nth,
                end,
            }));
            known.owed = None;
        }
        (was, is) if was == is => {}
        (Some(end), None) => {
            if !is.0 {
                wrong.push(Wrong::ExpiryLost(told("a mutable tag lost it")));
            }
            known.owed = Some(end);
        }
        (None, end) if end == owed => known.owed = None,
        (None, _) => wrong.push(Wrong::NotItsOwn(told(&format!("owed is {owed:?}")))),
        (Some(_), Some(_)) => wrong.push(Wrong::NotItsOwn(told("over another"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quay_doctor::quay::RepositoryId;

    fn state() -> State {
        State {
            read_at_ms: 0,
            tags: BTreeMap::new(),
            policies: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            kept: Vec::new(),
            unfinished: 0,
            audit_entries: 0,
        }
    }

    /// Versions of one tag, each with whether we wrote it.
    fn of(versions: &[(bool, Image)]) -> Whose {
        let mut was = Some((false, None));
        let mut writes = Vec::new();
        for (nth, (ours, is)) in (1..).zip(versions) {
            writes.push(Write {
                nth,
                tag: TagId(1),
                repository: RepositoryId(1),
                name: "v1".to_owned(),
                ours: *ours,
                was,
                is: *is,
            });
            was = Some(*is);
        }
        whose(&state(), &writes)
    }

    const QUAY: bool = false;
    const OURS: bool = true;
    const WEEK: Image = (false, Some(7));
    const YEAR: Image = (false, Some(365));
    const MARKED: Image = (true, None);
    const BARE: Image = (false, None);

    #[test]
    fn an_expiration_that_was_cleared_comes_back_or_has_to_be_named() {
        let back = of(&[(QUAY, WEEK), (OURS, MARKED), (OURS, WEEK)]);
        assert!(
            back.wrong.is_empty() && back.left_out.is_empty(),
            "{back:?}"
        );
        let bare = of(&[(QUAY, WEEK), (OURS, MARKED), (OURS, BARE)]);
        assert_eq!((bare.left_out.len(), bare.left_out[0].end), (1, 7));
        // A touch gives it no other value.
        let touched = of(&[(QUAY, WEEK), (OURS, MARKED), (QUAY, MARKED), (OURS, BARE)]);
        assert_eq!(touched.left_out.len(), 1);
        let lost = of(&[(QUAY, WEEK), (OURS, BARE)]);
        assert!(matches!(lost.wrong[..], [Wrong::ExpiryLost(_)]));
    }

    #[test]
    fn nothing_older_is_written_over_what_an_author_did_since() {
        let quays = [(QUAY, WEEK), (OURS, MARKED), (QUAY, YEAR), (QUAY, MARKED)];
        let older = of(&[&quays[..], &[(OURS, WEEK)]].concat());
        assert!(
            matches!(older.wrong[..], [Wrong::NotItsOwn(_)]),
            "{older:?}"
        );
        let bare = of(&[&quays[..], &[(OURS, BARE)]].concat());
        assert!(
            bare.wrong.is_empty() && bare.left_out.is_empty(),
            "{bare:?}"
        );
        let again = of(&[(QUAY, WEEK), (OURS, MARKED), (QUAY, YEAR), (OURS, WEEK)]);
        assert!(matches!(again.wrong[..], [Wrong::NotItsOwn(_)]));
        let newer = of(&[
            (QUAY, WEEK),
            (OURS, MARKED),
            (QUAY, YEAR),
            (OURS, MARKED),
            (OURS, YEAR),
        ]);
        assert!(
            newer.wrong.is_empty() && newer.left_out.is_empty(),
            "{newer:?}"
        );
    }

    #[test]
    fn whoever_made_a_tag_immutable_last_is_its_author() {
        let author = |versions: &[(bool, Image)]| of(versions).known[&TagId(1)].author;
        assert_eq!(author(&[(OURS, MARKED), (QUAY, MARKED)]), Author::Ours(1));
        assert_eq!(author(&[(OURS, MARKED), (QUAY, BARE)]), Author::Quay(2));
        assert_eq!(author(&[(QUAY, WEEK)]), Author::Before);
    }
}

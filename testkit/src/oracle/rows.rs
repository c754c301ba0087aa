//! The reference model, row by row: immutability and expiry that a tag may have at the end.

use super::case::{Act, Case, Pushes};
use super::model::Final;
use super::state::{State, Tag};
use super::verdict::Wrong;
use quay_doctor::quay::{PolicyText, Scope, TagId};

/// An expiry so near that clocks may disagree about it: such a tag may be left alone, or not.
const DOUBT_MS: i64 = 90_000;

/// Immutability and expiry.
type Image = (bool, Option<i64>);

impl Case<'_> {
    fn any(&self, texts: &[(Scope, PolicyText)], tag: &Tag) -> bool {
        texts
            .iter()
            .any(|(scope, text)| self.before.covers(*scope, text, tag))
    }

    /// Compares a row that was there before.
    pub(super) fn compare(
        &self,
        id: TagId,
        was: &Tag,
        is: &Tag,
        ground: &Final<'_>,
        after: &State,
    ) -> Option<Wrong> {
        let told = |what: &str| format!("{id} {}: {what}; was {was:?}, is {is:?}", was.name);
        let fixed = (was.repository, &was.name, was.start_ms, was.hidden)
            == (is.repository, &is.name, is.start_ms, is.hidden);
        if !fixed {
            return Some(Wrong::Otherwise(told("it is another row")));
        }
        let image = (is.immutable, is.end_ms);
        if after.was_pushed_over(id) && !self.must_stay(id, was, ground) {
            // Quay's own pass takes no lock either.
            let raced = self.pushes == Pushes::Unlocked || self.any(&ground.added, is);
            let orphan = is.immutable && !raced;
            return orphan.then(|| Wrong::Orphan(told("it was pushed over")));
        }
        let allowed = self.allowed(id, was, ground);
        if allowed.contains(&image) {
            return None;
        }
        let now = ground.now_ms;
        let alive = |end: Option<i64>| end.is_none_or(|end| end > now);
        let should_live = !was.hidden && allowed.iter().any(|(_, end)| alive(*end));
        let users = was.labelled || was.set_by_user || self.set(id);
        Some(if should_live && !alive(is.end_ms) {
            Wrong::Died(told("it has ended"))
        } else if !should_live && !was.hidden && alive(is.end_ms) {
            Wrong::Resurrected(told("it has come back"))
        } else if allowed.iter().all(|(immutable, _)| *immutable) && !is.immutable {
            if users {
                Wrong::UserProtectionLost(told("it is mutable"))
            } else {
                Wrong::Unprotected(told("it is mutable"))
            }
        } else if allowed.iter().all(|(immutable, _)| !*immutable) && is.immutable {
            Wrong::Orphan(told("it is immutable"))
        } else if is.end_ms.is_none() && allowed.iter().all(|(_, end)| end.is_some()) {
            Wrong::ExpiryLost(told("it has none"))
        } else {
            Wrong::Otherwise(told(&format!("allowed are {allowed:?}")))
        })
    }

    fn set(&self, id: TagId) -> bool {
        self.acts
            .iter()
            .any(|act| matches!(act, Act::Set(tag) if *tag == id))
    }

    /// Whether nobody can have pushed over it: it was immutable all the time.
    fn must_stay(&self, id: TagId, was: &Tag, ground: &Final<'_>) -> bool {
        was.immutable
            && !self.any(&ground.releases, was)
            && !self.any(&ground.may_go, was)
            && !ground.orphans
            && ground.restored.is_none()
            && !self
                .acts
                .iter()
                .any(|act| matches!(act, Act::TakenOff(tag) if *tag == id))
    }

    /// Immutability and expiry that a row may have at the end.
    fn allowed(&self, id: TagId, was: &Tag, ground: &Final<'_>) -> Vec<Image> {
        let mut tag = was.clone();
        let (mut set, mut taken_off, mut set_before) = (false, false, false);
        for act in self.acts {
            match act {
                Act::Set(of) if *of == id => (set, set_before) = (true, true),
                Act::TakenOff(of) if *of == id => (set, taken_off) = (false, true),
                Act::Expires(of, end) if *of == id => tag.end_ms = *end,
                Act::Deleted(of, end) if *of == id => {
                    // Quay's own pass, by a clock that is behind, takes it for alive.
                    let again = self.any(&ground.added, &tag).then_some((true, None));
                    return [(false, Some(*end))].into_iter().chain(again).collect();
                }
                _ => {}
            }
        }
        let marked =
            self.any(&ground.marks, &tag) || (ground.mends && self.any(&ground.active, &tag));
        if set {
            return vec![(true, None)];
        }
        if taken_off {
            let mut allowed = vec![(false, was.end_ms), (false, tag.end_ms), (false, None)];
            allowed.extend(was.known_end_ms.map(|end| (false, Some(end))));
            // It was immutable without us: the mark may have come after the act.
            let again = was.immutable
                || set_before
                || self.operations.len() > 1
                || self.any(&ground.added, &tag);
            if again && marked {
                allowed.push((true, None));
            }
            return allowed;
        }
        if let Some(state) = ground.restored {
            return state
                .tags
                .get(&id)
                .map(|tag| vec![(tag.immutable, tag.end_ms)])
                .unwrap_or_default();
        }
        if tag.hidden || !tag.is_alive(self.before.read_at_ms) {
            return vec![(tag.immutable, tag.end_ms)];
        }
        if tag.immutable {
            return self.of_immutable(&tag, ground, marked);
        }
        let near = tag
            .end_ms
            .is_some_and(|end| end <= ground.now_ms + DOUBT_MS);
        match (marked, near) {
            (true, false) => vec![(true, None)],
            // A tag whose expiry passes meanwhile may have been marked in time, or not; and what
            // was marked and is taken back does not get an expiry by which it would be dead.
            (true, true) => vec![(true, None), (false, tag.end_ms)],
            (false, true) => vec![(false, tag.end_ms), (false, None)],
            // Quay's own failure: whoever passes by may protect it, and a roll-back takes that from nobody.
            (false, false) if self.any(&ground.active, &tag) => {
                vec![(false, tag.end_ms), (true, None)]
            }
            (false, false) => vec![(false, tag.end_ms)],
        }
    }

    fn of_immutable(&self, tag: &Tag, ground: &Final<'_>, marked: bool) -> Vec<Image> {
        let held = self.any(&ground.active, tag)
            || tag.labelled
            || tag.set_by_user
            || self.any(&self.before.kept, tag);
        let released = self.any(&ground.releases, tag) || ground.orphans;
        let end = tag.end_ms.or(tag.known_end_ms);
        let mut mutable = vec![(false, end)];
        if end.is_some_and(|end| end <= ground.now_ms) {
            // A past expiry is not written.
            mutable.push((false, None));
        }
        if !released || held {
            let mut allowed = vec![(true, tag.end_ms)];
            if marked {
                allowed.push((true, None));
            }
            if !held && self.any(&ground.may_go, tag) {
                allowed.extend(mutable);
            }
            return allowed;
        }
        let mut allowed = mutable;
        if self.any(&ground.may_stay, tag) {
            allowed.push((true, tag.end_ms));
        }
        allowed
    }

    /// Compares a row that was pushed meanwhile: with the policies at the end, unless they came and
    /// went and the push may have been decided by any of them.
    pub(super) fn pushed(
        &self,
        id: TagId,
        is: &Tag,
        ground: &Final<'_>,
        after: &State,
    ) -> Option<Wrong> {
        let told = || format!("{id} {}: pushed meanwhile; {is:?}", is.name);
        if after.was_pushed_over(id) {
            let raced = self.pushes == Pushes::Unlocked || self.any(&ground.added, is);
            return (is.immutable && !raced).then(|| Wrong::Orphan(told()));
        }
        for act in self.acts {
            match act {
                Act::Set(of) if *of == id => {
                    return (!is.immutable).then(|| Wrong::UserProtectionLost(told()));
                }
                Act::TakenOff(of) | Act::Expires(of, _) | Act::Deleted(of, _) if *of == id => {
                    return None;
                }
                _ => {}
            }
        }
        if is.end_ms.is_some() {
            return Some(Wrong::Died(told()));
        }
        let covered = self.any(&ground.active, is);
        if covered && !is.immutable && !self.any(&ground.added, is) {
            return Some(Wrong::Unprotected(told()));
        }
        let stays = self.any(&ground.may_stay, is) || self.any(&self.before.kept, is);
        (!covered && is.immutable && !stays).then(|| Wrong::Orphan(told()))
    }
}

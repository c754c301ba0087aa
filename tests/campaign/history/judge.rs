//! What is wrong with the end of a history.

use std::collections::{BTreeMap, BTreeSet};

use quay_doctor::quay::{PolicyText, RepositoryId, Scope, TagId};
use testkit::oracle::ledger::Write;
use testkit::oracle::{Author, State, Tag, Whose, Wrong, whose};

use super::super::violations::violations;
use super::super::world::Arena;
use super::between::Quays;

/// An expiration so near that clocks may disagree about it.
const DOUBT_MS: i64 = 90_000;

/// What one run of the program has said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Without white space and frames: a name is found wherever a line was broken.
    words: String,
    /// The last write that there was when it ended.
    pub until: i64,
}

impl Said {
    pub fn new(ended: &crate::program::Ended, until: i64) -> Self {
        let words = format!("{}{}", ended.stdout, ended.stderr);
        Self {
            words: words
                .chars()
                .filter(|c| !c.is_whitespace() && *c != '│')
                .collect(),
            until,
        }
    }

    fn names(&self, name: &str) -> bool {
        self.words.match_indices(name).any(|(at, _)| {
            let rest = &self.words[at + name.len()..];
            !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
    }
}

/// A history, as far as its end is judged by it.
pub struct Judged<'j> {
    pub arena: &'j Arena,
    /// Each repository's name, with its namespace's.
    pub repositories: BTreeMap<RepositoryId, String>,
    pub before: &'j State,
    pub after: &'j State,
    pub writes: &'j [Write],
    pub said: &'j [Said],
    pub quays: &'j Quays,
    /// Stretches of writes in which a run of a fix was taken back.
    pub undone: &'j [(i64, i64)],
    /// Whether a trigger swallowed what we wrote.
    pub swallowed: bool,
}

impl Judged<'_> {
    fn name(&self, tag: &Tag) -> String {
        let name = self.repositories.get(&tag.repository);
        format!("{}:{}", name.map_or("", String::as_str), tag.name)
    }

    fn any(&self, texts: &[(Scope, PolicyText)], tag: &Tag) -> bool {
        texts
            .iter()
            .any(|(scope, text)| self.after.covers(*scope, text, tag))
    }

    fn was_undone(&self, nth: i64) -> bool {
        self.undone
            .iter()
            .any(|(from, to)| nth > *from && nth <= *to)
    }

    /// Whether a run that ended after a write names the tag: if not the one that wrote it, whoever ended its operation.
    fn is_named(&self, tag: &Tag, nth: i64) -> bool {
        let name = self.name(tag);
        let mut after = self.said.iter().filter(|said| said.until >= nth);
        after.any(|said| said.names(&name))
    }

    /// Everything that is wrong.
    pub fn wrong(&self) -> Vec<Wrong> {
        let whose = whose(self.before, self.writes);
        let mut wrong = whose.wrong.clone();
        for left in &whose.left_out {
            if let Some(tag) = self.after.tags.get(&left.tag)
                && !self.is_named(tag, left.nth)
            {
                let told = format!("{} {left:?} {tag:?}", self.name(tag));
                wrong.push(Wrong::Unnamed(told));
            }
        }
        let (mut unprotected, mut orphans) = (BTreeSet::new(), BTreeSet::new());
        let mut near = BTreeSet::new();
        for (id, tag) in &self.after.tags {
            let is_near = |end: i64| end <= self.after.read_at_ms + DOUBT_MS;
            if tag.hidden || tag.end_ms.is_some_and(is_near) {
                near.insert(i64::from(id.0));
                continue;
            }
            let covered = self.after.decides(tag.repository, &tag.name);
            if covered && !tag.immutable {
                unprotected.insert(i64::from(id.0));
            }
            if !covered && tag.immutable {
                orphans.insert(i64::from(id.0));
            }
            wrong.extend(self.of_tag(*id, tag, covered, &whose));
        }
        for id in self.before.tags.keys() {
            if !self.after.tags.contains_key(id) {
                wrong.push(Wrong::RowGone(*id));
            }
        }
        wrong.extend(self.of_policies());
        if self.after.unfinished > 0 {
            wrong.push(Wrong::Unfinished(self.after.unfinished));
        }
        wrong.extend(self.of_check([&unprotected, &orphans], &near));
        wrong
    }

    fn of_tag(&self, id: TagId, tag: &Tag, covered: bool, whose: &Whose) -> Option<Wrong> {
        let known = whose.known.get(&id);
        let author = known.map_or(Author::Before, |known| known.author);
        let told = || format!("{} {tag:?} by {author:?}", self.name(tag));
        let is_undone = matches!(author, Author::Ours(nth) if self.was_undone(nth));
        // What we marked ourselves we may take back, whatever else there is.
        let anothers = known
            .and_then(|known| known.released)
            .is_some_and(|whose| !matches!(whose, Author::Ours(_)));
        if !tag.immutable && (tag.labelled || tag.set_by_user) && anothers {
            return Some(Wrong::UserProtectionLost(told()));
        }
        if covered && !tag.immutable {
            let by_a_push =
                known.is_some_and(|known| Some(author) == known.pushed.map(Author::Quay));
            let excused = match author {
                Author::Quay(_) if by_a_push => self.any(&self.quays.raced, tag),
                Author::Quay(_) => true,
                Author::Ours(_) | Author::Before => false,
            };
            let swallowed =
                self.swallowed && self.said.iter().any(|said| said.names(&self.name(tag)));
            return (!excused && !is_undone && !swallowed).then(|| Wrong::Unprotected(told()));
        }
        if !covered && tag.immutable {
            let excused = tag.labelled
                || tag.set_by_user
                || self.any(&self.after.kept, tag)
                || self.any(&self.quays.stay, tag)
                || self.any(&self.quays.raced, tag)
                || (self.quays.orphans.contains(&id) && !matches!(author, Author::Ours(_)));
            let swallowed =
                self.swallowed && self.said.iter().any(|said| said.names(&self.name(tag)));
            return (!excused && !is_undone && !swallowed).then(|| Wrong::Orphan(told()));
        }
        None
    }

    /// Every policy is one that somebody asked for.
    fn of_policies(&self) -> Vec<Wrong> {
        let policies = self.after.policies.values();
        policies
            .filter(|policy| {
                !self.quays.policies.iter().any(|(scope, text, inactive)| {
                    (*scope, text) == (policy.scope, &policy.text) && (policy.active || *inactive)
                })
            })
            .map(|policy| Wrong::Policies {
                expected: Vec::new(),
                found: vec![format!("{policy:?}")],
            })
            .collect()
    }

    /// `check --strict` finds what there is, and nothing else.
    fn of_check(
        &self,
        [unprotected, orphans]: [&BTreeSet<i64>; 2],
        near: &BTreeSet<i64>,
    ) -> Vec<Wrong> {
        let found = violations(self.arena);
        let mut wrong = Vec::new();
        for (rule, there) in [
            ("unprotected-tag", unprotected),
            ("orphaned-immutable-tag", orphans),
        ] {
            let told: BTreeSet<i64> = found
                .keys()
                .filter(|(of, _, _)| of == rule)
                .map(|(_, _, id)| *id)
                .filter(|id| !near.contains(id))
                .collect();
            if told != *there {
                let told = format!("{rule}: check finds {told:?}, there are {there:?}");
                wrong.push(Wrong::Otherwise(told));
            }
        }
        wrong
    }
}

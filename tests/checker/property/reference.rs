//! The rules once more, in plain Rust over rows in memory: what the checker is compared with.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use quay_doctor::evaluate::{Activity, Found, PolicyRow, Source, TagRow, WorkerLife};
use quay_doctor::quay::Scope;

use super::rows::Rows;
use super::world::TEXTS;

/// What a rule says of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub subjects: u64,
    pub violated: BTreeSet<i64>,
    pub explained: u64,
    pub undecided: u64,
    pub accepted: u64,
    pub settling: u64,
}

pub type Answer = BTreeMap<&'static str, Sums>;

enum Says {
    Nothing,
    Sound,
    Violated,
    Explained,
    Undecided,
    Accepted,
    Settling,
}

fn say(answer: &mut Answer, rule: &'static str, id: i64, says: Says) {
    let sums = answer.entry(rule).or_default();
    if !matches!(says, Says::Nothing) {
        sums.subjects += 1;
    }
    match says {
        Says::Nothing | Says::Sound => {}
        Says::Violated => drop(sums.violated.insert(id)),
        Says::Explained => sums.explained += 1,
        Says::Undecided => sums.undecided += 1,
        Says::Accepted => sums.accepted += 1,
        Says::Settling => sums.settling += 1,
    }
}

fn text(policy: &PolicyRow) -> usize {
    TEXTS
        .iter()
        .position(|(text, _)| *text == policy.text.0)
        .expect("a known text")
}

/// What the active policies decide on a tag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decided {
    Immutable,
    Mutable,
    Unknown,
    /// Not known, and of every policy that could tell it is accepted.
    Accepted,
}

/// The place of `{}`, on which Quay itself fails.
const UNUSABLE: usize = 9;

/// The decision of the active policies on a tag, of those that `counts` takes.
fn decision(rows: &Rows, tag: &TagRow, counts: impl Fn(&PolicyRow) -> bool) -> Decided {
    let namespace = rows.registry.repositories[&tag.repository].namespace;
    let mut answer = Decided::Mutable;
    for policy in &rows.policies {
        let governs = match policy.scope {
            Scope::Repository(id) => id == tag.repository,
            Scope::Namespace(id) => Some(id) == namespace,
        };
        if policy.activity == Activity::Inactive || !governs || !counts(policy) {
            continue;
        }
        match TEXTS[text(policy)].1(&tag.name) {
            Some(true) => return Decided::Immutable,
            Some(false) => {}
            None if answer == Decided::Unknown => {}
            // Where Quay itself fails, there is nothing to accept.
            None if text(policy) != UNUSABLE && rows.accepted.contains(&policy.uuid) => {
                answer = Decided::Accepted;
            }
            None => answer = Decided::Unknown,
        }
    }
    answer
}

pub fn check(rows: &Rows, can_expire: Option<bool>, now: DateTime<Utc>) -> Answer {
    let mut answer = Answer::new();
    for tag in &rows.tags {
        about_tag(&mut answer, rows, tag, can_expire, now);
    }
    for policy in &rows.policies {
        about_policy(&mut answer, rows, policy, now);
    }
    for operation in &rows.operations {
        let says = if operation.live {
            Says::Settling
        } else {
            Says::Violated
        };
        say(&mut answer, "interrupted-operation", operation.id, says);
    }
    answer
}

fn about_tag(
    answer: &mut Answer,
    rows: &Rows,
    tag: &TagRow,
    can_expire: Option<bool>,
    now: DateTime<Utc>,
) {
    let id = i64::from(tag.id.0);
    let dead = tag
        .expiry
        .0
        .is_some_and(|end| end.0 <= now.timestamp_millis());
    let live = !dead && !tag.hidden;
    let immutable = tag.immutability.as_column();
    let matched = decision(rows, tag, |_| true);
    let account = &rows.accounts[&tag.id];
    let at_work = |found: &Found| matches!(found, Found::LiveOperation { .. });
    let or_explained = |excuses: fn(&Found) -> bool| {
        if account.iter().any(excuses) {
            Says::Explained
        } else if account.iter().any(at_work) {
            Says::Settling
        } else {
            Says::Violated
        }
    };

    let orphaned = match (live && immutable, matched) {
        (false, _) => Says::Nothing,
        (true, Decided::Immutable) => Says::Sound,
        (true, Decided::Unknown) => Says::Undecided,
        (true, Decided::Accepted) => Says::Accepted,
        (true, Decided::Mutable) => or_explained(|found| {
            matches!(
                found,
                Found::Label | Found::SetByUser(_) | Found::Kept { .. }
            )
        }),
    };
    say(answer, "orphaned-immutable-tag", id, orphaned);

    let old = |policy: &PolicyRow| {
        policy
            .created
            .is_none_or(|at| now - at >= TimeDelta::minutes(15))
    };
    let young = |policy: &PolicyRow| !old(policy);
    let unprotected = match (live && !immutable, matched) {
        (false, _) | (true, Decided::Mutable) => Says::Nothing,
        (true, Decided::Unknown) => Says::Undecided,
        (true, Decided::Accepted) => Says::Accepted,
        (true, Decided::Immutable)
            if decision(rows, tag, old) != Decided::Immutable
                && decision(rows, tag, young) == Decided::Immutable =>
        {
            Says::Settling
        }
        (true, Decided::Immutable) => {
            or_explained(|found| matches!(found, Found::TakenOffByAdministrator(_)))
        }
    };
    say(answer, "unprotected-tag", id, unprotected);

    let flag = |applies: bool, violated: Says| match (applies, can_expire) {
        (false, _) => Says::Nothing,
        (true, Some(true)) => Says::Sound,
        (true, Some(false)) => violated,
        (true, None) => Says::Undecided,
    };
    let expiring = live && immutable && tag.expiry.0.is_some();
    let expires = flag(expiring, or_explained(|_| false));
    say(answer, "immutable-tag-with-expiry", id, expires);
    let uncollectable = flag(dead && immutable, Says::Violated);
    say(answer, "uncollectable-tag", id, uncollectable);
}

fn about_policy(answer: &mut Answer, rows: &Rows, policy: &PolicyRow, now: DateTime<Utc>) {
    let id = i64::from(policy.id.0);
    let kind = text(policy);
    let active = policy.activity == Activity::Active;
    let standing = rows.standing(policy);
    let owned = matches!(standing.owner, Some((_, WorkerLife::Alive)));
    let accepted = rows.accepted.contains(&policy.uuid);
    // What a live operation is at work on is pending, whichever rule it is that would complain.
    let violated = || {
        if owned {
            Says::Settling
        } else {
            Says::Violated
        }
    };
    let holds = |sound: bool| if sound { Says::Sound } else { violated() };
    let not_told = || {
        if accepted {
            Says::Accepted
        } else {
            Says::Undecided
        }
    };
    // The texts' places: 0 to 5 are sound, 6 and 7 do not compile, 8 is fuzzy, 9 is `{}`, 10 is Python's.
    let usable = match kind {
        0..=5 => Says::Sound,
        6 | 7 | 9 => violated(),
        _ => not_told(),
    };
    say(answer, "invalid-policy", id, usable);
    let decidable = match (active, kind) {
        (false, _) => Says::Nothing,
        (true, 8 | 10) if accepted => Says::Explained,
        (true, 8 | 10) => violated(),
        (true, _) => Says::Sound,
    };
    say(answer, "undecidable-policy", id, decidable);
    let slow = match (active, kind) {
        (false, _) => Says::Nothing,
        (true, 8 | 10) => not_told(),
        (true, _) => Says::Sound,
    };
    say(answer, "slow-pattern", id, slow);
    let young = policy
        .created
        .is_some_and(|at| now - at < TimeDelta::hours(1));
    let stale = match (active, young || standing.staged) {
        (true, _) => Says::Nothing,
        (false, true) => Says::Sound,
        (false, false) => violated(),
    };
    say(answer, "stale-inactive-policy", id, stale);

    let pattern = |kind: usize| match kind {
        0..=2 => Some("v.*"),
        3 => Some("v[0-9]"),
        4 => Some(".*1"),
        5 => Some("release|nightly"),
        6 | 7 => Some("v("),
        8 => Some("fuzzy"),
        _ => None,
    };
    let keeps_before =
        |other: &PolicyRow| (other.activity == Activity::Inactive, other.id) < (!active, policy.id);
    let twin = rows.policies.iter().any(|other| {
        other.scope == policy.scope
            && pattern(kind).is_some()
            && pattern(text(other)) == pattern(kind)
            && keeps_before(other)
    });
    say(answer, "duplicate-policy", id, holds(!twin));

    let (misplaced, redundant, mirrored) = match policy.scope {
        Scope::Namespace(namespace) => {
            let source = rows.registry.sources.get(&namespace);
            let from_pushes = !matches!(source, Some(Source::Mirror | Source::ProxyCache));
            (
                Says::Nothing,
                Says::Nothing,
                if active {
                    holds(from_pushes)
                } else {
                    Says::Nothing
                },
            )
        }
        Scope::Repository(repository) => {
            let namespace = rows.registry.repositories[&repository].namespace;
            let polarity = |kind: usize| !matches!(kind, 2 | 4 | 7);
            let covered = rows.policies.iter().any(|other| {
                Some(other.scope) == namespace.map(Scope::Namespace)
                    && other.activity == Activity::Active
                    && pattern(kind).is_some()
                    && pattern(text(other)) == pattern(kind)
                    && polarity(text(other)) == polarity(kind)
            });
            let redundant = if active {
                holds(!covered)
            } else {
                Says::Nothing
            };
            (
                holds(namespace == Some(policy.namespace)),
                redundant,
                Says::Nothing,
            )
        }
    };
    say(answer, "misplaced-policy", id, misplaced);
    say(answer, "redundant-policy", id, redundant);
    say(answer, "policy-on-mirror", id, mirrored);
}

//! The patterns that are tried: from what all names share, and from what groups of them share.

use std::collections::BTreeMap;

use super::Matchers;
use super::build::{Branch, Part};
use super::words::{Word, words};
use crate::quay::{Polarity, StoredPolicy};

pub(super) use super::build::Candidate;

/// Groups of names that a pattern may name one by one.
const BRANCHES: usize = 6;
/// Words from either end that are tried one by one.
const FEW: usize = 5;
/// A known pattern is likelier than anything that is put together here.
const KNOWN: u32 = 1;

/// Every pattern to try.
pub(super) fn candidates(
    orphans: &[&str],
    passed_over: &[&str],
    known: &[StoredPolicy],
    matchers: &mut Matchers,
) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = known
        .iter()
        .map(|policy| Candidate {
            pattern: policy.pattern.clone(),
            polarity: policy.polarity,
            cost: KNOWN,
        })
        .collect();
    found.extend(of_names(orphans, passed_over, Polarity::Matching, matchers));
    // What was passed over is what an inverted policy names.
    if !passed_over.is_empty() {
        let inverted = Polarity::NotMatching;
        found.extend(of_names(passed_over, orphans, inverted, matchers));
    }
    found
}

/// Patterns that match these names, and if possible none of the others.
fn of_names(
    names: &[&str],
    others: &[&str],
    polarity: Polarity,
    matchers: &mut Matchers,
) -> Vec<Candidate> {
    let split: Vec<Vec<Word<'_>>> = names.iter().map(|name| words(name)).collect();
    let all: Vec<&[Word<'_>]> = split.iter().map(Vec::as_slice).collect();
    let mut found: Vec<Candidate> = shared(&all)
        .into_iter()
        .chain([Branch(vec![Part::Anything])])
        .map(|branch| Candidate::any_of(&[branch], polarity))
        .collect();
    for grouping in [first_word, last_word, shape, whole] {
        let mut groups: BTreeMap<String, Vec<&[Word<'_>]>> = BTreeMap::new();
        for name in &all {
            groups.entry(grouping(name)).or_default().push(name);
        }
        if (2..=BRANCHES).contains(&groups.len()) {
            let per_group: Vec<Vec<Branch>> = groups.values().map(|group| shared(group)).collect();
            let best: Vec<Branch> = per_group
                .iter()
                .filter_map(|branches| narrowest(branches, others, matchers))
                .collect();
            found.push(Candidate::any_of(&best, polarity));
            found.extend(side_by_side(&per_group, polarity));
        }
    }
    found
}

/// Of a group's branches the simplest that matches the fewest of the others.
fn narrowest(branches: &[Branch], others: &[&str], matchers: &mut Matchers) -> Option<Branch> {
    let mut wrong = |branch: &Branch| match matchers.of(&branch.text()) {
        Some(matcher) => {
            let matched = others
                .iter()
                .filter(|name| matcher.decide(name) == Ok(true));
            matched.count()
        }
        None => usize::MAX,
    };
    let ranked = branches
        .iter()
        .map(|branch| (wrong(branch), branch.cost(), branch));
    ranked
        .min_by_key(|(wrong, cost, _)| (*wrong, *cost))
        .map(|(_, _, branch)| branch.clone())
}

/// Branches of several groups beside each other: the first of each, the second of each, and so on.
fn side_by_side(per_group: &[Vec<Branch>], polarity: Polarity) -> Vec<Candidate> {
    let most = per_group.iter().map(Vec::len).max().unwrap_or(0);
    let nth = |n: usize| -> Vec<Branch> {
        let branches = per_group.iter();
        branches
            .filter_map(|group| group.get(n).or(group.last()).cloned())
            .collect()
    };
    (0..most)
        .map(|n| Candidate::any_of(&nth(n), polarity))
        .collect()
}

/// What all of these names share, as branches, the widest first and the narrowest last.
fn shared(names: &[&[Word<'_>]]) -> Vec<Branch> {
    let Some(first) = names.first() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let front = alike(names, |name, at| name.get(at));
    let back = alike(names, |name, at| {
        name.len().checked_sub(at + 1).and_then(|at| name.get(at))
    });
    // `v.*`, `v[0-9]+.*`, `v[0-9]+\..*`
    for length in few(front) {
        found.push(Branch::of_words(&first[..length]).then(Part::Anything));
    }
    // `.*-rc[0-9]+`
    for length in few(back) {
        let mut parts = vec![Part::Anything];
        parts.extend(Branch::of_words(&first[first.len() - length..]).0);
        found.push(Branch(parts));
    }
    let texts: Vec<String> = names.iter().map(|name| text(name)).collect();
    let prefix = common_prefix(&texts);
    if !prefix.is_empty() {
        found.push(Branch::literal(&prefix).then(Part::Anything));
    }
    // `v.*-stable`
    if front > 0 && back > 0 && front + back <= names.iter().map(|n| n.len()).min().unwrap_or(0) {
        let mut parts = Branch::of_words(&first[..front]).then(Part::Anything).0;
        parts.extend(Branch::of_words(&first[first.len() - back..]).0);
        found.push(Branch(parts));
    }
    found.extend(numbered(names, front));
    if names.iter().all(|name| name.len() == first.len()) && front == first.len() {
        found.push(Branch::of_words(first));
        found.extend(of_fixed_length(names));
    }
    found.extend(hexadecimal(&texts));
    if texts.iter().all(|text| *text == texts[0]) {
        found.push(Branch::literal(&texts[0]));
    }
    found
}

/// Of the lengths up to this one the first few and the last: names can be long.
fn few(length: usize) -> impl Iterator<Item = usize> {
    (1..=length.min(FEW)).chain((length > FEW).then_some(length))
}

/// How many words all names have alike, counted from one end.
fn alike<'w, 'n: 'w>(
    names: &[&'w [Word<'n>]],
    at: impl Fn(&'w [Word<'n>], usize) -> Option<&'w Word<'n>>,
) -> usize {
    let Some(first) = names.first() else { return 0 };
    (0..first.len())
        .take_while(|place| {
            let Some(word) = at(first, *place) else {
                return false;
            };
            let same =
                |name: &&'w [Word<'n>]| at(name, *place).is_some_and(|other| word.is_like(other));
            names.iter().all(same)
        })
        .count()
}

/// `v[0-9]+(?:\.[0-9]+)+`: from some word on, every name goes on with a mark and a number.
fn numbered(names: &[&[Word<'_>]], front: usize) -> Option<Branch> {
    let first = names.first()?;
    (1..=front).find_map(|from| {
        let mark = first.get(from)?;
        let goes_on = |name: &&[Word<'_>]| {
            let rest = &name[from..];
            !rest.is_empty()
                && rest.len().is_multiple_of(2)
                && rest
                    .chunks(2)
                    .all(|pair| pair[0] == *mark && pair[1].is_digits())
        };
        let is_number = first[from - 1].is_digits() && !mark.is_digits();
        (is_number && names.iter().all(goes_on))
            .then(|| Branch::of_words(&first[..from]).then(Part::Numbered(mark.text().to_owned())))
    })
}

/// `[0-9]{8}`: numbers that are all of one length, of four digits or more: a date, a build.
fn of_fixed_length(names: &[&[Word<'_>]]) -> Option<Branch> {
    let first = names.first()?;
    let mut fixed = false;
    let mut parts = Vec::with_capacity(first.len());
    for (place, word) in first.iter().enumerate() {
        let length = word.text().len();
        let same = names.iter().all(|name| name[place].text().len() == length);
        parts.push(match word {
            Word::Digits(_) if same && length >= 4 => {
                fixed = true;
                Part::DigitsOf(length)
            }
            Word::Digits(_) => Part::Digits,
            other => Part::Literal(other.text().to_owned()),
        });
    }
    fixed.then_some(Branch(parts))
}

/// `[0-9a-f]{7}`: names that are all digests of one length.
fn hexadecimal(texts: &[String]) -> Option<Branch> {
    let length = texts.first()?.len();
    let is_hex = |text: &String| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    (length >= 6 && texts.iter().all(is_hex)).then(|| Branch(vec![Part::HexOf(length)]))
}

fn text(name: &[Word<'_>]) -> String {
    name.iter().map(Word::text).collect()
}

fn common_prefix(texts: &[String]) -> String {
    let Some(first) = texts.first() else {
        return String::new();
    };
    let shared = texts.iter().fold(first.chars().count(), |shared, text| {
        let same = first.chars().zip(text.chars());
        same.take(shared).take_while(|(a, b)| a == b).count()
    });
    first.chars().take(shared).collect()
}

/// How names are put into groups.
fn first_word(name: &[Word<'_>]) -> String {
    key(name.first())
}

fn last_word(name: &[Word<'_>]) -> String {
    key(name.last())
}

/// Words and marks as they are, numbers as such.
fn shape(name: &[Word<'_>]) -> String {
    name.iter().map(|word| key(Some(word))).collect()
}

/// Each name for itself.
fn whole(name: &[Word<'_>]) -> String {
    text(name)
}

fn key(word: Option<&Word<'_>>) -> String {
    match word {
        None => String::new(),
        Some(Word::Digits(_)) => "0".to_owned(),
        Some(other) => other.text().to_owned(),
    }
}

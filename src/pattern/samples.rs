//! Tags that show what a pattern matches and what it just does not.

use super::automaton::ORDINARY;
use super::chars::CharSet;
use super::matcher::Matcher;
use super::meaning::Meaning;

/// Examples of each kind.
const WANTED: usize = 4;

/// Samples tried for each kind.
const TRIES: usize = 64;

/// Tags as people give them, for a start.
const USUAL: [&str; 12] = [
    "latest",
    "v1.2.3",
    "1.2.3",
    "v1",
    "v10.0.1-rc1",
    "stable",
    "prod-2024",
    "main",
    "dev",
    "release-1.0",
    "sha-0a1b2c3",
    "v1x2x3",
];

/// Preferred characters of a set, so that examples look like tags.
const PREFERRED: &str = "1a0bcxv-._A2";

/// Some tags that the matcher matches, and some that it does not; each is decided by it.
pub fn samples(matcher: &Matcher) -> (Vec<String>, Vec<String>) {
    let mut matching = Vec::new();
    let mut failing = Vec::new();
    let mut file = |tag: &str| {
        let list = match matcher.decide(tag) {
            Ok(true) => &mut matching,
            Ok(false) => &mut failing,
            Err(_) => return,
        };
        let is_tag = !tag.is_empty() && tag.len() <= 128;
        if is_tag && list.len() < WANTED && !list.iter().any(|known| known == tag) {
            list.push(tag.to_owned());
        }
    };
    let own: Vec<String> = (0..TRIES)
        .filter_map(|variant| written(matcher.meaning(), variant))
        .collect();
    own.iter().for_each(|tag| file(tag));
    // Neighbours of what matches say more than strangers.
    for tag in own.iter().take(8) {
        neighbours(tag).iter().for_each(|near| file(near));
    }
    USUAL.iter().for_each(|tag| file(tag));
    (matching, failing)
}

/// The tag with a character too many, too few, or another one.
fn neighbours(tag: &str) -> Vec<String> {
    let mut near = vec![format!("x{tag}"), format!("{tag}x"), tag.to_uppercase()];
    near.push(tag.replacen('.', "x", 1));
    let mut shorter = tag.to_owned();
    shorter.pop();
    near.push(shorter);
    near.retain(|other| other != tag);
    near
}

/// One text of the pattern, chosen by the variant's digits; look-arounds are left to the check.
fn written(meaning: &Meaning, variant: usize) -> Option<String> {
    let mut text = String::new();
    let mut choice = Choice(variant);
    write(meaning, &mut choice, &mut text)?;
    (text.len() <= 128).then_some(text)
}

struct Choice(usize);

impl Choice {
    fn of(&mut self, count: usize) -> usize {
        let chosen = self.0 % count.max(1);
        self.0 /= count.max(1);
        chosen
    }
}

fn write(meaning: &Meaning, choice: &mut Choice, text: &mut String) -> Option<()> {
    if text.len() > 128 {
        return None;
    }
    match meaning {
        Meaning::Never => None,
        Meaning::Chars(set) => {
            text.push(character(set, choice)?);
            Some(())
        }
        Meaning::Sequence(nodes) => nodes.iter().try_for_each(|node| write(node, choice, text)),
        Meaning::Branch(nodes) => write(nodes.get(choice.of(nodes.len()))?, choice, text),
        Meaning::Repeat(repeat) => {
            let more = match repeat.maximum {
                Some(maximum) => (maximum - repeat.minimum).min(2),
                None => 2,
            };
            let times = repeat.minimum + (choice.of(more as usize + 1) as u32 + 1) % (more + 1);
            (0..times).try_for_each(|_| write(&repeat.node, choice, text))
        }
        Meaning::Atomic(node) | Meaning::Capture(_, node) => write(node, choice, text),
        Meaning::Condition(_, both) => {
            let branch = if choice.of(2) == 0 { &both.0 } else { &both.1 };
            write(branch, choice, text)
        }
        Meaning::Look(..) | Meaning::Place(_) => Some(()),
        // Often what was written last.
        Meaning::Reference(..) => {
            let last = text.chars().last()?;
            text.push(last);
            Some(())
        }
    }
}

fn character(set: &CharSet, choice: &mut Choice) -> Option<char> {
    let ordinary = set.ascii & ORDINARY;
    let holds = |c: &char| ordinary >> u32::from(*c) & 1 == 1;
    let preferred: Vec<char> = PREFERRED.chars().filter(holds).take(3).collect();
    if preferred.is_empty() {
        return ('!'..='~').find(holds);
    }
    preferred.get(choice.of(preferred.len())).copied()
}

#[cfg(test)]
mod tests {
    use super::super::{Compiled, compile};
    use super::*;

    #[test]
    fn samples_are_decided_by_the_matcher_itself() {
        for pattern in [
            r"v\d+\.\d+",
            "(?!latest$).*",
            "(a)?b(?(1)c|d)",
            "[A-F]{3,5}-.*",
            "x|y",
        ] {
            let Compiled::Valid(matcher) = compile(pattern) else {
                panic!("{pattern}");
            };
            let (matching, failing) = samples(&matcher);
            assert!(!matching.is_empty(), "{pattern}");
            assert!(!failing.is_empty(), "{pattern}");
            assert!(matching.iter().all(|tag| matcher.decide(tag) == Ok(true)));
            assert!(failing.iter().all(|tag| matcher.decide(tag) == Ok(false)));
        }
    }
}

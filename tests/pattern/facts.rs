//! The dialect's facts, one a line in fixtures/dialect/facts.jsonl: what the Python module matches,
//! what it rejects and on what it fails. `record_facts.py` asks the module again.

use std::collections::BTreeMap;
use std::path::Path;

use quay_doctor::pattern::{Compiled, compile};
use serde::Deserialize;

/// Facts that must be decided, of all; the others may be declared undecidable.
const DECIDED_SHARE: f64 = 0.85;

#[derive(Deserialize)]
struct Fact {
    about: String,
    pattern: String,
    #[serde(default)]
    invalid: bool,
    fails: Option<String>,
    #[serde(default)]
    matching: Vec<String>,
    #[serde(default)]
    failing: Vec<String>,
}

fn facts() -> Vec<Fact> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dialect/facts.jsonl");
    let text = std::fs::read_to_string(path).expect("the facts");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a fact"))
        .collect()
}

/// What is decided against the fact; none for a fact that holds or is left undecided.
fn contradiction(fact: &Fact) -> Option<String> {
    let pattern = &fact.pattern;
    let matcher = match compile(pattern) {
        Compiled::Undecidable(_) => return None,
        Compiled::Invalid(_) if fact.invalid => return None,
        Compiled::Invalid(invalid) => return Some(format!("{pattern}: valid, not {invalid}")),
        Compiled::Valid(_) if fact.invalid => return Some(format!("{pattern}: invalid")),
        Compiled::Valid(_) if fact.fails.is_some() => {
            return Some(format!("{pattern}: the engine fails"));
        }
        Compiled::Valid(matcher) => matcher,
    };
    let expected = |tags: &'_ [String], wanted: bool| {
        tags.iter()
            .find(|tag| matcher.decide(tag).is_ok_and(|decided| decided != wanted))
            .map(|tag| format!("{pattern} on {tag:?}: {wanted} is right"))
    };
    expected(&fact.matching, true).or_else(|| expected(&fact.failing, false))
}

#[test]
fn every_fact_of_the_dialect_is_decided_rightly_or_not_at_all() {
    let facts = facts();
    assert!(facts.len() > 400);
    let wrong: Vec<String> = facts.iter().filter_map(contradiction).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn few_facts_are_left_undecided_and_none_where_ordinary_patterns_live() {
    let mut undecided: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let facts = facts();
    for fact in facts.iter().filter(|fact| fact.fails.is_none()) {
        let left = match compile(&fact.pattern) {
            Compiled::Undecidable(_) => true,
            Compiled::Invalid(_) => false,
            Compiled::Valid(matcher) => fact
                .matching
                .iter()
                .chain(&fact.failing)
                .filter(|tag| tag.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
                .any(|tag| matcher.decide(tag).is_err()),
        };
        if left {
            let about = undecided.entry(fact.about.clone()).or_default();
            about.push(fact.pattern.clone());
        }
    }
    let count: usize = undecided.values().map(Vec::len).sum();
    println!("{count} of {} undecided: {undecided:#?}", facts.len());
    assert!(count as f64 <= facts.len() as f64 * (1.0 - DECIDED_SHARE));
    for ordinary in [
        "possessive quantifier",
        "stacked quantifiers are errors in Python",
        "nested brackets / set operators in V0 sets",
        "look-around",
        "pathological",
        "wrapper escape",
    ] {
        assert!(
            undecided.get(ordinary).is_none_or(|left| left.len() <= 1),
            "{ordinary}: {:?}",
            undecided[ordinary]
        );
    }
}

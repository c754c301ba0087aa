//! Which policy most likely made some orphans: inferred from them and from what was left mutable.
//!
//! Quay's pass walks a scope by tag id and marks every live tag that the policy makes immutable. Up
//! to the last orphan, then, the policy made the orphans and passed over the tags that are still
//! mutable; beyond it nothing is known. Every pattern that explains the orphans and contradicts
//! nothing accounts for them equally well, so that of those the one is proposed that a person is
//! most likely to have written: the simplest. It is a proposal, and never applied unasked.
//!
//! Patterns are built from the parts of names and judged by the matcher itself. Memory is bounded:
//! so many names are looked at, and so many patterns are tried.

mod build;
mod candidates;
#[cfg(test)]
mod property;
mod words;

use std::collections::HashMap;

use crate::pattern::{Compiled, Matcher, compile};
use crate::quay::{Polarity, StoredPolicy};
use candidates::{Candidate, candidates};

/// Names of each kind that are judged; the caller may have more, and hands in a sample.
pub const JUDGED: usize = 5_000;
/// Names of which patterns are built: spread over those that are judged.
const SEEDS: usize = 400;
/// The longest name that a registry takes; a longer one teaches nothing.
const LONGEST_NAME: usize = 128;
/// Proposals for one scope.
const SHOWN: usize = 3;

/// A pattern that may have made the orphans of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The policy.
    pub policy: StoredPolicy,
    /// Orphans that it explains, of those that were looked at.
    pub explains: u64,
    /// Tags that it would have marked and that were passed over, of those that were looked at: an
    /// administrator may have taken them off, or it is another pattern.
    pub contradicts: u64,
}

/// What a scope shows of a pass that was cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Names of orphans.
    pub orphans: Vec<String>,
    /// Names of tags that are mutable and older than the last orphan.
    pub passed_over: Vec<String>,
}

/// What is proposed for a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeProposal {
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name; none for the whole namespace.
    pub repository: Option<String>,
    /// Orphans that were looked at.
    pub orphans: u64,
    /// Mutable tags that were looked at, older than the last orphan.
    pub passed_over: u64,
    /// The likeliest first; each accounts for as much as the others.
    pub proposals: Vec<Proposal>,
}

impl ScopeProposal {
    /// What was inferred from these traces; none where nothing was.
    pub fn new(
        (namespace, repository): (&str, Option<&str>),
        traces: &Traces,
        proposals: Vec<Proposal>,
    ) -> Option<Self> {
        (!proposals.is_empty()).then(|| Self {
            namespace: namespace.to_owned(),
            repository: repository.map(str::to_owned),
            orphans: spread(&traces.orphans, JUDGED).len() as u64,
            passed_over: spread(&traces.passed_over, JUDGED).len() as u64,
            proposals,
        })
    }

    /// Whether the likeliest explains every orphan and contradicts nothing.
    pub fn accounts_for_all(&self) -> bool {
        self.proposals
            .first()
            .is_some_and(|best| best.explains == self.orphans && best.contradicts == 0)
    }
}

/// The policies that account best for what a scope shows, the likeliest first; none where there is
/// no orphan. `known` are patterns that somebody has used nearby.
pub fn infer(traces: &Traces, known: &[StoredPolicy]) -> Vec<Proposal> {
    let orphans = spread(&traces.orphans, JUDGED);
    let passed = spread(&traces.passed_over, JUDGED);
    if orphans.is_empty() {
        return Vec::new();
    }
    let mut tried: Vec<(u64, u32, Proposal)> = Vec::new();
    let mut matchers = Matchers::default();
    let seeds = (spread_refs(&orphans, SEEDS), spread_refs(&passed, SEEDS));
    for candidate in candidates(&seeds.0, &seeds.1, known, &mut matchers) {
        let Some(matcher) = matchers.of(&candidate.pattern) else {
            continue;
        };
        let proposal = judge(&candidate, matcher, &orphans, &passed);
        let wrong = orphans.len() as u64 - proposal.explains + proposal.contradicts;
        // One that explains nothing is no explanation, however little it contradicts.
        if proposal.explains > 0 {
            tried.push((wrong, candidate.cost, proposal));
        }
    }
    tried.sort_by(|a, b| (a.0, a.1, &a.2.policy.pattern).cmp(&(b.0, b.1, &b.2.policy.pattern)));
    tried.dedup_by(|a, b| a.2.policy == b.2.policy);
    let best = tried.first().map_or(0, |first| first.0);
    tried
        .into_iter()
        .filter(|(wrong, ..)| *wrong == best)
        .map(|(_, _, proposal)| proposal)
        .take(SHOWN)
        .collect()
}

fn judge(
    candidate: &Candidate,
    matcher: &Matcher,
    orphans: &[&String],
    passed: &[&String],
) -> Proposal {
    let polarity = candidate.polarity;
    let makes = |name: &&&String| {
        matcher
            .decide(name)
            .is_ok_and(|matches| polarity.applies(matches))
    };
    Proposal {
        policy: StoredPolicy {
            pattern: candidate.pattern.clone(),
            polarity,
        },
        explains: orphans.iter().filter(makes).count() as u64,
        contradicts: passed.iter().filter(makes).count() as u64,
    }
}

/// Patterns that were compiled, each once; none for one that Quay would not take, or that cannot be
/// decided here.
#[derive(Default)]
struct Matchers(HashMap<String, Option<Box<Matcher>>>);

impl Matchers {
    fn of(&mut self, pattern: &str) -> Option<&Matcher> {
        let compiled = self.0.entry(pattern.to_owned()).or_insert_with(|| {
            if pattern.chars().count() > build::LONGEST {
                return None;
            }
            match compile(pattern) {
                Compiled::Valid(matcher) => Some(Box::new(matcher)),
                Compiled::Invalid(_) | Compiled::Undecidable(_) => None,
            }
        });
        compiled.as_deref()
    }
}

/// At most so many, spread evenly.
fn spread(names: &[String], most: usize) -> Vec<&String> {
    let step = names.len().div_ceil(most).max(1);
    names.iter().step_by(step).collect()
}

fn spread_refs<'n>(names: &[&'n String], most: usize) -> Vec<&'n str> {
    let step = names.len().div_ceil(most).max(1);
    let names = names.iter().step_by(step).map(|name| name.as_str());
    names.filter(|name| name.len() <= LONGEST_NAME).collect()
}

impl Proposal {
    /// For people: what it does with its pattern's matches, where that has to be said.
    pub fn inverted(&self) -> bool {
        self.policy.polarity == Polarity::NotMatching
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(orphans: &[&str], passed_over: &[&str]) -> (String, bool, u64, u64) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let traces = Traces {
            orphans: owned(orphans),
            passed_over: owned(passed_over),
        };
        let proposals = infer(&traces, &[]);
        let first = proposals.first().expect("a proposal");
        (
            first.policy.pattern.clone(),
            first.inverted(),
            first.explains,
            first.contradicts,
        )
    }

    #[test]
    fn the_simplest_pattern_that_contradicts_nothing_is_proposed() {
        let v = ["v1.0.0", "v1.0.1", "v1.2.0", "v2.0.0"];
        assert_eq!(best(&v, &["latest"]), ("v.*".to_owned(), false, 4, 0));
        assert_eq!(
            best(&v, &["latest", "v1.0.0-rc1", "version"]),
            ("v[0-9]+(?:\\.[0-9]+)+".to_owned(), false, 4, 0)
        );
        assert_eq!(
            best(&["release-1", "release-2"], &["rel", "v1"]).0,
            "release.*"
        );
        assert_eq!(
            best(&["1.0-rc1", "2.0-rc2", "7-rc10"], &["1.0", "2.0-beta1"]).0,
            ".*rc[0-9]+"
        );
        assert_eq!(
            best(&["latest", "stable"], &["v1", "edge"]).0,
            "latest|stable"
        );
        assert_eq!(best(&["v1", "release-7", "x", "main"], &[]).0, ".*");
    }

    #[test]
    fn a_policy_that_protects_all_but_something_is_seen_from_what_it_left() {
        let orphans = ["v1", "latest", "x-2", "2024", "main", "q", "w7", "z_1"];
        let passed = ["nightly-1", "nightly-2", "nightly-30"];
        let (pattern, inverted, explains, contradicts) = best(&orphans, &passed);
        assert_eq!((explains, contradicts), (8, 0));
        assert!(inverted, "{pattern}");
        assert_eq!(pattern, "nightly.*");
    }

    #[test]
    fn a_pattern_that_somebody_used_nearby_is_tried_as_it_is() {
        let traces = Traces {
            orphans: vec!["a1".to_owned(), "b2".to_owned()],
            passed_over: vec!["c".to_owned(), "d4".to_owned()],
        };
        let known = StoredPolicy {
            pattern: "[ab][0-9]".to_owned(),
            polarity: Polarity::Matching,
        };
        let proposals = infer(&traces, std::slice::from_ref(&known));
        assert_eq!(proposals[0].policy, known);
    }

    #[test]
    fn without_an_orphan_nothing_is_proposed_and_odd_names_are_no_trouble() {
        assert!(infer(&Traces::default(), &[]).is_empty());
        let odd = ["", "a(b", "x\ny", "\u{e4}1", "[", "v1+", "$1.00"];
        for name in odd {
            assert_eq!(best(&[name], &["other"]).2, 1, "{name:?}");
        }
    }
}

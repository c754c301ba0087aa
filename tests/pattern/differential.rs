//! Random patterns and tags, decided here and by the real module: never differently.
#![allow(clippy::print_stdout)] // The counts of a run are its result.

use quay_doctor::pattern::{Compiled, compile};

use super::generate::Generator;
use super::oracle::{Expected, Oracle};
use crate::scale::cases;

/// Pattern and tag pairs of one run; `QUAY_DOCTOR_TEST_SCALE` multiplies it.
const PAIRS: u32 = 20_000;

/// Tags for each pattern.
const TAGS: usize = 10;

/// Long enough for everything that is not slow by nature.
const TIMEOUT_SECONDS: f64 = 0.5;

#[derive(Debug, Default)]
struct Tally {
    patterns: usize,
    invalid: usize,
    undecidable: usize,
    pairs: usize,
    matches: usize,
    undecided_pairs: usize,
    timeouts: usize,
    crashes: usize,
}

#[test]
fn random_patterns_are_decided_as_the_python_module_decides_them() {
    let Some(mut oracle) = Oracle::start() else {
        return;
    };
    let pairs = cases(PAIRS) as usize;
    let seed: u64 = read_variable("QUAY_DOCTOR_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut generator = Generator::new(seed);
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    while tally.pairs + tally.invalid + tally.undecidable < pairs {
        let pattern = generator.pattern();
        let tags = generator.tags(&pattern, TAGS);
        compare(&pattern, &tags, &mut oracle, &mut tally, &mut wrong);
    }
    println!("{tally:?}");
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} decided wrongly:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn compare(
    pattern: &str,
    tags: &[String],
    oracle: &mut Oracle,
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) {
    tally.patterns += 1;
    let matcher = match compile(pattern) {
        Compiled::Undecidable(_) => {
            tally.undecidable += 1;
            return;
        }
        Compiled::Invalid(invalid) => {
            tally.invalid += 1;
            if oracle.ask(pattern, &[], TIMEOUT_SECONDS) != Expected::Rejected {
                wrong.push(format!("{pattern:?}: accepted there; here: {invalid}"));
            }
            return;
        }
        Compiled::Valid(matcher) => matcher,
    };
    let expected = match oracle.ask(pattern, tags, TIMEOUT_SECONDS) {
        Expected::Decisions(expected) => expected,
        Expected::Crashes => {
            tally.crashes += 1;
            return;
        }
        other => {
            wrong.push(format!("{pattern:?}: {other:?} there, and accepted here"));
            return;
        }
    };
    for (tag, expected) in tags.iter().zip(expected) {
        let Some(expected) = expected else {
            tally.timeouts += 1;
            continue;
        };
        match matcher.decide(tag) {
            Ok(decided) => {
                tally.pairs += 1;
                tally.matches += usize::from(expected);
                if decided != expected {
                    wrong.push(format!("{pattern:?} on {tag:?}: {expected} there"));
                }
            }
            Err(_) => tally.undecided_pairs += 1,
        }
    }
}

fn read_variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

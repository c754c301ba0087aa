//! A pattern that is called fast does not run into Quay's time-out on the real module.
#![allow(clippy::print_stdout)] // The counts of a run are its result.

use quay_doctor::pattern::{Slowness, slow_judgement};

use super::generate::Generator;
use super::oracle::{Expected, Oracle};
use crate::scale::cases;

/// Random patterns of one run.
const PATTERNS: u32 = 400;

/// Nested, neighbouring, lazy, bounded and referring repeats: close to slow, and beyond it.
const REPEATS: &[&str] = &[
    "(a+)+b",
    "(?:a+a+)+b",
    "(x+x+)+y",
    "(a*)*b",
    "(?:a*a*)*b",
    "(?:a+){2,}b",
    "(?:a{1,30})*b",
    "(?:a{1,30})+b",
    "(?:a?){30}a{30}",
    "(?:a?){60}b",
    "(a?){40}b",
    "(?:a|b|ab)*c",
    r"(?:\w+\s?)*!b",
    r"(?:[a-z]+-?)+\d",
    r"(?:[a-z]+-)*[a-z]+\d",
    "a*a*a*a*a*a*b",
    ".*.*.*.*.*b",
    ".*a.*a.*a.*a.*b",
    "(?:.*a){5}b",
    "(?:.*a){10}b",
    "(?:a*b?)*c",
    "(?:(?:a|b)*a)*c",
    r"(?:\d+\.?)+x",
    r"(?:\d+|\w+)+!x",
    "(?:a{0,2}){64}b",
    "(?:a{1,2}){40,}b",
    "(?:(?:a{1,2})*)*b",
    "(?:(?:ab)*)*c",
    "(?:(?:ab)+)+c",
    "(?:(?:ab){1,9})*c",
    "(?:(?:ab)?)*c",
    "(?:a+)?(?:a+)?(?:a+)?(?:a+)?(?:a+)?b",
    "(?=(?:a+)+b)a*",
    "(?!(?:a+)+b)a*",
    "(?:(?=a+b)a)*c",
    r"(a+)+\1b",
    r"(a+)(a+)(a+)\1\2b",
    "(?:ab)*(?:ab)*(?:ab)*(?:ab)*(?:ab)*c",
    "(?:aa)*(?:aa)*(?:aa)*(?:aa)*(?:aa)*c",
    "(?:a+-)*(?:a+-)*c",
    "(?:.*a){2,4}c",
    r"(?:\w+-){1,5}x",
    r"(?:\w+-){0,3}\w+c",
    "(?:[a-z0-9]+(?:-[a-z0-9]+)*)+c",
    "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*)(?:-[a-z]+)*c",
    "(?:a|aa)*b",
    "(?:a|a)*b",
    "(?:a+){1,30}b",
    "(?:.*?a)+b",
    "a*?a*?a*?a*?a*?a*?b",
    r"(?:(?:b|b)\d*)+c",
    "(?:(?:ab|ab)x?)*c",
    "(?:(?:a|aa){2})*b",
    "(?:(?:|)a)*b",
];

/// Tags of Quay's greatest length that fail late.
fn tags(pattern: &str) -> Vec<String> {
    let own: String = pattern
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let long = |unit: &str, end: &str| {
        let room = 128 - end.len();
        format!(
            "{}{end}",
            unit.repeat(128).chars().take(room).collect::<String>()
        )
    };
    let mut tags = vec![
        long("a", "bbbccc!"),
        long("ab", "c!"),
        long("aa", "bcxy!"),
        long("b1", "c!"),
        long("a-", "xc!"),
        long("a", ""),
        long("x", "yy!"),
        long("ab", ""),
    ];
    if !own.is_empty() {
        tags.push(long(&own, "!"));
    }
    tags
}

#[test]
fn a_pattern_that_is_called_fast_does_not_time_out() {
    let Some(mut oracle) = Oracle::start() else {
        return;
    };
    let seed = fastrand::u64(..);
    let mut generator = Generator::new(seed);
    let random = (0..cases(PATTERNS)).map(|_| generator.pattern());
    let patterns = REPEATS.iter().map(|pattern| (*pattern).to_owned());
    let (mut fast, mut slow, mut unknown) = (0, 0, 0);
    for pattern in patterns.chain(random) {
        match slow_judgement(&pattern) {
            Slowness::CanBeSlow(_) => slow += 1,
            Slowness::Unknown => unknown += 1,
            Slowness::Fast => {
                fast += 1;
                let tags = tags(&pattern);
                let answer = oracle.ask(&pattern, &tags, 1.0);
                if let Expected::Decisions(decisions) = answer {
                    assert!(
                        decisions.iter().all(Option::is_some),
                        "seed {seed}: {pattern:?} is called fast, and times out"
                    );
                }
            }
        }
    }
    println!("{fast} fast, {slow} slow, {unknown} not judged");
}

#[test]
fn the_judgement_tells_the_slow_repeats_from_the_others() {
    let slow: Vec<&str> = REPEATS
        .iter()
        .copied()
        .filter(|pattern| matches!(slow_judgement(pattern), Slowness::CanBeSlow(_)))
        .collect();
    for pattern in &REPEATS[REPEATS.len() - 9..] {
        assert!(slow.contains(pattern), "{pattern} runs for minutes");
    }
    assert!(slow.len() < REPEATS.len() / 2, "{slow:?}");
}

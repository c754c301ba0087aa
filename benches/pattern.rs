//! Decisions a second for 1, 20 and 1,000 patterns a scope on a million typical tags, beside the
//! Python module that Quay uses, in one run: `cargo bench --bench pattern`.
//!
//! The module is found at target/python-venv (make python-venv), and left out where it is not.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::expect_used
)]

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use quay_doctor::pattern::{Compiled, Decision, PatternSet, compile};
use serde_json::{Value, json};

const TAGS: usize = 1_000_000;

/// Decisions that the Python module is asked for in each measurement; all would take too long.
const PYTHON_DECISIONS: usize = 1_000_000;

fn main() {
    let mut random = Rng::with_seed(2026);
    let tags: Vec<String> = (0..TAGS).map(|_| tag(&mut random)).collect();
    println!("{TAGS} tags; ns a decision, millions of decisions a second");
    for (name, pattern) in [
        ("literal", "release-.*"),
        ("automaton", r"v\d+\.\d+\.\d+(-rc\.?\d+)?"),
        ("backtracking", r"(?!.*-rc)v\d+\..*"),
    ] {
        alone(name, pattern, &tags);
    }
    for count in [1, 20, 1000] {
        let patterns: Vec<String> = (0..count)
            .map(|index| pattern(index, &mut random))
            .collect();
        together(&patterns, &tags);
    }
}

/// Time of this thread on a processor, so that a busy machine does not count; the wall clock where
/// the kernel does not tell.
fn now(since: Instant) -> Duration {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// Runs it, and says how long it took.
fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let before = now(since);
    let result = what();
    (result, now(since).saturating_sub(before))
}

fn report(what: &str, decisions: usize, took: Duration) {
    let each = took.as_nanos() as f64 / decisions as f64;
    println!("{what:<44} {each:>9.2} ns {:>9.2} M/s", 1000.0 / each);
}

fn alone(name: &str, pattern: &str, tags: &[String]) {
    let Compiled::Valid(matcher) = compile(pattern) else {
        panic!("{pattern}");
    };
    let (matches, took) = timed(|| {
        tags.iter()
            .filter(|tag| matcher.decide(black_box(tag)) == Ok(true))
            .count()
    });
    report(&format!("one pattern alone, {name}"), tags.len(), took);
    python(
        &format!("  the same, Python ({matches} match)"),
        &[pattern.to_owned()],
        tags,
    );
}

fn together(patterns: &[String], tags: &[String]) {
    let count = patterns.len();
    let (set, built) = timed(|| PatternSet::new(patterns));
    let mut room = set.scratch();
    let (matches, took) = timed(|| {
        let mut matches = 0_usize;
        for tag in tags {
            let decisions = set.decide(black_box(tag), &mut room);
            matches += decisions
                .iter()
                .filter(|&&decision| decision == Decision::Match)
                .count();
        }
        matches
    });
    let what = format!("{count} patterns together (built in {built:.0?})");
    report(&what, tags.len() * count, took);
    python(
        &format!("  the same, Python ({matches} match)"),
        patterns,
        tags,
    );
}

fn python(what: &str, patterns: &[String], tags: &[String]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let few = &tags[..(PYTHON_DECISIONS / patterns.len()).min(tags.len())];
    let child = Command::new(root.join("target/python-venv/bin/python"))
        .arg(root.join("benches/pattern_python.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("{what:<44} no Python module here");
        return;
    };
    let mut input = child.stdin.take().expect("a pipe");
    write!(input, "{}", json!({"patterns": patterns, "tags": few})).expect("a question");
    drop(input);
    let output = child.wait_with_output().expect("an answer");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("an answer");
    let took = Duration::from_secs_f64(answer["seconds"].as_f64().expect("a time"));
    report(what, few.len() * patterns.len(), took);
}

/// A tag as registries are full of them.
fn tag(random: &mut Rng) -> String {
    let (a, b, c) = (random.u32(..12), random.u32(..30), random.u32(..100));
    let hex = |random: &mut Rng, n: usize| -> String {
        (0..n)
            .map(|_| char::from_digit(random.u32(..16), 16).expect("a digit"))
            .collect()
    };
    match random.u8(..10) {
        0 => ["latest", "main", "dev", "stable"][random.usize(..4)].to_owned(),
        1 | 2 => format!("v{a}.{b}.{c}"),
        3 => format!("v{a}.{b}.{c}-rc.{}", random.u8(1..9)),
        4 => format!("{a}.{b}.{c}"),
        5 => format!("release-{a}.{b}"),
        6 => format!("sha256-{}.sig", hex(random, 64)),
        7 => format!("pr-{}-{}", random.u32(..9999), hex(random, 7)),
        8 => format!("2026{:02}{:02}-{}", a + 1, b + 1, hex(random, 8)),
        _ => format!("prod-{}-{b}", ["eu", "us", "ap"][random.usize(..3)]),
    }
}

/// A pattern as policies have them; of twenty, one needs look-around.
fn pattern(index: usize, random: &mut Rng) -> String {
    let (a, b) = (random.u32(..40), random.u32(..40));
    match index % 20 {
        0 => r"v\d+\.\d+\.\d+".to_owned(),
        1 => format!("release-{a}.*"),
        2 => format!(r"v{a}\.\d+\.\d+"),
        3 => format!("prod-(eu|us|ap)-{a}"),
        4 => format!(r".*-rc\.{}", a % 10),
        5 => format!("v{a}-lts"),
        6 => format!("team{b}-.*"),
        7 => format!(r"20\d{{6}}-[0-9a-f]{{{}}}", 6 + a % 4),
        8 => format!("(?i)stable{a}"),
        9 => format!(r"{a}\.{b}\.\d+"),
        10 => format!(r"sha256-[0-9a-f]+\.sig{}", a % 3),
        11 => format!("pr-{a}-.*"),
        12 => format!(r"(?!.*-rc)v{a}\..*"),
        13 => format!("dev|test{a}|qa-{b}"),
        14 => format!(r"^hotfix-\d{{{},}}$", 1 + a % 5),
        15 => format!("[a-z]+-{a}"),
        16 => format!(".*-final{a}"),
        17 => format!("golden{a}"),
        18 => format!(r"v\d+\.{a}(\.\d+)?"),
        _ => format!("build_{a}_.*"),
    }
}

//! Many small repositories beside few large ones: a creation, and a fix, of as many tags.
//!
//! `QUAY_DOCTOR_REPOSITORIES` is another number of repositories of the creation, `QUAY_DOCTOR_ALONE` of the fix.

use std::process::Command;
use std::time::Instant;

use quay_doctor::sandbox::Cluster;
use serde_json::Value;

use super::figures::{Aim, Figure};
use super::stage::{cluster, copy, measured, median, number, runs, template, world_of};

/// Tags of each small repository, where a policy is created.
const EACH: u32 = 10;

const CREATE: [&str; 9] = [
    "policy",
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--immutable-tags-can-expire",
    "false",
    "--no-audit",
];

const FIX: [&str; 6] = [
    "fix",
    "--apply",
    "--max-changes",
    "10000000",
    "--remedy",
    "orphaned-immutable-tag=release",
];

/// How long the program takes; and what it tells.
fn run(url: &str, args: &[&str]) -> (f64, Value) {
    let begun = Instant::now();
    let output = Command::new(measured())
        .args(["--database-url", url, "--format", "json", "--quiet"])
        .args(args)
        .output()
        .expect("the program starts");
    let took = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{output:?}");
    (took, serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The median of some runs over so many tags in so many repositories.
fn takes(
    cluster: &Cluster,
    (repositories, tags): (u32, u32),
    args: &[&str],
    (immutable, count): (&str, &str),
) -> f64 {
    template(cluster, &world_of(repositories, "v{hex}", tags, immutable));
    let once = |_| {
        let (took, told) = run(&copy(cluster, "wide"), args);
        assert_eq!(told[count], tags, "{told}");
        eprintln!(
            "{repositories} repositories: {took:.1} s, {} batches",
            told["batches"]
        );
        took
    };
    let mut times: Vec<f64> = (0..runs()).map(once).collect();
    median(&mut times)
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_a_creation_over_many_small_repositories() {
    let repositories = number("QUAY_DOCTOR_REPOSITORIES", 100_000);
    let tags = repositories * EACH;
    let (cluster, what) = (cluster(), ("false", "tags_changed"));
    let few = takes(&cluster, (4, tags), &CREATE, what);
    let many = takes(&cluster, (repositories, tags), &CREATE, what);
    Figure::of(
        &format!("creation over {repositories} repositories with {EACH} tags each"),
        many,
        "s",
    )
    .beside("creation over as many tags in four repositories", few)
    .aims(Aim::AtMost(2.5));
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_a_fix_over_many_small_repositories() {
    let repositories = number("QUAY_DOCTOR_ALONE", 50_000);
    let (cluster, what) = (cluster(), ("true", "applied"));
    let one = takes(&cluster, (1, repositories), &FIX, what);
    let many = takes(&cluster, (repositories, repositories), &FIX, what);
    Figure::of(
        &format!("`fix --apply` of {repositories} tags in {repositories} repositories"),
        many,
        "s",
    )
    .beside("of as many in one", one)
    .aims(Aim::AtMost(3.0));
}

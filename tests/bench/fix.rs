//! A million orphans released, and the release taken back, beside one bare UPDATE of the same rows.
//!
//! `QUAY_DOCTOR_TAGS` is another number of tags, `QUAY_DOCTOR_ORDERS` other orders of names,
//! `QUAY_DOCTOR_AUDIT` another detail of the audit log.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::figures::{Aim, Figure};
use super::stage::{
    bare_update, cluster, copy, measured, median, number, runs, session, template, world,
};

const RELEASE: &str = "orphaned-immutable-tag=release";

/// A run of the program: how long it took, how much memory it held at most, what it said.
fn timed(url: &str, args: &[&str]) -> (f64, u64, Value) {
    let begun = Instant::now();
    let mut child = Command::new(measured())
        .args(["--database-url", url, "--format", "json", "--quiet"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().expect("a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = begun.elapsed().as_secs_f64();
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{output:?}");
    let said = serde_json::from_slice(&output.stdout).expect("JSON");
    (took, most / 1024, said)
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_a_million_orphans_released_and_taken_back() {
    let tags = number("QUAY_DOCTOR_TAGS", 1_000_000);
    let audit = std::env::var("QUAY_DOCTOR_AUDIT").unwrap_or_else(|_| "none".to_owned());
    let orders = std::env::var("QUAY_DOCTOR_ORDERS").unwrap_or_else(|_| "v{hex}".to_owned());
    let most = tags.to_string();
    let release = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--max-changes",
        &most,
        "--audit",
        &audit,
    ];
    for name in orders.split(',') {
        let cluster = cluster();
        template(&cluster, &world(name, tags, "true"));
        let mut times = [(); 4].map(|()| Vec::new());
        let mut longest = Vec::new();
        for run in 0..runs() {
            let url = copy(&cluster, "bare");
            times[0].push(bare_update(&url, false));
            session(&url).run("CHECKPOINT").expect("a checkpoint");
            times[1].push(bare_update(&url, true));

            let url = copy(&cluster, "ours");
            let (took, memory, said) = timed(&url, &release);
            assert_eq!(said["applied"], tags);
            times[2].push(took);
            longest.push(said["longest_batch_ms"].as_f64().unwrap_or(f64::NAN));
            eprintln!("{name} run {run}: released in {took:.1} s, {memory} MB: {said}");
            session(&url).run("CHECKPOINT").expect("a checkpoint");
            let id = said["run"].to_string();
            let (took, memory, said) = timed(&url, &["fix", "undo", &id, "--audit", &audit]);
            assert_eq!(said["undone"], tags);
            times[3].push(took);
            eprintln!("{name} run {run}: taken back in {took:.1} s, {memory} MB: {said}");
        }
        let [bare, bare_back, ours, undo] = times.map(|mut times| median(&mut times));
        let what = format!(
            "`fix --apply` releasing {tags} orphans, the check included (`--audit {audit}`)"
        );
        Figure::of(&what, ours, "s")
            .beside("one bare UPDATE in id order", bare)
            .aims(Aim::AtMost(1.0));
        Figure::of("`fix undo` of it", undo, "s")
            .beside("one bare UPDATE back", bare_back)
            .aims(Aim::AtMost(1.0));
        Figure::of(
            "the longest batch of the release",
            median(&mut longest),
            "ms",
        )
        .beside("`--batch-time`", 50.0)
        .aims(Aim::AtMost(2.0));
    }
}

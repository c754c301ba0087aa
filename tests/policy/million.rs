//! A creation over a million tags beside one bare UPDATE of the same rows; on demand only:
//!
//! ```text
//! cargo build --release
//! QUAY_DOCTOR_PROGRAM=target/release/quay-doctor cargo test --test integration \
//!     -- --ignored --nocapture million_tags
//! ```
//!
//! `QUAY_DOCTOR_TAGS` is another number of tags, `QUAY_DOCTOR_RUNS` another number of runs.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::WriteSession;
use quay_doctor::quay::RepositoryId;
use quay_doctor::sandbox::pusher::{Enforces, Flavour, Locking, Pusher};
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, fixture};

use crate::program;

pub fn number(variable: &str, otherwise: u32) -> u32 {
    let stated = std::env::var(variable).ok();
    stated
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn world(name: &str, tags: u32) -> String {
    format!(
        r#"
        seed = 41
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "app-{{n}}"
        count = 4
        [[namespace.repository.tags]]
        name = "{name}"
        count = {}
        "#,
        tags / 4
    )
}

pub fn session(url: &str) -> WriteSession {
    let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
    WriteSession::open(&settings).expect("a session")
}

/// A server as a production one is set up, but for the size of its memory.
pub fn cluster() -> Cluster {
    Cluster::builder()
        .setting("shared_buffers", "1GB")
        .setting("max_wal_size", "64GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off")
        .start()
        .expect("a cluster")
}

pub fn template(cluster: &Cluster, world: &str) {
    cluster
        .create_database("template_of_runs")
        .expect("a database");
    let url = cluster.url("template_of_runs");
    let mut session = session(&url);
    fixture::load_schema(&mut session).expect("Quay's tables");
    World::parse(world)
        .expect("a world")
        .seed(&mut session, chrono::Utc::now())
        .expect("rows");
    drop(session);
    program::run_on(&url, &["migrate", "up"]).expect_status(0);
    self::session(&url).run("VACUUM ANALYZE").expect("a vacuum");
}

/// A fresh copy, from a checkpoint.
pub fn copy(cluster: &Cluster, name: &str) -> String {
    cluster.drop_database("run").expect("dropped");
    cluster
        .clone_database("template_of_runs", "run")
        .expect(name);
    let url = cluster.url("run");
    session(&url).run("CHECKPOINT").expect("a checkpoint");
    url
}

fn bare_update(url: &str) -> f64 {
    let mut session = session(url);
    let begun = Instant::now();
    session
        .run("UPDATE tag SET immutable = true WHERE NOT immutable AND NOT hidden")
        .expect("an update");
    begun.elapsed().as_secs_f64()
}

fn create(url: &str) -> (f64, serde_json::Value) {
    let program = std::env::var("QUAY_DOCTOR_PROGRAM")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_quay-doctor").to_owned());
    let begun = Instant::now();
    let output = Command::new(program)
        .args([
            "--database-url",
            url,
            "--format",
            "json",
            "--quiet",
            "policy",
            "create",
            "--namespace",
            "acme",
        ])
        .args([
            "--pattern",
            "v.*",
            "--strategy",
            "phased",
            "--immutable-tags-can-expire",
            "false",
        ])
        .output()
        .expect("the program starts");
    let took = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{output:?}");
    (took, serde_json::from_slice(&output.stdout).expect("JSON"))
}

pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Pushes of names that no policy matches, by four workers, for as long as `work` takes; p50, p99
/// and the longest, in milliseconds.
fn pushes_during(url: &str, work: impl FnOnce()) -> [f64; 3] {
    let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
    let (stop, times) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for worker in 0..4 {
            let (settings, stop, times) = (&settings, &stop, &times);
            scope.spawn(move || {
                let flavour = Flavour {
                    enforces: Enforces::Active,
                    locking: Locking::Repository,
                    clock_ahead_ms: 0,
                };
                let mut pusher = Pusher::open(settings, flavour).expect("a connection");
                let mut own = Vec::new();
                for nth in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let begun = Instant::now();
                    pusher
                        .push(
                            RepositoryId(worker + 1),
                            &format!("build-{}", nth % 50),
                            None,
                        )
                        .expect("a push");
                    own.push(begun.elapsed().as_secs_f64() * 1000.0);
                    thread::sleep(Duration::from_millis(20));
                }
                times.lock().expect("a list").extend(own);
            });
        }
        work();
        stop.store(true, Ordering::Relaxed);
    });
    let mut times = times.into_inner().expect("a list");
    times.sort_by(f64::total_cmp);
    [
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    ]
}

#[test]
#[ignore = "a measurement of many minutes"]
fn million_tags_are_made_immutable_beside_one_bare_update() {
    let (tags, runs) = (
        number("QUAY_DOCTOR_TAGS", 1_000_000),
        number("QUAY_DOCTOR_RUNS", 3),
    );
    let orders = std::env::var("QUAY_DOCTOR_ORDERS").unwrap_or_else(|_| "v{hex},v{n}".to_owned());
    for name in orders.split(',') {
        let cluster = cluster();
        template(&cluster, &world(name, tags));
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for run in 0..runs {
            bare.push(bare_update(&copy(&cluster, "bare")));
            let (took, said) = create(&copy(&cluster, "ours"));
            ours.push(took);
            eprintln!(
                "{name} run {run}: bare {:.1} s, ours {took:.1} s, {said}",
                bare[bare.len() - 1]
            );
        }
        let (bare, ours) = (median(&mut bare), median(&mut ours));
        eprintln!(
            "{name}: {tags} tags, medians of {runs}: bare {bare:.1} s, ours {ours:.1} s, {:.2} times",
            ours / bare
        );
        let url = copy(&cluster, "pushes");
        let without = pushes_during(&url, || thread::sleep(Duration::from_secs(20)));
        let with = pushes_during(&url, || drop(create(&url)));
        eprintln!(
            "{name}: pushes without {without:.1?} ms, with {with:.1?} ms (p50, p99, longest)"
        );
    }
}

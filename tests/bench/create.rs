//! A creation over a million tags beside one bare UPDATE of the same rows, and beside Quay's way; and
//! what its pushers notice of it.
//!
//! `QUAY_DOCTOR_TAGS` is another number of tags, `QUAY_DOCTOR_ORDERS` other orders of names,
//! `QUAY_DOCTOR_JOBS` another number of sessions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Columns, Statements};
use quay_doctor::quay::{NamespaceId, RepositoryId};
use quay_doctor::sandbox::Cluster;
use quay_doctor::sandbox::quays_way::{Fault, create_namespace_policy};
use testkit::pusher::{Enforces, Flavour, Locking, Pusher};

use super::figures::{Aim, Figure};
use super::stage::{
    bare_update, cluster, copy, measured, median, number, runs, session, template, world, world_of,
};

fn create(url: &str) -> (f64, serde_json::Value) {
    let begun = Instant::now();
    let output = Command::new(measured())
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
            "--jobs",
            &jobs().to_string(),
        ])
        .output()
        .expect("the program starts");
    let took = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{output:?}");
    (took, serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Pushes of names that no policy matches, by four workers, for as long as `work` takes; p50, p99
/// and the longest, in milliseconds. Each worker has a part of the repositories, and goes over it.
fn pushes_during(url: &str, repositories: i32, work: impl FnOnce()) -> [f64; 3] {
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
                    let own_part = nth * 7 % (repositories / 4);
                    pusher
                        .push(
                            RepositoryId(1 + worker + 4 * own_part),
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

/// Who decides Quay's patterns: Python's module, where it and a driver are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decides {
    Python,
    /// Our matcher, which flatters Quay.
    Ours,
}

impl Decides {
    fn told(self) -> &'static str {
        match self {
            Self::Python => "Quay's way, with its own Python modules",
            Self::Ours => "Quay's way, patterns decided by our matcher",
        }
    }

    fn found() -> Self {
        let there = Command::new(python())
            .args(["-c", "import peewee, psycopg2, regex"])
            .output()
            .is_ok_and(|output| output.status.success());
        if there { Self::Python } else { Self::Ours }
    }
}

/// The interpreter of the virtual environment that `.ci/python-venv bench` makes.
fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python-venv/bin/python")
}

/// Quay's creation: 500 rows a batch, each statement its own transaction.
fn as_quay_does(url: &str, decides: Decides) -> f64 {
    let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
    let namespace = session(url)
        .query_one("SELECT id FROM \"user\" WHERE username = 'acme'", &[])
        .expect("a namespace");
    let namespace = NamespaceId(namespace.read(0).expect("an id"));
    let begun = Instant::now();
    match decides {
        Decides::Python => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/quays_way.py");
            let status = Command::new(python())
                .arg(script)
                .args([url, &namespace.0.to_string(), "v.*"])
                .status()
                .expect("Python starts");
            assert!(status.success(), "{status}");
        }
        Decides::Ours => {
            create_namespace_policy(&settings, namespace, "v.*", Fault::None).expect("a policy");
        }
    }
    begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_a_creation_over_a_million_tags() {
    let tags = number("QUAY_DOCTOR_TAGS", 1_000_000);
    let orders = std::env::var("QUAY_DOCTOR_ORDERS").unwrap_or_else(|_| "v{hex},v{n}".to_owned());
    let decides = Decides::found();
    for name in orders.split(',') {
        let cluster = cluster();
        template(&cluster, &world(name, tags, "false"));
        let random = name.contains("hex");
        let order = if random {
            "random order"
        } else {
            "the order in which they were pushed"
        };
        let (mut bare, mut ours, mut quays, mut longest) = (vec![], vec![], vec![], vec![]);
        for run in 0..runs() {
            bare.push(bare_update(&copy(&cluster, "bare"), true));
            let (took, said) = create(&copy(&cluster, "ours"));
            ours.push(took);
            longest.push(said["longest_batch_ms"].as_f64().expect("milliseconds"));
            if random {
                quays.push(as_quay_does(&copy(&cluster, "quays"), decides));
            }
            eprintln!("{name} run {run}: bare {bare:.1?} s, ours {ours:.1?} s, {said}");
        }
        let what = format!("`policy create`, {tags} matching tags, names in {order}, phased");
        let figure = Figure::of(&what, median(&mut ours), "s");
        figure
            .beside("one bare UPDATE in id order", median(&mut bare))
            .aims(Aim::AtMost(if random { 0.8 } else { 1.1 }));
        if random {
            figure
                .beside(decides.told(), median(&mut quays))
                .aims(Aim::TimesFaster(2.5));
            Figure::of("the longest batch of it", median(&mut longest), "ms")
                .beside("`--batch-time`", 50.0)
                .aims(Aim::AtMost(2.0));
        }
        pushes(
            &cluster,
            &format!("{order}, into the four repositories that are being marked"),
            4,
        );
        if random {
            template(&cluster, &world_of(100, name, tags, "false"));
            pushes(
                &cluster,
                &format!("{order}, into a hundred repositories"),
                100,
            );
        }
    }
}

/// What pushes into so many repositories notice of a creation over all of them; and, in its place, of as
/// many loops as it has sessions, which keep processors busy and know of no database. What pushes
/// notice of those is the machine's.
fn pushes(cluster: &Cluster, what: &str, repositories: i32) {
    let (mut without, mut beside_loops, mut with) = (vec![], vec![], vec![]);
    for _ in 0..runs().min(3) {
        let url = copy(cluster, "pushes");
        without.push(pushes_during(&url, repositories, || thread::sleep(PUSHES)));
        beside_loops.push(pushes_during(&url, repositories, || loops(jobs(), PUSHES)));
        with.push(pushes_during(&url, repositories, || drop(create(&url))));
    }
    eprintln!(
        "{what}: pushes without {without:.1?} ms, beside loops {beside_loops:.1?} ms, with {with:.1?} ms \
         (p50, p99, longest)"
    );
    for (nth, quantile) in ["p50", "p99"].into_iter().enumerate() {
        let of = |times: &[[f64; 3]]| {
            median(&mut times.iter().map(|times| times[nth]).collect::<Vec<_>>())
        };
        let what = format!("{quantile} of a push while that runs, names in {what}");
        let figure = Figure::of(&what, of(&with), "ms");
        figure.beside("without", of(&without)).aims(if nth == 1 {
            Aim::AtMost(1.5)
        } else {
            Aim::None
        });
        figure
            .beside(
                &format!("without, and {} loops that keep processors busy", jobs()),
                of(&beside_loops),
            )
            .aims(Aim::None);
    }
}

/// How long pushes go on where nothing else says.
const PUSHES: Duration = Duration::from_secs(20);

/// Keeps processors busy.
fn loops(number: u32, time: Duration) {
    let until = Instant::now() + time;
    thread::scope(|scope| {
        for _ in 0..number {
            scope.spawn(|| while Instant::now() < until {});
        }
    });
}

/// Sessions of a creation.
fn jobs() -> u32 {
    number("QUAY_DOCTOR_JOBS", 2)
}

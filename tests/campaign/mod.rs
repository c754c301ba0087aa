//! The campaign: operations under faults, alone and in histories, drawn at random, judged by the oracle.
//!
//! A schedule that ends inconsistently is shrunk and printed with its seed:
//! `QUAY_DOCTOR_CAMPAIGN_OF=… QUAY_DOCTOR_CAMPAIGN_SEED=n cargo test --test integration campaign::one
//! -- --ignored` runs it again. `make campaign N=10000` runs many, and writes docs/faults.md.

mod at_work;
mod befall;
mod bites;
mod fault;
mod history;
mod operation;
mod others;
mod quay;
mod run;
mod schedule;
mod server;
mod table;
mod violations;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use testkit::shared::TestDatabase;

use self::run::{Came, ours};
use self::schedule::{Of, Schedule, schedules_for_everybody};
use self::table::{Column, Table};
use self::world::Arena;
use crate::program;
use crate::scale::cases;

/// Schedules of each kind of operation, and schedules that Quay's ways are put to as well, by default:
/// the same few in every run. The search is `make campaign`.
const SCHEDULES: u32 = 8;
const BESIDE: u32 = 12;
/// How many databases are worked on at a time, where `QUAY_DOCTOR_CAMPAIGN_ARENAS` does not say: a
/// good part of a schedule is waiting.
const ARENAS: u64 = 2;
/// A campaign draws no more after so many minutes, where `QUAY_DOCTOR_CAMPAIGN_MINUTES` does not say.
const MINUTES: u64 = 24 * 60;
/// Steps of shrinking: each is a schedule of its own.
const SHRINKING: u64 = 60;
/// A schedule that takes longer is told.
const SLOW_SECONDS: f64 = 8.0;
/// So many inconsistent schedules are shrunk and told; the others only count.
const TOLD: usize = 3;

/// An inconsistent schedule.
struct Failure {
    seed: u64,
    schedule: Schedule,
    told: String,
}

/// A schedule drawn from a seed, ready to be shrunk.
fn drawn<S: Strategy>(strategy: &S, seed: u64) -> S::Tree {
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy.new_tree(&mut runner).expect("a schedule")
}

/// Runs a schedule of ours; what is wrong with its end, in words, where something is.
fn wrong_with(arena: &Arena, schedule: &Schedule) -> (Option<Came>, Option<String>) {
    match catch_unwind(AssertUnwindSafe(|| ours(arena, schedule, &program::path()))) {
        Ok(came) if came.verdict.is_consistent() => (Some(came), None),
        Ok(came) => {
            let told = format!("{}\n{:#?}\nacts: {:?}", came.verdict, came.ended, came.acts);
            (Some(came), Some(told))
        }
        Err(panic) => {
            let words = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            (None, Some(words.unwrap_or_else(|| "a panic".to_owned())))
        }
    }
}

/// The simplest schedule that is still inconsistent.
fn shrunk(arena: &Arena, seed: u64, mut tree: impl ValueTree<Value = Schedule>) -> Failure {
    let mut failure = None;
    for _ in 0..number("QUAY_DOCTOR_CAMPAIGN_SHRINKING").unwrap_or(SHRINKING) {
        let schedule = tree.current();
        let (_, told) = wrong_with(arena, &schedule);
        let goes_on = match told {
            Some(told) => {
                failure = Some(Failure {
                    seed,
                    schedule,
                    told,
                });
                tree.simplify()
            }
            None => tree.complicate(),
        };
        if !goes_on {
            break;
        }
    }
    failure.unwrap_or_else(|| Failure {
        seed,
        schedule: tree.current(),
        told: "it did not happen again".to_owned(),
    })
}

/// Runs schedules by their seeds in several databases at once.
fn campaign(of: Of, seed: u64, schedules: u64, beside: u64) -> (Table, Vec<Failure>) {
    let next = AtomicU64::new(0);
    let arenas = number("QUAY_DOCTOR_CAMPAIGN_ARENAS").unwrap_or(ARENAS);
    let minutes = number("QUAY_DOCTOR_CAMPAIGN_MINUTES").unwrap_or(MINUTES);
    let begun = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arenas)
            .map(|_| {
                scope.spawn(|| {
                    let db = TestDatabase::quay().expect("a database");
                    let arena = Arena::prepare(&db.tcp_url(), false).expect("a registry");
                    let (mut table, mut failures) = (Table::default(), Vec::new());
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let late = begun.elapsed().as_secs() >= minutes * 60;
                        if late || nth >= schedules + beside {
                            return (table, failures);
                        }
                        if nth < beside {
                            side_by_side(&arena, seed + nth, &mut table, &mut failures);
                        } else {
                            alone(&arena, (of, seed + nth), &mut table, &mut failures);
                        }
                    }
                })
            })
            .collect();
        let (mut table, mut failures) = (Table::default(), Vec::new());
        for worker in workers {
            let (sums, more) = worker.join().expect("a worker");
            table.merge(sums);
            failures.extend(more);
        }
        (table, failures)
    })
}

fn judged(
    arena: &Arena,
    (seed, tree): (u64, impl ValueTree<Value = Schedule>),
    column: Column,
    table: &mut Table,
    failures: &mut Vec<Failure>,
) {
    let schedule = tree.current();
    let begun = Instant::now();
    let (came, told) = wrong_with(arena, &schedule);
    let seconds = begun.elapsed().as_secs_f64();
    table.seconds(schedule.fault.name(), seconds);
    if seconds > SLOW_SECONDS {
        eprintln!("seed {seed} took {seconds:.0} s: {:?}", schedule.fault);
    }
    table.add(schedule.fault.name(), column, told.is_none());
    table.add_operation(schedule.wanted.name(), told.is_none());
    if let Some(came) = &came {
        let ends = format!("{:?}", came.verdict.ends).to_lowercase();
        *table.ends.entry(ends).or_default() += 1;
    }
    let Some(told) = told else { return };
    eprintln!("seed {seed}: {schedule:#?}\n{told}");
    failures.push(if failures.len() < TOLD {
        shrunk(arena, seed, tree)
    } else {
        Failure {
            seed,
            schedule,
            told,
        }
    });
}

fn alone(arena: &Arena, (of, seed): (Of, u64), table: &mut Table, failures: &mut Vec<Failure>) {
    let tree = drawn(&of.schedules(), seed);
    judged(arena, (seed, tree), Column::Ours, table, failures);
}

fn side_by_side(arena: &Arena, seed: u64, table: &mut Table, failures: &mut Vec<Failure>) {
    let tree = drawn(&schedules_for_everybody(), seed);
    let schedule = tree.current();
    for (column, present) in [(Column::Present, true), (Column::RecommendedFix, false)] {
        let verdict = quay::quays(arena, &schedule, present);
        table.add(schedule.fault.name(), column, verdict.is_consistent());
    }
    judged(arena, (seed, tree), Column::OursBeside, table, failures);
}

#[track_caller]
fn assert_none(failures: &[Failure]) {
    if failures.is_empty() {
        return;
    }
    let told: Vec<String> = failures
        .iter()
        .take(TOLD)
        .map(|failure| {
            format!(
                "QUAY_DOCTOR_CAMPAIGN_SEED={}\n{:#?}\n{}",
                failure.seed, failure.schedule, failure.told
            )
        })
        .collect();
    let seeds: Vec<u64> = failures.iter().map(|failure| failure.seed).collect();
    panic!(
        "{} schedules ended inconsistently, seeds {seeds:?}\n{}",
        failures.len(),
        told.join("\n\n")
    );
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Where the schedules of `make test` begin: the same ones each time, so that what fails is what was
/// changed. `make campaign` looks for new ones.
const SAME: u64 = 20_261_125;

/// The seed that is stated, or another one.
fn seed(otherwise: impl Fn() -> u64) -> u64 {
    let seed = number("QUAY_DOCTOR_CAMPAIGN_SEED").unwrap_or_else(otherwise);
    eprintln!("QUAY_DOCTOR_CAMPAIGN_SEED={seed}");
    seed
}

fn whole_in_the_end(of: Of) {
    let (begun, seed) = (Instant::now(), seed(|| SAME));
    let (table, failures) = campaign(of, seed, cases(SCHEDULES).into(), 0);
    eprintln!(
        "{of:?} {:?} in {} s\n{}",
        table.of(Column::Ours),
        begun.elapsed().as_secs(),
        table.times()
    );
    assert_none(&failures);
}

#[test]
fn under_every_fault_a_creation_is_whole_in_the_end() {
    whole_in_the_end(Of::Creations);
}

#[test]
fn under_every_fault_a_change_of_a_policy_is_whole_in_the_end() {
    whole_in_the_end(Of::Changes);
}

#[test]
fn under_every_fault_a_fix_a_recovery_and_a_migration_are_whole_in_the_end() {
    whole_in_the_end(Of::Repairs);
}

#[test]
fn quays_ways_are_inconsistent_where_ours_is_not() {
    let beside = cases(BESIDE).into();
    let (table, failures) = campaign(Of::Every, seed(|| SAME), 0, beside);
    eprintln!("{}", table.page("beside each other"));
    assert_none(&failures);
    if beside >= u64::from(BESIDE) {
        for column in [Column::Present, Column::RecommendedFix] {
            let counts = table.of(column);
            assert!(
                counts.inconsistent * 5 > counts.schedules,
                "the faults do not bite: {column:?} {counts:?}"
            );
        }
    }
}

/// `make campaign N=10000`: writes docs/faults.md.
#[test]
#[ignore = "a night's work: make campaign"]
fn at_length() {
    let begun = Instant::now();
    let seed = seed(|| fastrand::u64(..1 << 40));
    let wanted = number("QUAY_DOCTOR_CAMPAIGN").unwrap_or(3_000);
    let beside = wanted / 8;
    let histories = wanted / 3;
    let minutes = number("QUAY_DOCTOR_CAMPAIGN_MINUTES").unwrap_or(MINUTES);
    let of_histories = history::everywhere(seed, histories, minutes.div_ceil(2));
    let wanted = wanted - histories;
    let (of_schedules, of_servers) = thread::scope(|scope| {
        let of_servers = scope.spawn(|| {
            let mut all = server::restarts(seed, wanted / 150);
            all.extend(server::full_disks(seed, wanted / 150));
            all.extend((0..wanted / 500).map(|nth| server::failover(seed + nth)));
            all
        });
        let of_schedules = campaign(Of::Every, seed, wanted - beside, beside);
        (of_schedules, of_servers.join().expect("no panic"))
    });
    let (mut table, mut failures) = of_schedules;
    for one in of_servers {
        let consistent = one.came.verdict.is_consistent();
        table.add(one.fault, Column::Ours, consistent);
        table.add_operation(one.operation, consistent);
        if !consistent {
            eprintln!("{} {}: {}", one.fault, one.seed, one.came.verdict);
            failures.push(Failure {
                seed: one.seed,
                schedule: drawn(&Of::Every.schedules(), one.seed).current(),
                told: format!("{}: {}", one.fault, one.came.verdict),
            });
        }
    }
    let mut told = Vec::new();
    for (place, sums) in of_histories {
        told.extend(sums.told.iter().cloned());
        table.add_histories(place, &sums);
    }
    let mut runs = Vec::new();
    if wanted > 0 {
        runs.push(format!(
            "from seed {seed} in {} s",
            begun.elapsed().as_secs()
        ));
    }
    // The figures of earlier runs, from the pages that they wrote.
    for page in std::env::var("QUAY_DOCTOR_CAMPAIGN_ADD")
        .unwrap_or_default()
        .split(':')
    {
        let Ok(text) = std::fs::read_to_string(page) else {
            continue;
        };
        table.merge(Table::read(&text));
        let told = text.split("beside Quay's ways)").nth(1).unwrap_or_default();
        let told = told.split(".\n").next().unwrap_or_default();
        runs.push(told.replace(',', "").trim().to_owned());
    }
    let page = table.page(&runs.join(" and "));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    std::fs::write(path, page).expect("docs/faults.md");
    assert_none(&failures);
    assert!(told.is_empty(), "{}", told.join("\n\n"));
}

/// Seeds of `make campaign` whose schedules once failed, as the generators draw them now.
const ONCE_FAILED: [u64; 2] = [
    // An error of the work in the second batch of a fix: half of it stands until somebody goes on.
    422_096_474_539,
    // Taken off by a user between two workers' first passes over the same stretch, when workers died at
    // other moments; tests/policy/rules/sweep.rs has that situation for certain.
    422_096_475_149,
];

#[test]
fn schedules_that_once_failed_are_whole_in_the_end() {
    let db = TestDatabase::quay().expect("a database");
    let arena = Arena::prepare(&db.tcp_url(), false).expect("a registry");
    for seed in ONCE_FAILED {
        let schedule = drawn(&Of::Every.schedules(), seed).current();
        let (_, told) = wrong_with(&arena, &schedule);
        assert_eq!(told, None, "{seed}: {schedule:#?}");
    }
}

/// One schedule again, by its seed.
#[test]
#[ignore = "for a seed that was printed"]
fn one() {
    let Some(seed) = number("QUAY_DOCTOR_CAMPAIGN_SEED") else {
        return;
    };
    let db = TestDatabase::quay().expect("a database");
    let arena = Arena::prepare(&db.tcp_url(), false).expect("a registry");
    let schedule = match std::env::var("QUAY_DOCTOR_CAMPAIGN_OF").as_deref() {
        Ok("Beside") => drawn(&schedules_for_everybody(), seed).current(),
        Ok("Creations") => drawn(&Of::Creations.schedules(), seed).current(),
        Ok("Changes") => drawn(&Of::Changes.schedules(), seed).current(),
        Ok("Repairs") => drawn(&Of::Repairs.schedules(), seed).current(),
        _ => drawn(&Of::Every.schedules(), seed).current(),
    };
    eprintln!("{schedule:#?}");
    let (came, told) = wrong_with(&arena, &schedule);
    eprintln!("{came:#?}");
    assert_eq!(told, None);
}

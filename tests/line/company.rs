//! Fixers in company: beside another fixer, a policy operation or Quay's pushers they never leave a
//! violation that was not there before.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quay_doctor::pg::{Columns, Statements};
use quay_doctor::quay::RepositoryId;
use testkit::pusher::{Enforces, Flavour, Locking, Pushed, Pusher};

use super::property::{describe, worlds};
use super::stage::{RELEASE, Stage};
use crate::program::Ended;

/// Cases of each company.
const CASES: u32 = 10;

/// What is wrong: rule, kind of row, id.
fn violations(stage: &Stage) -> BTreeSet<(String, String, i64)> {
    let report = stage
        .run(&[
            "check",
            "--format",
            "json",
            "--limit",
            "100000",
            "--immutable-tags-can-expire",
            "false",
        ])
        .json();
    assert_eq!(report["truncated"], false);
    let undecided = report["rules"].as_array().expect("rules").iter();
    for rule in undecided {
        assert_eq!(rule["undecided"], 0, "{rule}");
    }
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    report["violations"]
        .as_array()
        .expect("violations")
        .iter()
        // A policy that somebody creates meanwhile may well repeat one that is there.
        .filter(|violation| violation["rule"] != "redundant-policy")
        .map(|violation| {
            let subject = &violation["subject"];
            (
                text(&violation["rule"]),
                text(&subject["kind"]),
                subject["id"].as_i64().expect("an id"),
            )
        })
        .collect()
}

/// What a fixer does: by which remedy, how long its batches are, whether it takes itself back.
#[derive(Clone, Debug)]
struct Fixer {
    remedy: &'static str,
    batch: &'static str,
    strategy: &'static str,
    undoes: bool,
}

fn fixers() -> impl Strategy<Value = Fixer> {
    (
        prop::sample::select(vec![RELEASE, "orphaned-immutable-tag=keep"]),
        prop::sample::select(vec!["1ms", "5ms", "50ms"]),
        prop::sample::select(vec!["phased", "phased", "atomic"]),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(remedy, batch, strategy, undoes)| Fixer {
            remedy,
            batch,
            strategy,
            undoes,
        })
}

/// A lock that somebody else held for too long, all or nothing that was not possible, or an operation that is at work
/// is an honest end; anything else is not.
fn honest(ended: &Ended) -> bool {
    matches!(ended.status, 0 | 1)
        || ended.status == 3 && ended.stdout.contains("has not ended, and its worker")
        || ended.status == 3
            && ["all or nothing", "lock", "cut short"]
                .iter()
                .any(|word| ended.stderr.contains(word))
}

fn fix(stage: &Stage, fixer: &Fixer) {
    let mut args = vec!["fix", "--apply", "--immutable-tags-can-expire", "false"];
    args.extend(["--remedy", fixer.remedy, "--batch-time", fixer.batch]);
    args.extend(["--strategy", fixer.strategy, "--format", "json"]);
    let ended = stage.run(&args);
    assert!(honest(&ended), "{ended:#?}");
    if fixer.undoes && ended.status < 2 {
        let run = ended.json()["run"].to_string();
        let undone = stage.run(&["fix", "undo", &run, "--batch-time", fixer.batch]);
        assert!(honest(&undone), "{undone:#?}");
    }
}

/// Random worlds, a fixer, and something beside it; afterwards nothing is wrong that was not, but for
/// what the company can do to itself.
fn in_company<C: std::fmt::Debug + Sync>(
    company: impl Strategy<Value = C>,
    its_own: impl Fn(&C) -> Option<&'static str>,
    beside: impl Fn(&Stage, &C, &AtomicBool) + Sync,
) {
    let mut runner = TestRunner::new(Config {
        cases: crate::scale::cases(CASES),
        // What depends on who comes first cannot be made smaller by trying again.
        max_shrink_iters: 0,
        ..Config::default()
    });
    runner
        .run(&(worlds(), fixers(), company), |(world, fixer, company)| {
            let stage = Stage::migrated(&describe(&world));
            let before = violations(&stage);
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                let other = scope.spawn(|| beside(&stage, &company, &over));
                fix(&stage, &fixer);
                over.store(true, Ordering::Relaxed);
                other.join().expect("the company");
            });
            let own = its_own(&company);
            let fresh: Vec<_> = violations(&stage)
                .difference(&before)
                .filter(|(rule, ..)| own != Some(rule))
                .cloned()
                .collect();
            prop_assert!(fresh.is_empty(), "{:?}", fresh);
            let unfinished = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";
            prop_assert_eq!(stage.count(unfinished), 0);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_fixer_beside_another_fixer_makes_no_violation() {
    in_company(fixers(), |_| None, |stage, fixer, _| fix(stage, fixer));
}

#[test]
fn a_fixer_beside_a_policy_operation_makes_no_violation() {
    let operation = (
        prop::sample::select(vec!["v.*", "w.*", ".*2", "x\\..*|v.*"]),
        prop::sample::select(vec!["keep", "release"]),
        prop::sample::select(vec!["create", "delete"]),
    );
    in_company(
        operation,
        |_| None,
        |stage, (pattern, tags, verb), _| {
            let uuid = |stage: &Stage| -> Option<String> {
                let policy = "SELECT uuid FROM namespaceimmutabilitypolicy ORDER BY id LIMIT 1";
                let row = stage.session().query_opt(policy, &[]).expect("an answer");
                row.map(|row| row.read(0).expect("text"))
            };
            let ended = match (*verb, uuid(stage)) {
                ("delete", Some(uuid)) => stage.run(&[
                    "policy",
                    "delete",
                    &uuid,
                    "--tags",
                    tags,
                    "--batch-time",
                    "5ms",
                    "--immutable-tags-can-expire",
                    "false",
                ]),
                _ => stage.run(&[
                    "policy",
                    "create",
                    "--namespace",
                    "ns0",
                    "--pattern",
                    pattern,
                    "--batch-time",
                    "5ms",
                    "--immutable-tags-can-expire",
                    "false",
                ]),
            };
            // 2: there is such a policy already.
            assert!(matches!(ended.status, 0 | 2), "{ended:#?}");
        },
    );
}

#[test]
fn a_fixer_beside_pushers_makes_no_violation() {
    let pushers = (
        prop::collection::vec(
            prop::sample::select(vec![Locking::Repository, Locking::None]),
            1..4,
        ),
        any::<u64>(),
    );
    // Without Quay's lock a push can end a row that becomes immutable at that very moment.
    let race = |(lockings, _): &(Vec<Locking>, u64)| {
        lockings
            .contains(&Locking::None)
            .then_some("uncollectable-tag")
    };
    in_company(pushers, race, |stage, (lockings, seed), over| {
        let settings = stage.db.settings().expect("settings");
        let rows = stage
            .session()
            .query("SELECT id FROM repository ORDER BY id", &[])
            .expect("repositories");
        let repositories: Vec<RepositoryId> = rows
            .iter()
            .map(|row| RepositoryId(row.read(0).expect("an id")))
            .collect();
        thread::scope(|scope| {
            for (nth, locking) in (0..).zip(lockings) {
                let flavour = Flavour {
                    enforces: Enforces::Active,
                    locking: *locking,
                    clock_ahead_ms: 0,
                };
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(nth));
                let (settings, repositories) = (&settings, &repositories);
                scope.spawn(move || {
                    let mut pusher = Pusher::open(settings, flavour).expect("a connection");
                    while !over.load(Ordering::Relaxed) {
                        let name = format!(
                            "{}{}{}",
                            random.choice(["v", "w", "release-", "x."]).expect("one"),
                            random.u32(..3),
                            random.u32(..6)
                        );
                        let repository = repositories[random.usize(..repositories.len())];
                        let pause = Duration::from_micros(random.u64(..3_000));
                        match pusher.push(repository, &name, Some(pause)) {
                            Ok(Pushed::New(..) | Pushed::Refused | Pushed::Collided) => {}
                            Err(error) => panic!("Quay was disturbed: {error:?}"),
                        }
                        thread::sleep(Duration::from_micros(random.u64(200..3_000)));
                    }
                });
            }
        });
    });
}

#[test]
fn the_look_at_the_end_finds_what_is_wrong_and_was_not() {
    let stage = Stage::migrated(super::stage::BOTH_FAILURES);
    let before = violations(&stage);
    assert_eq!(before.len(), 520);
    stage.sql("UPDATE tag SET immutable = NOT immutable WHERE name IN ('nightly-3', 'v1.7')");
    let fresh: Vec<_> = violations(&stage).difference(&before).cloned().collect();
    assert_eq!(fresh.len(), 2, "{fresh:?}");
}

//! Random worlds against the reference: rule by rule, violation by violation.

mod database;
mod reference;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use quay_doctor::evaluate::{
    Bulk, Evaluator, Features, Grace, Mark, Moment, PolicyBook, PolicyStanding, RuleOutcome,
    ScopeSets, Stated, Strictness, Subject, Violation,
};
use quay_doctor::quay::is_alive;
use quay_doctor::rules::Catalogue;

use reference::{Answer, Sums};
use world::{Accounted, Rows, World, rows, worlds};

const GRACE: Grace = Grace(Duration::from_secs(15 * 60));

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000, 0).expect("a time")
}

fn features(world: &World) -> Features {
    Features {
        immutable_tags: Stated::On,
        can_expire: match world.can_expire {
            Some(true) => Stated::On,
            Some(false) => Stated::Off,
            None => Stated::Unknown,
        },
    }
}

fn moment(world: &World) -> Moment {
    Moment {
        now: now(),
        stale_after: Duration::from_secs(3600),
        features: features(world),
        strictness: Strictness::Lenient,
    }
}

/// The checker's sums in the reference's words.
fn answer(outcomes: &[RuleOutcome], violations: &[Violation]) -> Answer {
    let mut answer = Answer::new();
    for (rule, _) in RULES {
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.id.0 == *rule) else {
            continue;
        };
        let violated: BTreeSet<i32> = violations
            .iter()
            .filter(|violation| violation.rule == outcome.id)
            .map(|violation| match &violation.subject {
                Subject::Tag(tag) => tag.row.id.0,
                Subject::Policy(policy) => policy.id.0,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(outcome.violations, violated.len() as u64, "{rule}");
        let sums = Sums {
            subjects: outcome.subjects,
            violated,
            explained: outcome.explained,
            undecided: outcome.undecided.subjects,
            settling: outcome.settling,
        };
        answer.insert(rule, sums);
    }
    answer
}

/// The rules that the reference knows, and whether they are about tags.
const RULES: &[(&str, bool)] = &[
    ("orphaned-immutable-tag", true),
    ("unprotected-tag", true),
    ("immutable-tag-with-expiry", true),
    ("uncollectable-tag", true),
    ("invalid-policy", false),
    ("undecidable-policy", false),
    ("slow-pattern", false),
    ("stale-inactive-policy", false),
    ("duplicate-policy", false),
    ("misplaced-policy", false),
    ("redundant-policy", false),
    ("policy-on-mirror", false),
];

fn expected(rows: &Rows, world: &World, at: DateTime<Utc>) -> Answer {
    let mut answer = reference::check(rows, world.can_expire, at);
    for (rule, _) in RULES {
        answer.entry(rule).or_default();
    }
    answer
}

/// Row by row, as a second look and a correction judge.
fn by_rows(rows: &Rows, world: &World, catalogue: &Catalogue) -> Answer {
    let book = PolicyBook::new(rows.policies.clone());
    let mut evaluator =
        Evaluator::new(catalogue.rules(), &rows.registry, &book, moment(world)).with_grace(GRACE);
    let mut violations = evaluator.policies(|_| PolicyStanding::default());
    for row in &rows.tags {
        let candidates = evaluator.tag(row);
        violations.extend(evaluator.conclude(candidates, &rows.accounts));
    }
    answer(&evaluator.into_outcomes(), &violations)
}

/// By the block, as a scan judges; suspects row by row.
fn by_blocks(rows: &Rows, world: &World, catalogue: &Catalogue) -> Answer {
    let book = PolicyBook::new(rows.policies.clone());
    let sets = ScopeSets::new(&book, &rows.registry);
    let moment = moment(world);
    let by = (&rows.registry, &book);
    let mut bulk = Bulk::new(catalogue.rules(), by, &sets, (moment, GRACE));
    let mut evaluator =
        Evaluator::new(catalogue.rules(), &rows.registry, &book, moment).with_grace(GRACE);
    let mut violations = evaluator.policies(|_| PolicyStanding::default());
    for row in &rows.tags {
        let live = is_alive(row.hidden, row.expiry, moment.millis());
        let dead = row.expiry.0.is_some_and(|end| end <= moment.millis());
        if !(live || dead && row.immutability.as_column()) {
            continue;
        }
        bulk.take(Mark::of(row, moment.millis()), &row.name);
        let look = !bulk.drain().is_empty();
        if look {
            let candidates = evaluator.tag(row);
            violations.extend(evaluator.conclude(candidates, &rows.accounts));
        }
    }
    evaluator.absorb(bulk.into_outcomes());
    answer(&evaluator.into_outcomes(), &violations)
}

fn run<S: Strategy>(cases: u32, worlds: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config {
        cases: crate::scale::cases(cases),
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(worlds, test)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn on_random_worlds_the_checker_says_what_the_reference_says() {
    let catalogue = Catalogue::built_in().expect("rules");
    run(500, &worlds(), |world| {
        let rows = rows(&world, now());
        let expected = expected(&rows, &world, now());
        prop_assert_eq!(&by_rows(&rows, &world, &catalogue), &expected);
        prop_assert_eq!(&by_blocks(&rows, &world, &catalogue), &expected);
        Ok(())
    });
}

/// One fact of one tag, changed.
fn mutate(world: &mut World, choice: usize) -> bool {
    let mut tags = world
        .spaces
        .iter_mut()
        .flat_map(|s| &mut s.repos)
        .flat_map(|r| &mut r.tags);
    let Some(tag) = tags.next() else { return false };
    match choice {
        0 => tag.immutable = !tag.immutable,
        1 => tag.ends = if tag.ends.is_some() { None } else { Some(-100) },
        2 => tag.name = (tag.name + 1) % world::NAMES.len(),
        3 => {
            tag.accounted = if tag.accounted == Accounted::Label {
                Accounted::No
            } else {
                Accounted::Label
            }
        }
        _ => tag.hidden = !tag.hidden,
    }
    true
}

fn violations(answer: &Answer) -> BTreeSet<(&'static str, i32)> {
    let rules = answer.iter();
    rules
        .flat_map(|(rule, sums)| sums.violated.iter().map(|id| (*rule, *id)))
        .collect()
}

#[test]
fn a_fact_of_one_tag_changes_that_tags_violations_alone_and_as_expected() {
    let catalogue = Catalogue::built_in().expect("rules");
    let changed = std::cell::Cell::new(0_u32);
    run(500, &(worlds(), 0..5_usize), |(world, choice)| {
        let mut after = world.clone();
        if !mutate(&mut after, choice) {
            return Ok(());
        }
        let (rows_before, rows_after) = (rows(&world, now()), rows(&after, now()));
        let first = rows_before.tags[0].id.0;
        let before = violations(&by_rows(&rows_before, &world, &catalogue));
        let now_found = violations(&by_rows(&rows_after, &after, &catalogue));
        prop_assert_eq!(
            &now_found,
            &violations(&expected(&rows_after, &after, now()))
        );
        for (rule, id) in before.symmetric_difference(&now_found) {
            prop_assert_eq!(*id, first, "{} of another row", rule);
            changed.set(changed.get() + 1);
        }
        Ok(())
    });
    assert!(changed.get() > 0, "no mutation ever mattered");
}

#[test]
fn a_deactivated_policy_changes_violations_of_its_scope_alone() {
    let catalogue = Catalogue::built_in().expect("rules");
    run(300, &worlds(), |world| {
        let mut after = world.clone();
        let mut policies = after
            .spaces
            .iter_mut()
            .flat_map(|space| &mut space.policies);
        let Some(policy) = policies.find(|policy| policy.active) else {
            return Ok(());
        };
        policy.active = false;
        let (rows_before, rows_after) = (rows(&world, now()), rows(&after, now()));
        let scope = rows_before
            .policies
            .iter()
            .zip(&rows_after.policies)
            .find(|(before, after)| before != after)
            .map(|(before, _)| before.scope)
            .expect("the one that was changed");
        let before = violations(&by_rows(&rows_before, &world, &catalogue));
        let now_found = violations(&by_rows(&rows_after, &after, &catalogue));
        prop_assert_eq!(
            &now_found,
            &violations(&expected(&rows_after, &after, now()))
        );
        for (rule, id) in before.symmetric_difference(&now_found) {
            let tag = rows_after.tags.iter().find(|tag| tag.id.0 == *id);
            let of_tag = tag.and_then(|tag| rows_after.registry.namespace_of(tag.repository));
            let policy = rows_after.policies.iter().find(|policy| policy.id.0 == *id);
            let of_policy = policy.and_then(|policy| match policy.scope {
                quay_doctor::quay::Scope::Namespace(id) => Some(id),
                quay_doctor::quay::Scope::Repository(id) => rows_after.registry.namespace_of(id),
            });
            let place = of_tag
                .or(of_policy)
                .map(quay_doctor::quay::Scope::Namespace);
            prop_assert_eq!(place, Some(scope), "{} of {}", rule, id);
        }
        Ok(())
    });
}

//! Random worlds against the reference: rule by rule, violation by violation.

mod database;
mod reference;
mod rows;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use quay_doctor::evaluate::{
    Bulk, Evaluator, Features, Grace, Mark, Moment, PolicyBook, RuleOutcome, ScopeSets, Stated,
    Strictness, Subject, Violation,
};
use quay_doctor::quay::{NamespaceId, Scope, is_alive};
use quay_doctor::rules::Catalogue;

use reference::{Answer, Sums};
use rows::{Rows, rows};
use world::{Accounted, World, worlds};

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
    for rule in RULES {
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.id.0 == *rule) else {
            continue;
        };
        let violated: BTreeSet<i64> = violations
            .iter()
            .filter(|violation| violation.rule == outcome.id)
            .map(|violation| match &violation.subject {
                Subject::Tag(tag) => i64::from(tag.row.id.0),
                Subject::Policy(policy) => i64::from(policy.id.0),
                Subject::Operation(operation) => operation.id.0,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(outcome.violations, violated.len() as u64, "{rule}");
        let sums = Sums {
            subjects: outcome.subjects,
            violated,
            explained: outcome.explained,
            undecided: outcome.undecided.subjects,
            accepted: outcome.accepted,
            settling: outcome.settling,
        };
        answer.insert(rule, sums);
    }
    answer
}

/// The rules that the reference knows: all that are built in.
const RULES: &[&str] = &[
    "orphaned-immutable-tag",
    "unprotected-tag",
    "immutable-tag-with-expiry",
    "uncollectable-tag",
    "invalid-policy",
    "undecidable-policy",
    "slow-pattern",
    "stale-inactive-policy",
    "duplicate-policy",
    "misplaced-policy",
    "redundant-policy",
    "policy-on-mirror",
    "interrupted-operation",
];

#[test]
fn the_reference_knows_every_rule() {
    let catalogue = Catalogue::built_in().expect("rules");
    let built_in: BTreeSet<&str> = catalogue.rules().iter().map(|rule| &*rule.id.0).collect();
    assert_eq!(built_in, RULES.iter().copied().collect());
}

fn expected(rows: &Rows, world: &World, at: DateTime<Utc>) -> Answer {
    let mut answer = reference::check(rows, world.can_expire, at);
    for rule in RULES {
        answer.entry(rule).or_default();
    }
    answer
}

/// Row by row, as a second look and a correction judge.
fn by_rows(rows: &Rows, world: &World, catalogue: &Catalogue) -> Answer {
    let book = PolicyBook::new(rows.policies.clone()).accepting(&rows.accepted);
    let mut evaluator =
        Evaluator::new(catalogue.rules(), &rows.registry, &book, moment(world)).with_grace(GRACE);
    let mut violations = evaluator.policies(|row| rows.standing(row));
    violations.extend(evaluator.operations(&rows.operation_subjects(now())));
    for row in &rows.tags {
        let candidates = evaluator.tag(row);
        violations.extend(evaluator.conclude(candidates, &rows.accounts));
    }
    answer(&evaluator.into_outcomes(), &violations)
}

/// By the block, as a scan judges; suspects row by row.
fn by_blocks(rows: &Rows, world: &World, catalogue: &Catalogue) -> Answer {
    let book = PolicyBook::new(rows.policies.clone()).accepting(&rows.accepted);
    let sets = ScopeSets::new(&book, &rows.registry);
    let moment = moment(world);
    let by = (&rows.registry, &book);
    let mut bulk = Bulk::new(catalogue.rules(), by, &sets, (moment, GRACE));
    let mut evaluator =
        Evaluator::new(catalogue.rules(), &rows.registry, &book, moment).with_grace(GRACE);
    let mut violations = evaluator.policies(|row| rows.standing(row));
    violations.extend(evaluator.operations(&rows.operation_subjects(now())));
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

/// A fact of a tag that is changed.
const FACTS: [&str; 5] = ["immutable", "expired", "renamed", "labelled", "hidden"];

/// One fact of one tag, changed.
fn mutate(world: &mut World, fact: usize) -> bool {
    let mut tags = world
        .spaces
        .iter_mut()
        .flat_map(|s| &mut s.repos)
        .flat_map(|r| &mut r.tags);
    let Some(tag) = tags.next() else { return false };
    match FACTS[fact] {
        "immutable" => tag.immutable = !tag.immutable,
        "expired" => tag.ends = if tag.ends.is_some() { None } else { Some(-100) },
        "renamed" => tag.name = (tag.name + 1) % world::NAMES.len(),
        "labelled" => {
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

fn violations(answer: &Answer) -> BTreeSet<(&'static str, i64)> {
    let rules = answer.iter();
    rules
        .flat_map(|(rule, sums)| sums.violated.iter().map(|id| (*rule, *id)))
        .collect()
}

#[test]
fn a_fact_of_one_tag_changes_that_tags_violations_alone_and_as_expected() {
    let catalogue = Catalogue::built_in().expect("rules");
    let changed = std::cell::RefCell::new([0_u32; FACTS.len()]);
    run(1_000, &(worlds(), 0..FACTS.len()), |(world, fact)| {
        let mut after = world.clone();
        if !mutate(&mut after, fact) {
            return Ok(());
        }
        let (rows_before, rows_after) = (rows(&world, now()), rows(&after, now()));
        let first = i64::from(rows_before.tags[0].id.0);
        let before = violations(&by_rows(&rows_before, &world, &catalogue));
        let now_found = violations(&by_rows(&rows_after, &after, &catalogue));
        prop_assert_eq!(
            &now_found,
            &violations(&expected(&rows_after, &after, now()))
        );
        for (rule, id) in before.symmetric_difference(&now_found) {
            prop_assert_eq!(*id, first, "{} of another row", rule);
            changed.borrow_mut()[fact] += 1;
        }
        Ok(())
    });
    let changed = changed.into_inner();
    eprintln!("{FACTS:?} {changed:?}");
    if crate::scale::cases(1_000) >= 1_000 {
        let mattered = changed.iter().all(|times| *times > 0);
        assert!(
            mattered,
            "a mutation that never mattered: {FACTS:?} {changed:?}"
        );
    }
}

/// The namespace that a scope is in.
fn place(rows: &Rows, scope: Scope) -> Option<NamespaceId> {
    match scope {
        Scope::Namespace(id) => Some(id),
        Scope::Repository(id) => rows.registry.namespace_of(id),
    }
}

#[test]
fn a_deactivated_policy_changes_violations_of_its_scope_alone() {
    let catalogue = Catalogue::built_in().expect("rules");
    let changed = std::cell::RefCell::new([0_u32; 2]);
    run(400, &(worlds(), any::<bool>()), |(world, of_repository)| {
        let mut after = world.clone();
        let policies = after.spaces.iter_mut().flat_map(|space| {
            let of_repositories = space.repos.iter_mut().flat_map(|repo| &mut repo.policies);
            let of_space = (!of_repository).then_some(&mut space.policies);
            of_space
                .into_iter()
                .flatten()
                .chain(of_repositories.filter(move |_| of_repository))
        });
        let Some(policy) = policies.into_iter().find(|policy| policy.active) else {
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
            let tag = rows_after.tags.iter().find(|t| i64::from(t.id.0) == *id);
            let of_tag = tag.map(|tag| Scope::Repository(tag.repository));
            let policy = rows_after
                .policies
                .iter()
                .find(|p| i64::from(p.id.0) == *id);
            let about = of_tag.or(policy.map(|policy| policy.scope)).expect("a row");
            let inside = match scope {
                Scope::Namespace(_) => place(&rows_after, about) == place(&rows_after, scope),
                Scope::Repository(_) => about == scope,
            };
            prop_assert!(inside, "{} of {}", rule, id);
            changed.borrow_mut()[usize::from(of_repository)] += 1;
        }
        Ok(())
    });
    let changed = changed.into_inner();
    eprintln!("of namespaces and of repositories: {changed:?}");
    if crate::scale::cases(400) >= 400 {
        assert!(changed.iter().all(|times| *times > 0), "{changed:?}");
    }
}

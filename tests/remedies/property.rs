//! Random worlds and random choices: what was decided is clean, again is nothing, undo is the
//! identity, and evidence is respected.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use quay_doctor::pg::{Columns, Statements};
use serde_json::Value;

use super::journey::dump;
use super::worlds::{INACTIVE, World, describe, world};
use crate::line::stage::Stage;

/// What may be chosen for each rule; the first is nothing.
const ROWS: [&[&str]; 4] = [
    &[
        "",
        "orphaned-immutable-tag=release",
        "orphaned-immutable-tag=keep",
    ],
    &["", "immutable-tag-with-expiry=clear-expiry"],
    &["", "uncollectable-tag=release"],
    &["", "redundant-policy=delete"],
];
/// The same, with remedies that are operations.
const OPERATIONS: [&[&str]; 7] = [
    &[
        "",
        "orphaned-immutable-tag=release",
        "orphaned-immutable-tag=keep",
    ],
    &["", "stale-inactive-policy=activate"],
    &["", "duplicate-policy=delete"],
    &["", "policy-on-mirror=delete", "policy-on-mirror=deactivate"],
    &["", "immutable-tag-with-expiry=clear-expiry"],
    &["", "uncollectable-tag=release"],
    &["", "redundant-policy=delete", "invalid-policy=delete"],
];

/// A rule and a row, or a rule and a place.
type Cases = BTreeSet<(String, String)>;

struct Case {
    stage: Stage,
    chosen: Vec<&'static str>,
    can_expire: bool,
    /// A short one makes batches of one row.
    batch_time: &'static str,
}

impl Case {
    fn run(&self, args: &[&str]) -> Value {
        let can_expire = self.can_expire.to_string();
        let mut all = args.to_vec();
        all.extend(["--immutable-tags", "true", "--format", "json"]);
        all.extend(["--immutable-tags-can-expire", &can_expire]);
        let url = self.stage.db.url();
        all.extend(["--database-url", &url]);
        // Where batches are short, several sessions make them.
        let writes = args.contains(&"--apply") || args.contains(&"undo");
        if writes && self.batch_time == "1ms" {
            all.extend(["--jobs", "2"]);
        }
        let ended = crate::program::run(&all);
        assert!(matches!(ended.status, 0 | 1), "{args:?}: {ended:#?}");
        ended.json()
    }

    fn fix(&self, more: &[&str]) -> Value {
        let mut args = vec!["fix", "--audit", "none"];
        for choice in &self.chosen {
            args.extend(["--remedy", choice]);
        }
        args.extend(more);
        if more.contains(&"--apply") {
            args.extend(["--batch-time", self.batch_time]);
        }
        self.run(&args)
    }

    /// Rules and rows that are violated, and rules and places.
    fn violations(&self) -> (Cases, Cases) {
        let report = self.run(&["check", "--fail-on", "info"]);
        let (mut rows, mut places) = (Cases::new(), Cases::new());
        for violation in report["violations"].as_array().expect("violations") {
            let (rule, subject) = (&violation["rule"], &violation["subject"]);
            rows.insert(case(rule, subject));
            if violation["severity"] != "info" {
                let place = format!("{}/{}", subject["namespace"], subject["repository"]);
                places.insert((rule.to_string(), place));
            }
        }
        (rows, places)
    }

    /// Tags with evidence: what they are.
    fn evident(&self) -> Vec<(String, bool, Option<i64>)> {
        let mut session = self.stage.session();
        let rows = session.query(
            "SELECT format('%s %s', id, name), immutable, lifetime_end_ms FROM tag
             WHERE name LIKE '%e' AND NOT hidden AND (lifetime_end_ms IS NULL
                 OR lifetime_end_ms > (extract(epoch FROM now()) * 1000)::bigint)
             ORDER BY id",
            &[],
        );
        let read = |row: &quay_doctor::pg::Row| {
            let column = "a column";
            (
                row.read(0).expect(column),
                row.read(1).expect(column),
                row.read(2).expect(column),
            )
        };
        rows.expect("tags").iter().map(read).collect()
    }
}

fn case(rule: &Value, subject: &Value) -> (String, String) {
    (
        rule.to_string(),
        // The two tables of policies count on their own.
        format!("{} {} {}", subject["kind"], subject["name"], subject["id"]),
    )
}

fn holds(
    choices: &[&[&'static str]],
    worlds: &[World],
    picks: &[usize],
    can_expire: bool,
    short: bool,
) -> Result<(), TestCaseError> {
    let stage = Stage::migrated(&describe(worlds));
    stage.sql(INACTIVE);
    let picked = choices.iter().zip(picks);
    let chosen: Vec<&str> = picked
        .map(|(choices, pick)| choices[pick % choices.len()])
        .filter(|choice| !choice.is_empty())
        .collect();
    let case = Case {
        stage,
        chosen,
        can_expire,
        batch_time: if short { "1ms" } else { "50ms" },
    };
    let (before, evident) = (dump(&case.stage), case.evident());
    let (_, places_before) = case.violations();
    let plan = case.fix(&[]);
    prop_assert_eq!(&dump(&case.stage), &before, "a plan changes nothing");

    let run = case.fix(&["--apply"]);
    // Nobody else is at work: all of the plan goes through, but for operations that one before made needless, and
    // every decided violation is gone.
    let needless = run["operations"].as_array().into_iter().flatten();
    let needless = needless.filter(|operation| operation["ended"] == "skipped");
    prop_assert_eq!(
        run["skipped"].clone(),
        needless.count(),
        "{:#} {:#}",
        run,
        plan
    );
    let (rows, places) = case.violations();
    for correction in plan["corrections"].as_array().expect("corrections") {
        let decided = super::property::case(&correction["rule"], &correction["subject"]);
        prop_assert!(!rows.contains(&decided), "{:?} {:#}", decided, correction);
    }
    prop_assert_eq!(run["more"].clone(), Value::Null, "{:#}", run);
    let after = dump(&case.stage);
    let again = case.fix(&["--apply"]);
    prop_assert_eq!(again["applied"].clone(), 0, "{:#} {:#}", run, again);
    prop_assert_eq!(dump(&case.stage), after, "again is nothing");
    let fresh: Vec<_> = places.difference(&places_before).collect();
    prop_assert!(fresh.is_empty(), "{:?}", fresh);
    respected(&case, &evident)?;

    let undone = case.run(&["fix", "undo", &run["run"].to_string(), "--audit", "none"]);
    prop_assert_eq!(undone["refused"].clone(), 0, "{:#}", undone);
    prop_assert_eq!(dump(&case.stage), before, "byte for byte");
    Ok(())
}

/// What a user, a label or an administrator accounts for is as it was, unless that very thing was
/// asked for.
fn respected(case: &Case, before: &[(String, bool, Option<i64>)]) -> Result<(), TestCaseError> {
    let activates = case.chosen.contains(&"stale-inactive-policy=activate");
    let clears = case
        .chosen
        .contains(&"immutable-tag-with-expiry=clear-expiry");
    let after = case.evident();
    prop_assert_eq!(after.len(), before.len());
    for (was, is) in before.iter().zip(&after) {
        if was.1 {
            prop_assert!(is.1, "{} lost a protection that is somebody's", was.0);
            prop_assert!(is.2 == was.2 || clears, "{} lost its expiry", was.0);
        } else if !activates {
            prop_assert_eq!(is, was, "an administrator took it off");
        }
    }
    Ok(())
}

/// So many databases with so many worlds each: creating one and migrating it costs more than a run.
fn run(choices: &'static [&'static [&'static str]], databases: u32, each: usize) {
    let mut runner = TestRunner::new(Config {
        cases: crate::scale::cases(databases),
        max_shrink_iters: 6,
        failure_persistence: None,
        ..Config::default()
    });
    let picks = prop::collection::vec(0..6_usize, choices.len());
    let worlds = prop::collection::vec(world(), each);
    let can_expire = prop::bool::weighted(0.2);
    runner
        .run(
            &(worlds, picks, can_expire, any::<bool>()),
            |(worlds, picks, can_expire, short)| holds(choices, &worlds, &picks, can_expire, short),
        )
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn on_random_worlds_the_decided_is_clean_again_is_nothing_undo_is_the_identity() {
    run(&ROWS, 5, 100);
}

#[test]
fn the_same_holds_where_a_run_conducts_operations() {
    run(&OPERATIONS, 5, 20);
}

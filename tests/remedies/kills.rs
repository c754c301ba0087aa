//! A run that dies while it conducts an operation, or takes one back: the same undo ends it whole.

use testkit::moments::{Boundary, telling_commits};

use super::dying;
use super::journey::Journey;

/// The fewest COMMITs that a run with an operation has.
const FEWEST: usize = 4;

const CUT_OFF: &str = r#"
    seed = 40
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "latest"
"#;

/// A policy that a run deletes, and its undo brings back.
const MIRROR: &str = r#"
    seed = 41
    [[namespace]]
    name = "copies"
    source = "mirror"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
"#;

const RECREATE: [&str; 4] = [
    "--remedy",
    "orphaned-immutable-tag=recreate",
    "--pattern",
    "v.*",
];

fn journey() -> Journey {
    Journey::through(CUT_OFF, "", "orphaned-immutable-tag").with(&RECREATE)
}

/// The arguments of `fix …`.
fn fix<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let rest = ["--audit", "none", "--immutable-tags-can-expire", "false"];
    [&["fix"], args, &rest].concat()
}

/// Before and after each COMMIT of a command that is worth it; the command is carried out.
fn boundaries(journey: &Journey, args: &[&str]) -> Vec<Boundary> {
    let commits = dying::commits(&journey.stage, &fix(args));
    assert!(commits.len() >= FEWEST, "{} COMMITs", commits.len());
    let telling = telling_commits(&commits).into_iter();
    telling
        .flat_map(|nth| [Boundary::before(nth), Boundary::after(nth)])
        .collect()
}

/// How many runs and operations there have been.
const BEGUN: &str = "SELECT count(*) FROM quay_doctor.operation";
/// The run that began last.
const LAST: &str = "SELECT coalesce(max(id), 0) FROM quay_doctor.operation WHERE kind = 'fix'";
const UNFINISHED: &str = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";

#[test]
fn a_run_that_dies_anywhere_in_an_operation_is_taken_back_whole() {
    let args = [&["--apply"], &RECREATE[..]].concat();
    let boundaries = boundaries(&journey(), &args);
    // Taken back, it is the registry that it was: the next run dies in the same one.
    let journey = journey();
    let before = journey.dump();
    for boundary in boundaries {
        let begun = journey.stage.count(BEGUN);
        dying::kill(&journey.stage, &fix(&args), boundary.when());
        let has_begun = journey.stage.count(BEGUN) > begun;
        assert_eq!(has_begun, boundary > Boundary::before(1), "{boundary:?}");
        if has_begun {
            let last = journey.stage.count(LAST);
            journey.undo(&serde_json::json!({ "run": last }));
        }
        assert_eq!(journey.dump(), before, "{boundary:?}");
        assert_eq!(journey.stage.count(UNFINISHED), 0, "{boundary:?}");
    }
}

/// Kills the undo of a run everywhere, and runs it again.
fn undo_killed_everywhere(journey: impl Fn() -> Journey) {
    let boundaries = {
        let journey = journey();
        let run = journey.apply();
        boundaries(&journey, &["undo", &run["run"].to_string()])
    };
    let journey = journey();
    let before = journey.dump();
    for boundary in boundaries {
        let run = journey.apply();
        let undo = ["undo", &run["run"].to_string()];
        dying::kill(&journey.stage, &fix(&undo), boundary.when());
        // What it began comes first: an activation of its own is finished, or taken back.
        let recovered = journey.stage.run(&["recover", "--no-audit"]);
        recovered.expect_status(0);
        journey.undo(&run);
        assert_eq!(journey.dump(), before, "{boundary:?}");
        assert_eq!(journey.stage.count(UNFINISHED), 0, "{boundary:?}");
    }
}

#[test]
fn an_undo_that_dies_while_it_takes_a_creation_back_is_ended_by_the_same_command() {
    undo_killed_everywhere(journey);
}

#[test]
fn an_undo_that_dies_while_it_brings_a_policy_back_is_ended_by_the_same_command() {
    undo_killed_everywhere(|| {
        Journey::through(MIRROR, "", "policy-on-mirror")
            .with(&["--remedy", "policy-on-mirror=delete"])
    });
}

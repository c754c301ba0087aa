//! Operations that bring more to light: one command corrects that too, and one undo takes all back.

use super::journey::Journey;

/// A namespace's policy that never came into force, and a repository's that will repeat it then.
const WORLD: &str = r#"
    seed = 29
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.policy]]
    pattern = "v.*"
    uuid = "bbbbbbbb-0000-4000-8000-000000000002"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace.repository]]
    name = "tool"
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
"#;
const INACTIVE: &str = "UPDATE namespaceimmutabilitypolicy SET active = false";
const CHOICES: [&str; 4] = [
    "--remedy",
    "stale-inactive-policy=activate",
    "--remedy",
    "redundant-policy=delete",
];

fn journey() -> Journey {
    Journey::through(WORLD, INACTIVE, "stale-inactive-policy").with(&CHOICES)
}

#[test]
fn what_an_activation_brings_to_light_is_corrected_by_the_same_command_and_taken_back_with_it() {
    let journey = journey();
    let before = journey.dump();
    let run = journey.apply();
    assert_eq!(run["further_runs"].as_array().map(Vec::len), Some(1));
    assert_eq!((&run["applied"], &run["more"]), (&2.into(), &().into()));
    journey.check(&["--fail-on", "info"]).expect_status(0);
    assert_eq!(journey.apply()["applied"], 0, "again is nothing");
    journey.undo(&run);
    assert_eq!(journey.dump(), before, "byte for byte");
}

#[test]
fn a_further_run_that_was_taken_back_already_is_passed_over() {
    let journey = journey();
    let before = journey.dump();
    let run = journey.apply();
    journey.undo(&serde_json::json!({ "run": run["further_runs"][0] }));
    journey.undo(&run);
    assert_eq!(journey.dump(), before, "byte for byte");
}

#[test]
fn all_runs_together_change_no_more_than_they_may() {
    // The activation and two tags; the deletion would be the fourth.
    let journey = journey();
    let few = ["--apply", "--format", "json", "--max-changes", "3"];
    let run = journey.fix(&few).expect_status(1).json();
    crate::line::output::valid("apply", &run);
    assert_eq!(run["applied"], 1, "{run:#}");
    assert_eq!(run["more"]["corrections"], 1, "{run:#}");
    assert_eq!(journey.fix(&few).expect_status(0).json()["applied"], 1);

    let people = self::journey().fix(&["--apply", "--max-changes", "3"]);
    let said = &people.expect_status(1).stdout;
    let hint = "The operations brought 1 correction more to light: run the same command again.";
    assert!(said.contains(hint), "{said}");
}

#[test]
fn a_plan_that_was_approved_is_carried_out_and_nothing_more() {
    let journey = journey();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8").to_owned();
    journey.fix(&["--out", &path]).expect_status(1);
    let stated = ["--audit", "none", "--format", "json"];
    let args = [&["fix", "--apply", "--plan", &path][..], &stated].concat();
    let run = journey.stage.run(&args).expect_status(0).json();
    assert_eq!(run["applied"], 1, "{run:#}");
    assert_eq!(run["further_runs"], serde_json::json!([]));
}

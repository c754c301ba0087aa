//! Commands in the running text of the documents: each is carried out on a registry, or stands in a
//! list that says why it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tempfile::TempDir;

use super::commands::{pages, root, typed};
use super::guides::{registry, type_it};
use crate::program;

/// What is carried out, in this order, on the registry of the guides, and what it ends with.
const CARRIED_OUT: &[(&str, i32)] = &[
    ("migrate status", 1),
    ("migrate plan", 1),
    ("migrate up --to 1", 0),
    ("migrate up", 0),
    ("migrate verify", 0),
    ("config show", 0),
    ("rules list", 0),
    ("rules explain ID", 0),
    ("rules test --checks DIR", 0),
    ("pattern explain PATTERN", 0),
    ("check", 1),
    ("check --strict", 1),
    ("check --format html", 1),
    ("check --format json", 1),
    ("tag explain acme/shop:v1", 0),
    ("policy list", 0),
    ("fix", 1),
    ("fix --print-sql", 1),
    ("fix --out FILE", 1),
    ("fix --apply --plan FILE", 1),
    ("fix undo RUN", 0),
    ("fix --apply", 1),
    ("fix prune --older-than 90d", 0),
    ("policy create --namespace acme --pattern 'v.*'", 0),
    ("recover --list", 0),
    ("recover --resume", 0),
    ("recover", 0),
    ("history", 0),
    ("migrate hand-over", 0),
];

/// What is not, and why.
const NOT_CARRIED_OUT: &[(&str, &str)] = &[
    (
        "demo --keep",
        "the tutorial and README.md are followed on it",
    ),
    (
        "watch",
        "goes on until it is told to end: docs/watch.md is followed by itself",
    ),
    (
        "fix prune",
        "a verb's name; the age that it wants is said elsewhere",
    ),
    (
        "fix undo",
        "a verb's name; the run that it wants is said elsewhere",
    ),
    (
        "migrate down",
        "a verb's name; the step that it wants is said elsewhere",
    ),
    ("pattern explain", "a verb's name"),
    ("policy create", "a verb's name"),
    ("policy deactivate", "a verb's name"),
    ("policy evaluate", "a verb's name"),
    ("policy update", "a verb's name"),
    ("policy …", "all verbs of a kind"),
    ("tag explain", "a verb's name"),
    (
        "migrate down --to N [--drop-journal [FILE]]",
        "a synopsis; tests/migrate has each form",
    ),
    (
        "migrate plan [--to N]",
        "a synopsis; tests/migrate has each form",
    ),
    (
        "migrate up [--to N]",
        "a synopsis; tests/migrate has each form",
    ),
];

/// What stands for something in the documents, and for what here.
const MEANT: &[(&str, &str)] = &[
    ("DIR", "rules"),
    ("FILE", "plan.json"),
    ("ID", "orphaned-immutable-tag"),
    ("PATTERN", "v.*"),
    ("RUN", "1"),
];

/// A folder with the rule of one's own that docs/rule-files.md shows.
fn folder_with_rule() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let page = fs::read_to_string(root().join("docs/rule-files.md")).expect("a page");
    let named = "id = \"tags-of-leavers\"";
    let rule = page
        .split("```")
        .find(|block| block.starts_with("toml\n") && block.contains(named))
        .and_then(|block| block.strip_prefix("toml\n"));
    let rules = folder.path().join("rules");
    fs::create_dir(&rules).expect("a folder");
    fs::write(rules.join("tags-of-leavers.toml"), rule.expect("a rule")).expect("written");
    folder
}

/// The verbs that the program says it has.
pub fn verbs() -> BTreeSet<String> {
    let help = program::run(&["--help"]).expect_status(0).stdout;
    let commands = help.split("Commands:\n").nth(1).expect("its verbs");
    commands
        .lines()
        .take_while(|line| !line.is_empty())
        // What a long line goes on with is further in.
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// Every command in running text, without `quay-doctor`, and where it stands. A verb alone is one only
/// behind `quay-doctor`.
fn in_prose() -> BTreeMap<String, String> {
    let verbs = verbs();
    assert!(verbs.contains("check") && verbs.len() > 8, "{verbs:?}");
    let mut found = BTreeMap::new();
    // Generated from clap itself.
    let generated = root().join("docs/commands.md");
    for page in pages().into_iter().filter(|page| *page != generated) {
        let text = fs::read_to_string(&page).expect("a page");
        // Every second part is within a block.
        let prose = text.split("```").step_by(2);
        for paragraph in prose.flat_map(|part| part.split("\n\n")) {
            for span in paragraph.split('`').skip(1).step_by(2) {
                let words: Vec<&str> = span.split_whitespace().collect();
                let (words, named) = match &words[..] {
                    ["quay-doctor", rest @ ..] => (rest, true),
                    all => (all, false),
                };
                let is_verb = words.first().is_some_and(|verb| verbs.contains(*verb));
                if is_verb && (named || words.len() > 1) {
                    found.insert(words.join(" "), page.display().to_string());
                }
            }
        }
    }
    found
}

#[test]
fn every_command_in_running_text_is_carried_out_or_it_is_said_why_not() {
    let stood: BTreeSet<String> = in_prose().into_keys().collect();
    let carried_out = CARRIED_OUT.iter().map(|(command, _)| command);
    let not = NOT_CARRIED_OUT.iter().map(|(command, _)| command);
    let known: BTreeSet<String> = carried_out.chain(not).map(|c| (*c).to_owned()).collect();
    assert_eq!(stood, known, "in the documents, and in the lists");
}

#[test]
fn the_commands_of_running_text_do_what_they_say_on_a_registry() {
    let (stage, places) = (registry(), in_prose());
    let folder = folder_with_rule();
    for (command, status) in CARRIED_OUT {
        let place = places.get(*command).cloned().unwrap_or_default();
        let mut typed = typed(command, place);
        for arg in &mut typed.args {
            if let Some((_, meant)) = MEANT.iter().find(|(word, _)| word == arg) {
                *arg = (*meant).to_owned();
            }
        }
        let ended = type_it(&typed, &stage.db.url(), folder.path());
        assert_eq!(ended.0, *status, "{command}, {}: {}", typed.place, ended.1);
    }
}

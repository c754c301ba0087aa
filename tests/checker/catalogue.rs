//! The rule files: examples that hold, pages that are not stale, mistakes that are explained.

use std::fs;
use std::path::PathBuf;

use quay_doctor::evaluate::try_examples;
use quay_doctor::report::{rule_index, rule_page};
use quay_doctor::rules::{Catalogue, Doer, Evidence, Fact, Rule, Shows};
use serde_json::Value;

use crate::program::run;

/// Set, the generated pages are written instead of compared.
const REGENERATE: &str = "QUAY_DOCTOR_REGENERATE";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn catalogue() -> Catalogue {
    Catalogue::built_in().expect("valid rules")
}

/// Every rule of DESIGN's table, as users know it.
const RULES: [(&str, &str); 13] = [
    ("invalid-policy", "critical"),
    ("interrupted-operation", "error"),
    ("orphaned-immutable-tag", "error"),
    ("stale-inactive-policy", "error"),
    ("unprotected-tag", "error"),
    ("duplicate-policy", "warning"),
    ("immutable-tag-with-expiry", "warning"),
    ("misplaced-policy", "warning"),
    ("policy-on-mirror", "warning"),
    ("slow-pattern", "warning"),
    ("undecidable-policy", "warning"),
    ("redundant-policy", "info"),
    ("uncollectable-tag", "info"),
];

#[test]
fn every_rule_that_was_promised_is_there_with_its_severity_and_no_other() {
    let there: Vec<(String, String)> = catalogue()
        .rules()
        .iter()
        .map(|rule| (rule.id.0.clone(), rule.severity.to_string()))
        .collect();
    let promised: Vec<(String, String)> = RULES
        .iter()
        .map(|(id, severity)| ((*id).to_owned(), (*severity).to_owned()))
        .collect();
    assert_eq!(there, promised);
}

#[test]
fn every_rule_has_examples_of_each_kind_and_all_of_them_hold() {
    for rule in catalogue().rules() {
        let outcomes = try_examples(rule);
        for example in &outcomes {
            assert!(example.holds(), "{}: {example:#?}", rule.id);
        }
        let shown = |shows: Shows| outcomes.iter().any(|example| example.shows == shows);
        assert!(outcomes.len() >= 3, "{}", rule.id);
        assert!(
            shown(Shows::Violated) && shown(Shows::Sound) | shown(Shows::NoSubject),
            "{}",
            rule.id
        );
        assert!(
            rule.excused_by.iter().all(|evidence| match evidence {
                Evidence::LiveOperation => shown(Shows::Settling),
                _ => shown(Shows::Excused),
            }),
            "{}",
            rule.id
        );
    }
}

#[test]
fn an_example_that_does_not_hold_is_an_exit_status_of_1() {
    run(&["rules", "test"]).expect_status(0);
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(root().join("checks/misplaced-policy.toml")).expect("a rule");
    let text = text
        .replace("id = \"misplaced-policy\"", "id = \"my-rule\"")
        .replace("shows = \"sound\"", "shows = \"violated\"");
    fs::write(folder.path().join("my-rule.toml"), text).expect("a file");
    let checks = folder.path().to_string_lossy().into_owned();
    let ended = run(&["rules", "test", "my-rule", "--checks", &checks]).expect_status(1);
    assert!(
        ended.stdout.contains("!! my-rule: violated"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("ok my-rule: settling"),
        "{}",
        ended.stdout
    );
}

#[test]
fn the_pages_are_as_the_files_say() {
    let folder = root().join("docs/rules");
    let catalogue = catalogue();
    let mut pages: Vec<(String, String)> = catalogue
        .rules()
        .iter()
        .map(|rule| (format!("{}.md", rule.id), rule_page(rule)))
        .collect();
    pages.push(("README.md".to_owned(), rule_index(&catalogue)));
    if std::env::var_os(REGENERATE).is_some() {
        for (name, page) in &pages {
            fs::write(folder.join(name), page).expect("a page");
        }
    }
    for (name, page) in &pages {
        let there = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(
            &there, page,
            "docs/rules/{name} is stale: set {REGENERATE}=1"
        );
    }
    let files = fs::read_dir(&folder).expect("docs/rules").count();
    assert_eq!(files, pages.len(), "a page of no rule lies in docs/rules");
}

#[test]
fn the_page_on_rule_files_has_every_fact() {
    let path = root().join("docs/rule-files.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (begin, end) = ("<!-- facts -->\n", "<!-- end of facts -->");
    let mut table = String::from("| fact | of a | what it says |\n| --- | --- | --- |\n");
    for fact in Fact::ALL {
        table.push_str(&format!(
            "| `{fact}` | {} | {} |\n",
            fact.subject(),
            fact.meaning()
        ));
    }
    let (head, rest) = page.split_once(begin).expect("the table's begin");
    let (there, tail) = rest.split_once(end).expect("the table's end");
    if std::env::var_os(REGENERATE).is_some() {
        fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).expect("the page");
    } else {
        assert_eq!(
            there, table,
            "docs/rule-files.md is stale: set {REGENERATE}=1"
        );
    }
}

fn schema() -> jsonschema::Validator {
    let text = fs::read_to_string(root().join("docs/schemas/rule.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn document(text: &str) -> Value {
    let value: toml::Value = toml::from_str(text).expect("TOML");
    serde_json::to_value(value).expect("JSON")
}

#[test]
fn every_rule_file_is_as_its_schema_says() {
    let schema = schema();
    for entry in fs::read_dir(root().join("checks")).expect("checks/") {
        let path = entry.expect("an entry").path();
        let document = document(&fs::read_to_string(&path).expect("a file"));
        let complaints: Vec<String> = schema
            .iter_errors(&document)
            .map(|e| e.to_string())
            .collect();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", path.display());
    }
}

#[test]
fn schema_and_reader_refuse_the_same_mistakes() {
    let schema = schema();
    let sound = fs::read_to_string(root().join("checks/misplaced-policy.toml")).expect("a rule");
    for (right, wrong) in [
        ("severity = \"warning\"", "severity = \"bad\""),
        ("message =", "mesage ="),
        ("must-hold = [\"in-its-own-namespace\"]", ""),
        ("shows = \"violated\"", "shows = \"broken\""),
        ("in-another-namespace = true", "in-another-namespace = 1"),
        (
            "name = \"mend-namespace\"",
            "by = \"magic\"\nname = \"mend-namespace\"",
        ),
        ("weight = \"safe\"", "wieght = \"safe\""),
    ] {
        assert!(sound.contains(right), "{right}");
        let text = sound.replace(right, wrong);
        assert!(
            !schema.is_valid(&document(&text)),
            "the schema takes {wrong}"
        );
        assert!(
            Rule::parse("misplaced-policy.toml", &text).is_err(),
            "the reader takes {wrong}"
        );
    }
}

#[test]
fn a_mistyped_key_is_answered_with_file_line_and_what_was_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "id = \"mine\"\nsummary = \"s\"\nreason = \"r\"\nsevrity = \"info\"\n";
    fs::write(folder.path().join("mine.toml"), text).expect("a file");
    let checks = folder.path().to_string_lossy().into_owned();
    let ended = run(&["rules", "list", "--checks", &checks]).expect_status(2);
    assert!(ended.stderr.contains("mine.toml:4"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("did you mean `severity`?"),
        "{}",
        ended.stderr
    );
}

#[test]
fn rules_are_listed_and_explained_without_a_database() {
    let list = run(&["rules", "list"]).expect_status(0).stdout;
    for (id, severity) in RULES {
        assert!(
            list.lines()
                .any(|line| line.starts_with(id) && line.contains(severity)),
            "{id}"
        );
    }
    let page = run(&["rules", "explain", "unprotected-tag"])
        .expect_status(0)
        .stdout;
    assert!(
        page.contains("taken-off-by-administrator") && page.contains("`protect`"),
        "{page}"
    );
    let json = run(&["rules", "list", "--format", "json"])
        .expect_status(0)
        .json();
    assert_eq!(json.as_array().map(Vec::len), Some(RULES.len()));
    run(&["rules", "explain", "unprotected"]).expect_status(2);
}

#[test]
fn a_remedy_that_fix_does_not_carry_out_says_so_on_the_rules_page() {
    let catalogue = catalogue();
    let remedies = || {
        catalogue
            .rules()
            .iter()
            .flat_map(|rule| rule.remedies.iter().map(move |r| (rule, r)))
    };
    assert!(remedies().any(|(_, remedy)| remedy.by == Doer::Policy));
    for (rule, remedy) in remedies() {
        let line = format!("* `{}` (", remedy.name);
        let page = rule_page(rule);
        let of_remedy = page
            .lines()
            .find(|l| l.starts_with(&line))
            .expect("its line");
        assert!(of_remedy.contains(remedy.by.note()), "{of_remedy}");
    }
}

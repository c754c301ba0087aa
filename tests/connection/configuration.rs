//! quay-doctor.toml: where it is found, what counts, and what `config show` says of it.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::line::output::valid;
use crate::line::stage::Stage;
use crate::program::{self, Ended};

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("quay-doctor.toml"), text).expect("a file");
    folder
}

/// Runs the program in a folder.
fn run_in(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let output = program::command(args)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts");
    Ended {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn setting(document: &Value, part: &str, name: &str) -> (Value, String) {
    let all = document[part].as_array().expect("a list");
    let found = all.iter().find(|one| one["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name}: {document:#}"));
    (
        found["value"].clone(),
        found["from"].as_str().unwrap_or_default().to_owned(),
    )
}

/// The file that docs/configuration.md shows.
fn shown_in_the_documents() -> String {
    let path = format!("{}/docs/configuration.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the page");
    let block = text.split("```toml\n").nth(1).expect("a block");
    block.split("```").next().expect("its end").to_owned()
}

#[test]
fn the_documented_file_is_read_key_by_key_and_is_as_its_schema_says() {
    let text = shown_in_the_documents();
    let parsed: toml::Table = toml::from_str(&text).expect("TOML");
    let document = serde_json::to_value(&parsed).expect("JSON");
    valid("config", &document);
    let folder = folder(&text);
    std::fs::write(folder.path().join("config.yaml"), "DB_URI: x\n").expect("a file");
    let args = ["config", "show", "--format", "json"];
    let shown = run_in(folder.path(), &[], &args).expect_status(0).json();
    valid("config-show", &shown);
    assert_eq!(shown["file"], "quay-doctor.toml");
    let all = shown["settings"].as_array().expect("a list");
    let names: BTreeSet<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
    let documented: BTreeSet<&str> = parsed.keys().map(String::as_str).collect();
    assert_eq!(names, documented, "every setting is in the documents");
    for name in documented {
        let (value, from) = setting(&shown, "settings", name);
        assert!(from.starts_with("quay-doctor.toml:"), "{name}: {from}");
        assert!(!value.is_null(), "{name}");
    }
}

#[test]
fn a_schema_refuses_what_the_program_refuses() {
    let path = format!("{}/docs/schemas/config.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for wrong in [
        "grade = '15m'",
        "grace = 15",
        "readers = 0",
        "fail-on = 'bad'",
    ] {
        let document: toml::Table = toml::from_str(wrong).expect("TOML");
        let document = serde_json::to_value(document).expect("JSON");
        assert!(!validator.is_valid(&document), "{wrong}");
        let folder = folder(&format!("# a comment\n{wrong}\n"));
        let told = run_in(folder.path(), &[], &["config", "show"]).expect_status(2);
        assert!(
            told.stderr.contains("quay-doctor.toml:2"),
            "{}",
            told.stderr
        );
    }
}

#[test]
fn an_option_names_the_file_before_a_variable_and_that_before_the_folder() {
    let here = folder("actor = 'the folder'");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = |name: &str| {
        let path = elsewhere.path().join(name);
        std::fs::write(&path, format!("actor = '{name}'")).expect("a file");
        path.display().to_string()
    };
    let (by_option, by_variable) = (file("option"), file("variable"));
    let actor = |variables: &[(&str, &str)], more: &[&str]| {
        let mut args = vec!["config", "show", "--format", "json"];
        args.extend(more);
        let shown = run_in(here.path(), variables, &args)
            .expect_status(0)
            .json();
        setting(&shown, "settings", "actor").0
    };
    let variables = [("QUAY_DOCTOR_CONFIG", by_variable.as_str())];
    assert_eq!(actor(&[], &[]), "the folder");
    assert_eq!(actor(&variables, &[]), "variable");
    assert_eq!(actor(&variables, &["--config", &by_option]), "option");
    let gone = run_in(
        here.path(),
        &[],
        &["check", "--config", "/nonexistent.toml"],
    );
    let gone = gone.expect_status(2);
    assert!(
        gone.stderr.contains("/nonexistent.toml cannot be read"),
        "{gone:?}"
    );
}

#[test]
fn what_is_shown_is_what_counts_and_no_secret() {
    let folder = folder(
        "database-url = 'postgresql://quay:hunter2@db1/quay'\ngrace = '5m'\nquay-config = 'q.yaml'\n",
    );
    let quay = "DB_URI: postgresql://q:hunter2@quaydb/quay\nFEATURE_IMMUTABLE_TAGS: true\n";
    std::fs::write(folder.path().join("q.yaml"), quay).expect("a file");
    let variables = [("QUAY_DOCTOR_READERS", "7"), ("PGPASSWORD", "hunter2")];
    let args = ["config", "show", "--immutable-tags-can-expire", "true"];
    let human = run_in(folder.path(), &variables, &args).expect_status(0);
    assert!(!human.stdout.contains("hunter2"), "{}", human.stdout);
    let mut json = args.to_vec();
    json.extend(["--format", "json"]);
    let shown = run_in(folder.path(), &variables, &json)
        .expect_status(0)
        .json();
    assert!(!shown.to_string().contains("hunter2"), "{shown:#}");
    for (part, name, value, from) in [
        ("settings", "database-url", "****", "quay-doctor.toml:1"),
        ("settings", "grace", "5m", "quay-doctor.toml:2"),
        (
            "settings",
            "readers",
            "7",
            "the environment variable QUAY_DOCTOR_READERS",
        ),
        ("settings", "immutable-tags", "true", "q.yaml"),
        (
            "settings",
            "immutable-tags-can-expire",
            "true",
            "--immutable-tags-can-expire",
        ),
        ("settings", "limit", "10000", "the default"),
        ("connection", "host", "db1", "quay-doctor.toml:1"),
        ("connection", "password", "****", "quay-doctor.toml:1"),
    ] {
        assert_eq!(
            setting(&shown, part, name),
            (value.into(), from.to_owned()),
            "{name}"
        );
        let line = human
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("{name}: {}", human.stdout));
        assert!(line.contains(value) && line.ends_with(from), "{line}");
    }
    // A host of the environment leaves the file's whole URL aside.
    let other = [("PGHOST", "db2"), ("PGUSER", "me")];
    let shown = run_in(folder.path(), &other, &json).json();
    let host = setting(&shown, "connection", "host");
    assert_eq!(
        host,
        ("db2".into(), "the environment variable PGHOST".to_owned())
    );
}

/// acme's only policy cannot be decided, and its tags depend on it.
const UNDECIDED: &str = r#"
    seed = 5
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "(?:v1){e<=1}.*"
    uuid = "22222222-2222-4222-8222-222222222222"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 10
"#;

/// systemd gives a service's account its credentials by an ACL, and their group seems to have a right.
#[test]
fn a_password_file_among_systemds_credentials_counts_though_its_group_seems_to_read_it() {
    let folder = folder("");
    let file = folder.path().join("pgpass");
    std::fs::write(&file, "*:*:*:*:hunter2\n").expect("a file");
    let (path, home) = (
        file.to_str().expect("UTF-8"),
        folder.path().to_str().expect("UTF-8"),
    );
    let used = format!("the password file {path}");
    let counts = |mode: u32, credentials: &str| {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("a mode");
        let variables = [
            ("DATABASE_URL", "postgresql://nightly@db1/quay"),
            ("PGPASSFILE", path),
            ("CREDENTIALS_DIRECTORY", credentials),
        ];
        let args = ["config", "show", "--format", "json"];
        let shown = run_in(folder.path(), &variables, &args).expect_status(0);
        let shown = shown.json();
        let all = shown["connection"].as_array().expect("a list");
        all.iter()
            .any(|one| one["name"] == "password" && one["from"] == used)
    };
    assert!(counts(0o600, ""));
    assert!(counts(0o440, home));
    for (mode, credentials) in [
        (0o440, ""),
        (0o440, "/elsewhere"),
        (0o444, home),
        (0o460, home),
    ] {
        assert!(!counts(mode, credentials), "{mode:o} {credentials}");
    }
}

#[test]
fn a_policy_accepted_in_the_file_is_shown_and_brings_the_status_back() {
    let stage = Stage::migrated(UNDECIDED);
    let url = stage.db.url();
    let variables = [("DATABASE_URL", url.as_str())];
    let without = folder("fail-on = 'info'");
    run_in(without.path(), &variables, &["check"]).expect_status(3);
    let with = folder("accept-undecided = ['22222222-2222-4222-8222-222222222222']");
    let told = run_in(with.path(), &variables, &["check"]).expect_status(0);
    let note = "policy 22222222-2222-4222-8222-222222222222 of acme";
    assert!(told.stdout.contains(note), "{}", told.stdout);
    assert!(
        told.stdout.contains("10 accepted as undecided"),
        "{}",
        told.stdout
    );
    // The nearest list counts whole.
    let args = ["check", "--accept-undecided", "another"];
    run_in(with.path(), &variables, &args).expect_status(3);
}

#[test]
fn a_check_takes_its_defaults_from_the_file_and_options_win() {
    let stage = Stage::migrated(crate::line::stage::BOTH_FAILURES);
    let url = stage.db.url();
    let folder = folder(&format!(
        "database-url = '{url}'\nfail-on = 'critical'\nlimit = 3\nstrict = true\n"
    ));
    let json = ["check", "--format", "json"];
    let report = run_in(folder.path(), &[], &json).expect_status(0).json();
    assert_eq!(report["violations"].as_array().map(Vec::len), Some(3));
    let report = run_in(
        folder.path(),
        &[],
        &[&json[..], &["--fail-on", "error", "--strict=false"]].concat(),
    );
    report.expect_status(1);
    let young = [
        ("QUAY_DOCTOR_GRACE", "10000000h"),
        ("QUAY_DOCTOR_FAIL_ON", "error"),
    ];
    stage.sql("UPDATE namespaceimmutabilitypolicy SET created_date = '2020-01-01'");
    run_in(folder.path(), &young, &["check"]).expect_status(3);
    let wrong = [("QUAY_DOCTOR_GRACE", "soon")];
    let told = run_in(folder.path(), &wrong, &["check"]).expect_status(2);
    assert!(told.stderr.contains("QUAY_DOCTOR_GRACE"), "{}", told.stderr);
}

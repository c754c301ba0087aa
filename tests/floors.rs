//! The rooms and floors of ARCHITECTURE.md, held: imports only point down.

use std::fs;
use std::path::{Path, PathBuf};

/// Every room of the library and its floor. On one floor a room may use those that stand before it
/// in `NEIGHBOURS`, and no others.
const FLOORS: [(&str, u32); 25] = [
    ("pattern", 0),
    ("quay", 0),
    ("config", 1),
    ("rules", 1),
    ("correction", 2),
    ("evaluate", 2),
    ("report", 2),
    ("actions", 3),
    ("crew", 3),
    ("ground", 3),
    ("journal", 3),
    ("pg", 3),
    ("relations", 3),
    ("retry", 3),
    ("apply", 4),
    ("batch", 4),
    ("migrate", 4),
    ("policy", 4),
    ("sandbox", 4),
    ("scan", 4),
    ("run", 5),
    ("demo", 6),
    ("watch", 6),
    ("lib", 9),
    ("main", 9),
];

/// Who may use whom on one floor: pure engines build on each other's nouns, the database's rooms
/// on each other's tables. Whatever changes tags does it by the loop in `batch`.
const NEIGHBOURS: [(&str, &str); 15] = [
    ("quay", "pattern"),
    ("correction", "evaluate"),
    ("report", "evaluate"),
    ("report", "correction"),
    ("journal", "pg"),
    ("relations", "pg"),
    ("relations", "journal"),
    ("actions", "journal"),
    ("actions", "relations"),
    ("ground", "pg"),
    ("ground", "journal"),
    ("ground", "relations"),
    ("rules", "config"),
    ("apply", "batch"),
    ("policy", "batch"),
];

/// Rooms of the program that may open a session that can write; the test kit and the tests may, too.
const WRITERS: [&str; 5] = ["apply", "migrate", "pg", "policy", "sandbox"];

/// Names that say nothing of what is in them.
const SUBJECTLESS: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

/// A file that is longer has two subjects.
const LONGEST: usize = 500;

fn below(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn src() -> PathBuf {
    below("src")
}

/// Every source file below src/, with its text.
fn files() -> Vec<(PathBuf, String)> {
    files_in(src())
}

/// Every source file below a folder, with its text.
fn files_in(folder: PathBuf) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a file");
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// The room of a file: the first part of its path.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(src()).expect("below src");
    let first = inside.components().next().expect("a part");
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

fn floor(room: &str) -> Option<u32> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

/// The code of a file without its comments: a mention in a comment is no import.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms that a file names, as `crate::room`.
fn named(text: &str) -> Vec<String> {
    code(text)
        .split("crate::")
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_room_has_a_floor() {
    for (path, _) in files() {
        let room = room(&path);
        assert!(
            room == "cli" || floor(&room).is_some(),
            "{room} has no floor"
        );
    }
}

#[test]
fn imports_only_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in files() {
        let from = room(&path);
        let Some(here) = floor(&from) else {
            continue;
        };
        for to in named(&text) {
            let Some(there) = floor(&to) else {
                continue;
            };
            let neighbours = NEIGHBOURS.contains(&(from.as_str(), to.as_str()));
            if from != to && there >= here && !(there == here && neighbours) {
                wrong.push(format!("{} uses {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_pg_names_the_driver() {
    for (path, text) in files() {
        if room(&path) == "pg" {
            continue;
        }
        for word in ["postgres::", "tokio_postgres", "tokio_postgres_rustls"] {
            let named = code(&text).split(word).count() > 1;
            let ours = word == "postgres::" && code(&text).contains("quay_doctor_postgres::");
            assert!(!named || ours, "{} names {word}", path.display());
        }
    }
}

#[test]
fn only_writers_open_a_session_that_can_write() {
    for (path, text) in files() {
        let room = room(&path);
        let opens = code(&text).contains("WriteSession::open");
        assert!(
            !opens || WRITERS.contains(&room.as_str()),
            "{}",
            path.display()
        );
    }
}

/// What the tests do to the program they do from outside: it can be neither held, nor killed, nor weakened
/// by what stands in its environment.
#[test]
fn the_program_contains_no_test_equipment() {
    let switches = [
        "QUAY_DOCTOR_SWITCH_OFF",
        "QUAY_DOCTOR_KILL_AT",
        "QUAY_DOCTOR_HOLD_AT",
        "QUAY_DOCTOR_HANDS_AFTER",
        "QUAY_DOCTOR_MUTANT",
        "QUAY_DOCTOR_PROGRAM",
        "testkit",
    ];
    for (path, text) in files() {
        for name in switches {
            assert!(!text.contains(name), "{} names {name}", path.display());
        }
    }
    let manifest = fs::read_to_string(below("Cargo.toml")).expect("Cargo.toml");
    let (_, shipped) = manifest.split_once("[dependencies]").expect("dependencies");
    let (shipped, _) = shipped.split_once("\n[").expect("another section");
    assert!(!shipped.contains("testkit"), "testkit is for tests alone");
}

#[test]
fn the_program_uses_the_librarys_front_page_only() {
    for (path, text) in files() {
        if !["cli", "main"].contains(&room(&path).as_str()) {
            continue;
        }
        for rest in code(&text).split("quay_doctor::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let inside = floor(&name).is_some() && rest[name.len()..].starts_with("::");
            assert!(!inside, "{} reaches into {name}", path.display());
        }
    }
}

#[test]
fn every_file_has_one_subject_and_says_which() {
    let kit = files_in(below("testkit/src"));
    for (path, text) in files().into_iter().chain(kit) {
        let shown = path.display();
        assert!(
            text.starts_with("//! "),
            "{shown} does not say what it is about"
        );
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{shown} has {lines} lines: two subjects?");
        for part in path.components() {
            let name = part.as_os_str().to_string_lossy();
            let stem = name.trim_end_matches(".rs");
            assert!(!SUBJECTLESS.contains(&stem), "{shown} has no subject");
        }
    }
}

/// A file that no module names is not compiled: its tests would pass for ever.
#[test]
fn every_file_belongs_to_a_module() {
    for folder in ["src", "tests", "testkit/src"] {
        let roots = ["lib.rs", "main.rs"].map(|name| below(folder).join(name));
        for (path, _) in files_in(below(folder)) {
            let stem = path.file_stem().expect("a name").to_string_lossy();
            if roots.contains(&path) {
                continue;
            }
            // A folder's own file stands for the folder.
            let (named, parent) = match (&*stem, path.parent().expect("a folder")) {
                ("mod", own) => (own.file_name().expect("a name"), own.parent()),
                (_, parent) => (path.file_stem().expect("a name"), Some(parent)),
            };
            let parent = parent.expect("a folder");
            let declared = format!("mod {};", named.to_string_lossy());
            let owners = ["mod.rs", "lib.rs", "main.rs"].map(|name| parent.join(name));
            let is_named = owners
                .iter()
                .filter_map(|owner| fs::read_to_string(owner).ok())
                .any(|text| text.contains(&declared));
            assert!(is_named, "no module names {}", path.display());
        }
    }
}

#[test]
fn architecture_md_knows_every_room() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("ARCHITECTURE.md");
    for (path, _) in files() {
        let room = room(&path);
        assert!(
            text.contains(&format!("`{room}/`")) || text.contains(&format!("`{room}.rs`")),
            "{room}"
        );
    }
}

#[test]
fn documents_name_only_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root.join(document)).expect("the document");
        for quoted in text.split('`').skip(1).step_by(2) {
            let inside = [
                "src/",
                "docs/",
                "tests/",
                "testkit/",
                "migrations/",
                "checks/",
                "fixtures/",
                ".ci/",
                "benches/",
            ];
            let plain = quoted
                .chars()
                .all(|c| c.is_alphanumeric() || "/._-".contains(c));
            if plain && inside.iter().any(|folder| quoted.starts_with(folder)) {
                assert!(root.join(quoted).exists(), "{document} names {quoted}");
            }
        }
    }
}

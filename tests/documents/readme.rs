//! README.md and the first pages, followed: what is shown there is what the program prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::commands::{Typed, of_page, pages, root, typed};
use super::guides::{registry, type_it};
use super::tutorial::Kept;
use crate::program;
use crate::watch::service::Watcher;

/// What README.md's commands end with, one after the other.
const STATUSES: [i32; 4] = [1, 1, 0, 0];

/// The pages whose commands are carried out here, beside the folders that are followed as a whole.
const HERE: [&str; 3] = ["README.md", "docs/start.md", "docs/watch.md"];

/// A page's console blocks: the command, and what is printed below it.
fn shown(page: &Path) -> Vec<(Typed, String)> {
    let text = fs::read_to_string(page).expect("a page");
    let blocks = text.split("```console\n").skip(1);
    blocks
        .map(|block| {
            let block = block.split("```").next().expect("a block");
            let (first, rest) = block.split_once('\n').expect("a line");
            let command = first.strip_prefix("$ quay-doctor").expect("a command");
            (typed(command, page.display().to_string()), rest.to_owned())
        })
        .collect()
}

/// Leaves open what differs from one run or one machine to the next: how long it took, in how many
/// batches, and the server's version.
fn settled(text: &str) -> String {
    let mut settled = String::new();
    for line in text.lines() {
        let line = match line.split_once(", Quay's schema") {
            Some((server, rest)) if server.starts_with("PostgreSQL ") => {
                format!("PostgreSQL V, Quay's schema{rest}")
            }
            _ => line.to_owned(),
        };
        let mut words: Vec<&str> = line.split(' ').collect();
        for nth in 1..words.len() {
            let number = words[nth - 1].trim_start_matches('(');
            let counted = number.starts_with(|c: char| c.is_ascii_digit());
            let unit = words[nth].trim_end_matches(['.', ')', ',']);
            if counted && matches!(unit, "s" | "ms" | "batches") {
                words[nth - 1] = "N";
                // Slow machines take seconds where others take thousandths.
                words[nth] = if unit == "batches" { unit } else { "T" };
            }
        }
        settled.push_str(&words.join(" "));
        settled.push('\n');
    }
    settled
}

#[test]
fn what_differs_from_run_to_run_is_left_open_and_nothing_else() {
    let one = "PostgreSQL 15.18 (Debian), Quay's schema 9f, quay-doctor's migration 3\n\
               Run 2: 10,000 applied, in 51 batches (2.6 s, the longest 62 ms).";
    let other = "PostgreSQL 18.0, Quay's schema 9f, quay-doctor's migration 3\n\
                 Run 2: 10,000 applied, in 7 batches (31.0 s, the longest 1.2 s).";
    assert_eq!(settled(one), settled(other));
    let wrong = other.replace("10,000", "10,001");
    assert_ne!(settled(one), settled(&wrong));
    assert_ne!(settled(one), settled(&other.replace("Run 2", "Run 3")));
    assert_ne!(
        settled(one),
        settled(&other.replace("migration 3", "migration 2"))
    );
}

#[test]
fn what_the_readme_shows_is_what_the_program_prints() {
    let shown = shown(&root().join("README.md"));
    assert_eq!(shown.len(), STATUSES.len());
    let kept = Kept::new();
    for ((typed, printed), status) in shown.iter().zip(STATUSES) {
        let args: Vec<&str> = typed.args.iter().map(String::as_str).collect();
        let ended = program::run_on(&kept.url, &args).expect_status(status);
        assert_eq!(settled(&ended.stdout), settled(printed), "{args:?}");
    }
}

#[test]
fn where_to_begin() {
    let stage = registry();
    let folder = tempfile::tempdir().expect("a folder");
    let commands = of_page(&root().join("docs/start.md"));
    assert_eq!(commands.len(), 2);
    for (typed, status) in commands.iter().zip([1, 0]) {
        let ended = type_it(typed, &stage.db.url(), folder.path());
        assert_eq!(ended.0, status, "{}: {}", typed.place, ended.1);
    }
}

/// On a port that is free; the page's own may be somebody's.
#[test]
fn watching_as_its_page_says() {
    let stage = registry();
    let commands = of_page(&root().join("docs/watch.md"));
    let [typed] = &commands[..] else {
        panic!("{commands:?}")
    };
    let mut args: Vec<&str> = typed.args.iter().map(String::as_str).collect();
    args.extend(["--listen", "127.0.0.1:0"]);
    let mut command = program::command(&args);
    let mut watcher = Watcher::start(command.env("DATABASE_URL", stage.db.url()));
    watcher.until_known();
    let interval = watcher.figure("quay_doctor_watch_interval_seconds");
    assert_eq!(interval, Some(900.0));
    watcher.signal("TERM");
    assert_eq!(watcher.ended().code(), Some(0), "{}", watcher.log());
}

/// A page of whose commands none is carried out is noticed.
#[test]
fn every_page_with_commands_is_followed() {
    let mut followed: BTreeSet<String> = HERE.iter().map(|page| (*page).to_owned()).collect();
    followed.insert("docs/tutorial.md".into());
    for (folder, tests) in [
        ("docs/guides", include_str!("guides.rs")),
        ("docs/runbooks", include_str!("runbooks.rs")),
    ] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_str().expect("UTF-8");
            if tests.contains(&format!("\"{name}\"")) {
                followed.insert(format!("{folder}/{name}"));
            }
        }
    }
    for page in pages() {
        let name = page.strip_prefix(root()).expect("a page of ours");
        let name = name.to_str().expect("UTF-8");
        let commands = of_page(&page).len();
        assert_eq!(followed.contains(name), commands > 0, "{name}: {commands}");
    }
}

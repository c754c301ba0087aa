//! Finding commands in documents, and asking the program whether it knows them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program;

/// A command as somebody would type it.
#[derive(Clone, Debug)]
pub struct Typed {
    /// Where it stands.
    pub place: String,
    /// Behind `quay-doctor`, up to whatever is the shell's.
    pub args: Vec<String>,
    /// The file that its output goes to.
    pub into: Option<String>,
    /// The status that the document says it ends with: `# 1`.
    pub status: Option<i32>,
}

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: README.md and what is below docs/.
pub fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The commands of a page's console blocks.
pub fn of_page(page: &Path) -> Vec<Typed> {
    let text = fs::read_to_string(page).expect("a page");
    let mut in_console = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if let Some(kind) = line.strip_prefix("```") {
            in_console = !in_console && kind == "console";
        } else if let Some(command) = line.strip_prefix("$ quay-doctor").filter(|_| in_console) {
            let place = format!("{}:{}", page.display(), number + 1);
            found.push(typed(command, place));
        }
    }
    found
}

/// Takes a command line apart as a shell does, as far as the documents go.
pub fn typed(line: &str, place: String) -> Typed {
    let mut typed = Typed {
        place,
        args: Vec::new(),
        into: None,
        status: None,
    };
    let mut words = words(line).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "#" => typed.status = words.next().and_then(|status| status.parse().ok()),
            ">" => typed.into = words.next(),
            "|" | ";" | "&&" => break,
            _ => typed.args.push(word),
        }
    }
    typed
}

/// Words between blanks; quotes keep blanks together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, ';') => {
                words.extend(word.take());
                words.push(";".into());
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Asserts that the program's parser takes a command: with `--help` behind it, it says so before it
/// has connected to anything, and complains of each word before that it does not know.
#[track_caller]
pub fn is_known(typed: &Typed) {
    let mut args: Vec<&str> = typed.args.iter().map(String::as_str).collect();
    args.push("--help");
    let ended = program::run(&args);
    assert_eq!(ended.status, 0, "{}: {}", typed.place, ended.stderr);
}

#[test]
fn a_command_line_is_taken_apart_as_a_shell_does() {
    let line = r#" fix --reason "ticket 4711" --pattern 'v.*' > plan.json # 1"#;
    let typed = typed(line, "here".into());
    assert_eq!(
        typed.args,
        ["fix", "--reason", "ticket 4711", "--pattern", "v.*"]
    );
    assert_eq!(
        (typed.into.as_deref(), typed.status),
        (Some("plan.json"), Some(1))
    );
}

#[test]
fn an_option_that_does_not_exist_is_noticed() {
    let wrong = typed(" check --shards 0/2", "here".into());
    assert!(std::panic::catch_unwind(|| is_known(&wrong)).is_err());
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_knows() {
    let mut count = 0;
    for page in pages() {
        for typed in of_page(&page) {
            is_known(&typed);
            count += 1;
        }
    }
    assert!(count > 60, "{count} commands found");
}

//! The page of all commands in the documents, written from the command line itself; a test, so that the
//! page cannot be another. `QUAY_DOCTOR_REGENERATE=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

const REGENERATE: &str = "QUAY_DOCTOR_REGENERATE";

const HEAD: &str = "\
# The commands

Written from the command line itself, as the man pages (`quay-doctor man --to DIR`) and the completions
(`quay-doctor completions SHELL`) are. Results go to stdout, logs and progress to stderr; the status that a
command ends with is 0, 1, 2 or 3 and means the same everywhere ([where to begin](start.md)).
";

fn page() -> String {
    let mut root = super::command_line();
    root.build();
    let mut page = HEAD.to_owned();
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    section(
        &mut page,
        "Options of every command, before it or after it",
        2,
    );
    table(&mut page, global);
    for verb in verbs(&root) {
        describe(&mut page, verb, 2);
    }
    page
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    let verbs = command.get_subcommands();
    verbs.filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
}

fn section(page: &mut String, title: &str, level: usize) {
    let _ = write!(page, "\n{} {title}\n", "#".repeat(level));
}

fn describe(page: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    section(page, name, level);
    let about = command.get_long_about().or(command.get_about());
    if let Some(about) = about {
        let _ = write!(page, "\n{about}.\n");
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let usage: Vec<&str> = usage.lines().map(str::trim).collect();
    let _ = write!(page, "\n    {}\n", usage.join("\n    "));
    let own = |arg: &&Arg| !arg.is_global_set() && !arg.is_hide_set();
    table(page, command.get_arguments().filter(own));
    for verb in verbs(command) {
        describe(page, verb, level + 1);
    }
}

fn table<'a>(page: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = args
        .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
        .map(|arg| format!("| {} | {} |\n", cell(&spelled(arg)), cell(&told(arg))))
        .collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| | |\n| --- | --- |\n{}", rows.concat());
    }
}

/// The argument as it is typed.
fn spelled(arg: &Arg) -> String {
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let names: Vec<&str> = arg
        .get_value_names()
        .into_iter()
        .flatten()
        .map(AsRef::as_ref)
        .collect();
    let value = if takes {
        names.join(" ")
    } else {
        String::new()
    };
    let many = if matches!(arg.get_action(), ArgAction::Append) {
        " …"
    } else {
        ""
    };
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let options: Vec<String> = short.into_iter().chain(long).collect();
    let typed = format!("{} {value}", options.join(", "));
    format!("`{}`{many}", typed.trim())
}

/// What it does, what it may be, and what it is where nobody says.
fn told(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help());
    let mut told = help.map(ToString::to_string).unwrap_or_default();
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if takes && !possible.is_empty() {
        let _ = write!(told, ": {}", possible.join(", "));
    }
    let default: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if takes && !default.is_empty() {
        let _ = write!(told, " ({} by default)", default.join(", "));
    }
    told
}

/// A text in one cell of a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|").replace('<', "&lt;")
}

#[test]
fn the_page_of_all_commands_is_what_the_command_line_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = page();
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&path, &page).expect("a file");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/commands.md is of another command line: {REGENERATE}=1 writes it anew"
    );
}

#[test]
fn every_option_and_every_verb_is_told() {
    fn look(command: &Command) {
        let told = |text: Option<&clap::builder::StyledStr>| {
            text.is_some_and(|text| text.to_string().len() > 5)
        };
        let name = command.get_bin_name().unwrap_or_default();
        assert!(told(command.get_about()), "{name}");
        for arg in command.get_arguments() {
            assert!(told(arg.get_help()), "{name} {}", arg.get_id());
        }
        verbs(command).for_each(look);
    }
    let mut root = super::command_line();
    root.build();
    look(&root);
}

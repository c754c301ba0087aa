//! Man pages and completions: generated, one for every verb, and taken by those that read them.

use std::fs;
use std::process::{Command, Stdio};

use testkit::skipped;

use super::prose::verbs;
use crate::program;

#[test]
fn every_verb_has_a_man_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().to_str().expect("UTF-8");
    program::run(&["man", "--to", to]).expect_status(0);
    for verb in verbs().iter().filter(|verb| *verb != "help") {
        let page = folder.path().join(format!("quay-doctor-{verb}.1"));
        let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{verb}: {error}"));
        assert!(
            page.contains(".TH ") && page.contains(".SH SYNOPSIS"),
            "{verb}"
        );
    }
}

#[test]
fn the_completions_know_every_verb_and_a_shell_that_is_there_takes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let script = program::run(&["completions", shell])
            .expect_status(0)
            .stdout;
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell}: {verb}");
        }
        let file = folder.path().join(shell);
        fs::write(&file, script).expect("written");
        let looked = Command::new(shell)
            .arg("-n")
            .arg(&file)
            .stdin(Stdio::null())
            .output();
        match looked {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => skipped(&format!("{shell} cannot be run here: {error}")),
        }
    }
}

//! `completions` and `man`: generated from the command line itself, so that they cannot differ.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;
use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, output};

/// Prints the completions of a shell
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the man page, or writes those of all verbs into a folder
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder; without it the main page is printed
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

#[derive(Debug, Error, Diagnostic)]
#[error("man pages cannot be written into {}", folder.display())]
#[diagnostic(help("the folder has to exist, and to be writable"))]
struct Unwritable {
    folder: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Prints completions.
pub fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::command_line(),
        "quay-doctor",
        &mut script,
    );
    output::bytes(&script)?;
    Ok(Exit::AllWell)
}

/// Prints or writes man pages.
pub fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let command = super::command_line();
    match &args.to {
        Some(folder) => clap_mangen::generate_to(command, folder)
            .map_err(|source| unwritable(folder, source))?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|source| unwritable(Path::new("memory"), source))?;
            output::bytes(&page)?;
        }
    }
    Ok(Exit::AllWell)
}

fn unwritable(folder: &Path, source: std::io::Error) -> Failure {
    Failure::usage(Unwritable {
        folder: folder.to_owned(),
        source,
    })
}

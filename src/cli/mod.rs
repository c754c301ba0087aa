//! The command line: one file a verb. Uses the library's front page only.
//!
//! Results go to stdout; logs, progress and complaints to stderr. Every verb ends in an [`Exit`]
//! or a [`Failure`], and only here do they become a status.

mod exit;
mod globals;
mod pattern;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};
pub use globals::{Format, Globals};

/// Checks and repairs the tag-immutability data of a Quay registry.
#[derive(Parser)]
#[command(name = "quay-doctor", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Decide and explain tag patterns without a database
    Pattern(pattern::Pattern),
}

/// Reads the command line, runs the verb, renders what went wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(complaint) => return exit::usage(&complaint),
    };
    cli.globals.start_logging();
    let ended = match &cli.verb {
        Verb::Pattern(verb) => verb.run(&cli.globals),
    };
    exit::code(ended)
}

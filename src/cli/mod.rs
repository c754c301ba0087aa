//! The command line: one file a verb. Uses the library's front page only.
//!
//! Results go to stdout; logs, progress and complaints to stderr. Every verb ends in an [`Exit`]
//! or a [`Failure`], and only here do they become a status.

mod check;
mod config;
mod demo;
mod exit;
mod fix;
mod globals;
mod history;
mod manual;
mod migrate;
mod output;
mod pattern;
mod policy;
mod progress;
mod recover;
#[cfg(test)]
mod reference;
mod rules;
mod signals;
mod tag;
mod throttling;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};
pub use globals::{Format, Globals, WantedFormat};

/// Checks and repairs the tag-immutability data of a Quay registry.
#[derive(Parser)]
#[command(name = "quay-doctor", version = env!("QUAY_DOCTOR_VERSION"), propagate_version = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring the database's schema to a version: look, plan, go up, go down, verify
    Migrate(migrate::Migrate),
    Check(check::CheckArgs),
    Fix(fix::FixArgs),
    Policy(policy::PolicyArgs),
    Recover(recover::RecoverArgs),
    History(history::HistoryArgs),
    /// Decide and explain tag patterns without a database
    Pattern(pattern::Pattern),
    Rules(rules::RulesArgs),
    Tag(tag::TagArgs),
    Watch(watch::WatchArgs),
    Config(config::ConfigArgs),
    Demo(demo::DemoArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

/// The command line as clap knows it, for completions and man pages.
fn command_line() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Reads the command line, runs the verb, renders what went wrong.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(complaint) => return exit::usage(&complaint),
    };
    if matches!(cli.verb, Verb::Watch(_)) {
        cli.globals.speak_up();
    }
    cli.globals.start_output();
    if !matches!(cli.verb, Verb::Check(_))
        && let Err(error) = cli.globals.settle_format()
    {
        return exit::code(Err(Failure::usage(error)));
    }
    let ended: Result<Exit, Failure> = match cli.verb {
        Verb::Check(args) => check::run(&args, &cli.globals),
        Verb::Fix(args) => fix::run(&args, &cli.globals),
        Verb::Policy(args) => policy::run(&args, &cli.globals),
        Verb::History(args) => history::run(&args, &cli.globals),
        Verb::Recover(args) => recover::run(&args, &cli.globals),
        Verb::Completions(args) => manual::completions(&args),
        Verb::Man(args) => manual::man(&args),
        Verb::Demo(args) => demo::run(&args, &cli.globals),
        Verb::Tag(args) => tag::run(&args, &cli.globals),
        Verb::Watch(args) => watch::run(&args, &cli.globals),
        Verb::Config(args) => config::run(&args, &cli.globals),
        Verb::Rules(args) => rules::run(&args, &cli.globals),
        Verb::Migrate(verb) => verb.run(&cli.globals),
        Verb::Pattern(verb) => verb.run(&cli.globals),
    };
    exit::code(ended)
}

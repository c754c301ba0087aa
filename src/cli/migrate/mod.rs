//! `quay-doctor migrate`: the schema's versions.
//!
//! Exit status: 0 up to date, or done; 1 migrations pending (status, plan) or drift (verify); 2 the
//! wrong server, database, role or option; 3 refused or not finished, the message says why.

mod human;
mod json;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use quay_doctor::{
    JournalFate, MigrateBlame, MigrateEnded, MigrateError, MigrateNotice, Patience,
    default_export_path, migrate_down, migrate_hand_over, migrate_plan, migrate_status, migrate_up,
    migrate_verify,
};
use serde::Serialize;

use self::human::End;
use super::{Exit, Failure, Format, Globals};

/// The verb and its sub-verbs.
#[derive(Args)]
pub struct Migrate {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say where the database stands; changes nothing
    Status,
    /// Print the SQL that `up` would run; changes nothing
    Plan {
        /// Plan up to this version only
        #[arg(long, value_name = "VERSION")]
        to: Option<i32>,
    },
    /// Carry out the migrations that are due
    Up {
        /// Go up to this version only; 1 makes our own schema and touches no table of Quay's
        #[arg(long, value_name = "VERSION")]
        to: Option<i32>,
        #[command(flatten)]
        waits: Waits,
    },
    /// Take migrations down again; refuses while a policy is inactive or an operation unfinished
    Down {
        /// The version to go down to; 0 removes everything of ours
        #[arg(long, value_name = "VERSION")]
        to: i32,
        /// With `--to 0`: write the journal to this file, then drop it although it could be needed
        #[arg(long, value_name = "FILE", num_args = 0..=1)]
        drop_journal: Option<Option<PathBuf>>,
        #[command(flatten)]
        waits: Waits,
    },
    /// Compare the schema with what its migrations promise; changes nothing
    Verify,
    /// Give Quay's tables back before an upgrade of Quay that brings its own `active`
    HandOver {
        #[command(flatten)]
        waits: Waits,
    },
}

#[derive(Args)]
struct Waits {
    /// How long to wait for another migrator
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// How long to try for a moment in which Quay's policy tables can be locked without waiting
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    lock_wait: Duration,
    /// How long one concurrent build of an index may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    index_timeout: Duration,
}

impl Waits {
    fn patience(&self) -> Patience {
        Patience {
            migrator: self.wait,
            tables: self.lock_wait,
            index: self.index_timeout,
        }
    }
}

impl Migrate {
    /// Runs it.
    pub fn run(self, globals: &Globals) -> Result<Exit, Failure> {
        let settings = globals.connection()?;
        match self.what {
            What::Status => {
                let looked = migrate_status(&settings);
                show(globals, "migrate status", looked, human::status, |status| {
                    !status.is_up_to_date()
                })
            }
            What::Plan { to } => {
                let patience = Patience::default();
                let looked = migrate_plan(&settings, to, &patience, &mut tell(globals));
                show(globals, "migrate plan", looked, human::plan, |plan| {
                    !plan.is_empty()
                })
            }
            What::Up { to, waits } => {
                let ended = migrate_up(&settings, to, &waits.patience(), &mut tell(globals));
                finish(globals, "migrate up", ended, human::up)
            }
            What::Down {
                to,
                drop_journal,
                waits,
            } => {
                let fate = journal_fate(drop_journal);
                let patience = waits.patience();
                let ended = migrate_down(&settings, to, &fate, &patience, &mut tell(globals));
                finish(globals, "migrate down", ended, human::down)
            }
            What::Verify => {
                let looked = migrate_verify(&settings);
                show(globals, "migrate verify", looked, human::verify, |found| {
                    !found.differences.is_empty()
                })
            }
            What::HandOver { waits } => {
                let ended = migrate_hand_over(&settings, &waits.patience(), &mut tell(globals));
                finish(globals, "migrate hand-over", ended, human::hand_over)
            }
        }
    }
}

fn journal_fate(drop_journal: Option<Option<PathBuf>>) -> JournalFate {
    match drop_journal {
        None => JournalFate::DropIfUnneeded,
        Some(file) => JournalFate::ExportTo(file.unwrap_or_else(default_export_path)),
    }
}

/// Prints notices to stderr as they come, unless quiet was asked for.
#[allow(clippy::print_stderr)]
fn tell(globals: &Globals) -> impl FnMut(&MigrateNotice) {
    let quiet = globals.quiet;
    move |notice| {
        if !quiet {
            eprintln!("quay-doctor: {notice}");
        }
    }
}

/// Shows what was done, also where something stopped it; that is shown after.
fn finish<R: Serialize>(
    globals: &Globals,
    verb: &'static str,
    ended: MigrateEnded<R>,
    human: impl Fn(&R, End) -> String,
) -> Result<Exit, Failure> {
    let end = match ended.fault {
        None => End::Reached,
        Some(_) => End::Stopped,
    };
    print(&match globals.format {
        Format::Human => human(&ended.report, end),
        Format::Json => json::document(verb, Some(&ended.report), ended.fault.as_ref()),
    })?;
    match ended.fault {
        None => Ok(Exit::AllWell),
        Some(fault) => Err(fault.into()),
    }
}

/// Shows what was looked at, or in JSON why it could not be.
fn show<R: Serialize>(
    globals: &Globals,
    verb: &'static str,
    looked: Result<R, MigrateError>,
    human: impl Fn(&R) -> String,
    something_to_do: impl Fn(&R) -> bool,
) -> Result<Exit, Failure> {
    match &looked {
        Ok(report) => print(&match globals.format {
            Format::Human => human(report),
            Format::Json => json::document(verb, Some(report), None),
        })?,
        Err(fault) if globals.format == Format::Json => {
            print(&json::document::<R>(verb, None, Some(fault)))?;
        }
        Err(_) => {}
    }
    Ok(match something_to_do(&looked?) {
        true => Exit::SomethingToDo,
        false => Exit::AllWell,
    })
}

/// Results go to stdout. A reader that has gone away (`| head`) is no fault of the migration's.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::unknown(json::NotPrinted(error)))
        }
        _ => Ok(()),
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error.blame() {
            MigrateBlame::Setup => Self::usage(error),
            MigrateBlame::Unfinished => Self::unknown(error),
        }
    }
}

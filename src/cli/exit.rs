//! The exit status: an interface, never changed in passing. An error never exits 0 or 1.

use std::process::ExitCode;

use miette::{Diagnostic, Report};
use quay_doctor::{ConfigError, PgError};

/// How a verb ended that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: all is well.
    AllWell,
    /// 1: there is something to do.
    SomethingToDo,
    /// 2: usage or configuration is wrong.
    Usage,
    /// 3: the answer is not known, or the work is not finished.
    Unknown,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::AllWell => 0,
            Exit::SomethingToDo => 1,
            Exit::Usage => 2,
            Exit::Unknown => 3,
        })
    }
}

/// A verb that could not run to its end: what to tell, and the status.
pub struct Failure {
    exit: Exit,
    report: Report,
}

impl Failure {
    /// Usage or configuration is wrong: status 2.
    pub fn usage(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit: Exit::Usage,
            report: Report::new(error),
        }
    }

    /// The answer is not known, or the work is not finished: status 3.
    pub fn unknown(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit: Exit::Unknown,
            report: Report::new(error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Self::unknown(error)
    }
}

/// Leaves line breaks in complaints to the terminal: a statement or an id that a hint offers can be
/// copied whole, and is found again in a log.
pub fn keep_lines_whole() {
    // It fails where it has been called before, and once is what is wanted.
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    }));
}

/// Prints clap's complaint, or the help that was asked for.
#[allow(clippy::print_stderr, clippy::print_stdout)]
pub fn usage(complaint: &clap::Error) -> ExitCode {
    // Nothing is left to do where even the terminal is gone.
    let _ = complaint.print();
    if complaint.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::AllWell.into()
    }
}

/// Renders a failure to stderr and turns the end into a status.
#[allow(clippy::print_stderr)]
pub fn code(ended: Result<Exit, Failure>) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{:?}", failure.report);
            failure.exit.into()
        }
    }
}

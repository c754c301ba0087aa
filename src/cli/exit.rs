//! The exit status: an interface, never changed in passing. An error never exits 0 or 1.

use std::borrow::Cow;
use std::process::ExitCode;

use miette::{Diagnostic, Report};
use quay_doctor::{ConfigError, DemoError, PgError, PolicyError, RuleError, RunError, WatchError};
use regex::Regex;

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

impl Failure {
    /// What is wrong and what to do about it, in one line, for a log that goes on.
    pub fn in_a_line(&self) -> String {
        match self.report.help() {
            Some(help) => format!("{} ({help})", self.report),
            None => self.report.to_string(),
        }
    }

    /// An error and what lies behind it, in one line.
    pub fn told(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        text
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        if error.is_configuration() {
            Self::usage(error)
        } else {
            Self::unknown(error)
        }
    }
}

impl From<RuleError> for Failure {
    fn from(error: RuleError) -> Self {
        Self::usage(error)
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        Self::unknown(error)
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        RunError::from(error).into()
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        if error.is_usage() {
            Self::usage(error)
        } else {
            Self::unknown(error)
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        if error.is_usage() {
            Self::usage(error)
        } else {
            Self::unknown(error)
        }
    }
}

/// Prints clap's complaint, or the help that was asked for.
#[allow(clippy::print_stderr, clippy::print_stdout)]
pub fn usage(complaint: &clap::Error) -> ExitCode {
    let plain = complaint.to_string();
    let masked = mask_passwords(&plain);
    if masked == plain {
        // Nothing is left to do where even the terminal is gone.
        let _ = complaint.print();
    } else {
        eprint!("{masked}");
    }
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

/// Hides what looks like the password of a URL or a connection string. clap repeats a word that it
/// did not expect, and a URL without its option is such a word.
fn mask_passwords(text: &str) -> Cow<'_, str> {
    let shapes = Regex::new(r"(://[^\s:/@]*:|(?i:password)\s*=\s*)[^\s']*");
    match shapes {
        Ok(shapes) => shapes.replace_all(text, "${1}****"),
        // The shape is a constant, and a test holds it.
        Err(_) => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_the_wrong_place_is_repeated_without_its_password() {
        for (text, masked) in [
            ("'postgresql://u:hunter2@db/quay'", "'postgresql://u:****"),
            ("'postgresql://:hun@ter2@db/quay'", "'postgresql://:****"),
            ("'host=db password=hunter2'", "'host=db password=****"),
            (
                "unexpected argument '--host' found",
                "unexpected argument '--host' found",
            ),
        ] {
            assert!(
                mask_passwords(text).starts_with(masked),
                "{text}: {}",
                mask_passwords(text)
            );
        }
    }
}

//! The program under test, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; -1 where a signal ended it.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Ended {
    /// The JSON document that was printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Asserts the exit status, showing everything where it is another.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// The program as it is in this working copy.
pub const BUILT: &str = env!("CARGO_BIN_EXE_quay-doctor");

/// The program under test: the one that `QUAY_DOCTOR_PROGRAM` names, or the one that was built.
pub fn path() -> PathBuf {
    std::env::var_os("QUAY_DOCTOR_PROGRAM").map_or_else(|| PathBuf::from(BUILT), PathBuf::from)
}

/// The program, not knowing this process's environment.
pub fn command(args: &[&str]) -> Command {
    command_of(&path(), args)
}

/// A program in the place of the one under test.
pub fn command_of(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().stdin(Stdio::null());
    for name in ["PATH", "TMPDIR", "QUAY_DOCTOR_PG_BIN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Ended {
    ended(&mut command(args))
}

/// Runs a command of the program to its end.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs the program against a database.
pub fn run_on(url: &str, args: &[&str]) -> Ended {
    let mut all = vec!["--database-url", url];
    all.extend(args);
    run(&all)
}

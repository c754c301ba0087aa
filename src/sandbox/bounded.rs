//! Running a program for a bounded time.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::SandboxError;

/// How much of an output an error quotes, in bytes.
const TAIL_BYTES: usize = 2_000;

/// Runs a command to its end, its output going to a file: a pipe would be inherited by the server
/// that `pg_ctl` leaves behind, and reading it would then never end.
pub(super) fn run(
    program: &'static str,
    command: &mut Command,
    output: &Path,
    limit: Duration,
) -> Result<(), SandboxError> {
    let doing = || format!("run {program}");
    let file = File::create(output).map_err(SandboxError::io(doing()))?;
    let twin = file.try_clone().map_err(SandboxError::io(doing()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(twin)
        .spawn()
        .map_err(SandboxError::io(format!(
            "run {} as the server's account",
            command.get_program().to_string_lossy()
        )))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(SandboxError::io(doing()))? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => {
                return Err(SandboxError::Command {
                    program,
                    output: tail(output),
                });
            }
            None if Instant::now() >= deadline => {
                // The outcome of the kill changes nothing: the run has failed either way.
                let _ = child.kill();
                let _ = child.wait();
                return Err(SandboxError::TooSlow {
                    what: program.to_owned(),
                    limit_seconds: limit.as_secs(),
                    output: tail(output),
                });
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The end of a text file; empty where it cannot be read.
pub(super) fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(TAIL_BYTES);
    String::from_utf8_lossy(&bytes[from..]).trim().to_owned()
}

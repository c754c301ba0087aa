//! What is at work under a schedule, and the program as such: started, signalled, killed, ended.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{Ended, command_of, run_on};

/// Whatever is at work.
pub trait AtWork {
    /// Whether it has ended.
    fn has_ended(&mut self) -> bool;
    /// It dies, with whatever it was about to do.
    fn kill(&mut self);
    /// It is sent a signal, where it can be.
    fn signal(&self, _name: &str) {}
}

/// The program at work.
pub struct Program(Child);

impl AtWork for Program {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a status").is_some()
    }

    fn kill(&mut self) {
        // Where it has ended already, there is nobody to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill")
            .args([format!("-{name}"), self.0.id().to_string()])
            .status();
    }
}

pub fn start(program: &Path, url: &str, args: &[String]) -> Program {
    let mut command = command_of(program, &["--database-url", url]);
    command.args(args);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    Program(child)
}

pub fn end(program: Program) -> Ended {
    let output = program.0.wait_with_output().expect("an end");
    Ended {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn run(url: &str, args: &[String]) -> Ended {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_on(url, &args)
}

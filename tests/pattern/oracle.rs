//! The real Python module as a child process, asked for expected decisions.
#![allow(clippy::print_stdout)] // Which module it was is part of the result.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use testkit::skipped;

/// What the module does with a pattern.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// It decides; none where it ran out of time or failed.
    Decisions(Vec<Option<bool>>),
    /// It rejects the pattern.
    Rejected,
    /// It fails in a way that Quay does not catch.
    Fails,
    /// It took the whole process down.
    Crashes,
}

/// The running module.
pub struct Oracle {
    child: Child,
    questions: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts it; none, with a line that says so, where the module is not installed.
    pub fn start() -> Option<Self> {
        let (oracle, greeting) = Self::begin()?;
        println!("comparing with the Python module: {}", greeting.trim());
        Some(oracle)
    }

    fn begin() -> Option<(Self, String)> {
        let Some(python) = python() else {
            skipped("no Python module to compare with; make python-venv installs it");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pattern/python_oracle.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = BufWriter::new(child.stdin.take().unwrap());
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        answers.read_line(&mut greeting).unwrap();
        let oracle = Self {
            child,
            questions,
            answers,
        };
        Some((oracle, greeting))
    }

    /// What the module decides.
    pub fn ask(&mut self, pattern: &str, tags: &[String], timeout_seconds: f64) -> Expected {
        let question = json!({"pattern": pattern, "tags": tags, "timeout": timeout_seconds});
        writeln!(self.questions, "{question}").unwrap();
        self.questions.flush().unwrap();
        let mut line = String::new();
        if self.answers.read_line(&mut line).unwrap() == 0 {
            println!("the module crashed on {question}");
            (*self, _) = Self::begin().unwrap();
            return Expected::Crashes;
        }
        let answer: Value = serde_json::from_str(&line).unwrap();
        match answer["compile"].as_str().unwrap() {
            "ok" => Expected::Decisions(
                answer["decisions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(Value::as_bool)
                    .collect(),
            ),
            "error" => Expected::Rejected,
            _ => Expected::Fails,
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter of the virtual environment that `make python-venv` makes.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python-venv/bin/python");
    let works = Command::new(&python)
        .args([
            "-c",
            "import regex; assert regex.__version__ == '2026.2.28'",
        ])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    works.then_some(python)
}

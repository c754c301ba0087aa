//! `demo`: the whole story on a throw-away PostgreSQL.

use std::io::Write as _;

use clap::Args;
use quay_doctor::{DemoError, Narrator, tell_demo};

use super::signals::Signals;
use super::{Exit, Failure, Globals, output};

/// Plays the whole story on a throw-away PostgreSQL: both failures of Quay, found, mended, undone
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Leave the server up, and say where it is
    #[arg(long)]
    keep: bool,
}

/// Tells on stdout, as it happens.
struct Aloud {
    signals: Signals,
}

impl Aloud {
    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever closed the pipe does not want to hear the rest; the story ends at its next step.
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            self.signals.give_up();
        }
    }
}

/// Columns of the narrator's text.
const WIDTH: usize = 88;

impl Narrator for Aloud {
    fn chapter(&mut self, title: &str) {
        self.write(&format!("\n== {title}\n"));
    }

    fn say(&mut self, text: &str) {
        self.write(&format!("\n{}\n", wrapped(text)));
    }

    fn command(&mut self, line: &str) {
        self.write(&format!("\n$ {line}\n"));
    }

    fn output(&mut self, text: &str) {
        for line in text.lines() {
            self.write(&format!("  {line}\n"));
        }
    }

    fn interrupted(&self) -> bool {
        self.signals.came()
    }
}

fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}

/// Runs the verb.
pub fn run(args: &DemoArgs, _globals: &Globals) -> Result<Exit, Failure> {
    let signals = Signals::listen();
    let ending = tell_demo(&mut Aloud { signals })?;
    if args.keep {
        let url = ending.url;
        let kept = ending.cluster.keep().map_err(DemoError::from)?;
        output::text(&format!(
            "\nThe server is still up:\n  {url}\nTo end it:\n  {}\n",
            kept.end_command
        ))?;
    }
    Ok(Exit::AllWell)
}

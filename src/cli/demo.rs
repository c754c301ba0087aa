//! `demo`: the whole story on a throw-away PostgreSQL.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use quay_doctor::{DemoError, Narrator, tell_demo};
use signal_hook::consts::{SIGINT, SIGTERM};

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
    interrupted: Arc<AtomicBool>,
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
            self.interrupted.store(true, Ordering::Relaxed);
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
        self.interrupted.load(Ordering::Relaxed)
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
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Without the handler the watchdog still ends the server; only the words are lost.
        let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
    }
    let ending = tell_demo(&mut Aloud { interrupted })?;
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

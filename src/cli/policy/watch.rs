//! Whoever watches an operation: progress to stderr, and an ear for Ctrl-C.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use quay_doctor::{Phase, Watcher};

use crate::cli::Globals;
use crate::cli::signals::Signals;

/// How often a line is written where nobody sits at a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far an operation is.
pub struct Watch {
    signals: Signals,
    spinner: ProgressBar,
    lines: bool,
    begun: Instant,
    said: Instant,
}

impl Watch {
    /// A line now and then where stderr is no terminal, nothing where it is not wanted.
    pub fn new(globals: &Globals) -> Self {
        let wanted = !globals.quiet && !globals.no_progress;
        let terminal = std::io::stderr().is_terminal();
        Self {
            signals: Signals::listen(),
            spinner: if wanted && terminal {
                ProgressBar::new_spinner()
            } else {
                ProgressBar::hidden()
            },
            lines: wanted && !terminal,
            begun: Instant::now(),
            said: Instant::now(),
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        self.spinner.finish_and_clear();
    }
}

impl Watcher for Watch {
    #[allow(clippy::print_stderr)]
    fn reached(&mut self, phase: Phase, changed: u64) {
        let rate = changed as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let line = format!(
            "{}: {changed} tags changed, {rate:.0} a second",
            phase.as_column()
        );
        if self.lines && self.said.elapsed() > LINE_EVERY {
            eprintln!("{line}");
            self.said = Instant::now();
        }
        self.spinner.set_message(line);
        self.spinner.tick();
    }

    fn interrupted(&self) -> bool {
        self.signals.came()
    }
}

//! Whoever watches an operation: progress to stderr, and an ear for Ctrl-C.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use quay_doctor::{Phase, Watcher};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::Globals;

/// How often a line is written where nobody sits at a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far an operation is.
pub struct Watch {
    interrupted: Arc<AtomicBool>,
    spinner: ProgressBar,
    lines: bool,
    begun: Instant,
    said: Instant,
}

impl Watch {
    /// A line now and then where stderr is no terminal, nothing where it is not wanted.
    pub fn new(globals: &Globals) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Without it the process ends at once, and `recover` has its work.
            let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
        }
        let wanted = !globals.quiet && !globals.no_progress;
        let terminal = std::io::stderr().is_terminal();
        Self {
            interrupted,
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
        self.interrupted.load(Ordering::Relaxed)
    }
}

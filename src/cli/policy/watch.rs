//! Whoever watches an operation: progress to stderr, and an ear for Ctrl-C.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use quay_doctor::{Phase, Watcher};

use crate::cli::Globals;
use crate::cli::signals::Signals;

/// How often a line is written where nobody sits at a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far an operation is.
pub struct Watch {
    signals: Signals,
    bar: ProgressBar,
    lines: bool,
    expected: u64,
    begun: Instant,
    said: Instant,
}

impl Watch {
    /// A bar on a terminal, a line now and then elsewhere, nothing where it is not wanted.
    pub fn new(globals: &Globals) -> Self {
        let wanted = !globals.quiet && !globals.no_progress;
        let terminal = std::io::stderr().is_terminal();
        Self {
            signals: Signals::listen(),
            bar: if wanted && terminal {
                ProgressBar::new_spinner()
            } else {
                ProgressBar::hidden()
            },
            lines: wanted && !terminal,
            expected: 0,
            begun: Instant::now(),
            said: Instant::now(),
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watcher for Watch {
    fn expected(&mut self, tags: u64) {
        self.expected = tags;
        let template =
            "{msg} {wide_bar} {human_pos} of about {human_len} tags, {per_sec}, {eta} left";
        // A template that cannot be read would only cost the looks.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(tags);
    }

    #[allow(clippy::print_stderr)]
    fn reached(&mut self, phase: Phase, changed: u64) {
        self.bar.set_message(phase.as_column());
        if self.bar.length().is_some_and(|length| changed > length) {
            self.bar.set_length(changed);
        }
        self.bar.set_position(changed);
        if self.lines && self.said.elapsed() > LINE_EVERY {
            let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
            let rate = changed as f64 / seconds;
            let left = self.expected.saturating_sub(changed) as f64 / rate.max(0.001);
            eprintln!(
                "{}: {changed} of about {} tags, {rate:.0} a second, {left:.0} s left",
                phase.as_column(),
                self.expected
            );
            self.said = Instant::now();
        }
    }

    fn interrupted(&self) -> bool {
        self.signals.came()
    }
}

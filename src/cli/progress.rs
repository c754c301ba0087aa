//! Progress, to stderr: a bar on a terminal, nothing where nobody watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use quay_doctor::Progress;

use super::Globals;
use super::signals::Signals;

/// Shows progress on a terminal.
pub struct Terminal {
    wanted: bool,
    bar: ProgressBar,
    signals: Signals,
}

impl Terminal {
    /// Shows nothing where stderr is no terminal, or it was not wanted.
    pub fn new(globals: &Globals) -> Self {
        Self {
            wanted: !globals.quiet && !globals.no_progress && std::io::stderr().is_terminal(),
            bar: ProgressBar::hidden(),
            signals: Signals::listen(),
        }
    }
}

impl Progress for Terminal {
    fn begin(&mut self, what: &str, total: u64) {
        if !self.wanted {
            return;
        }
        let (bar, template) = if total == 0 {
            (
                ProgressBar::new_spinner(),
                "{spinner} {msg} {human_pos} rows, {per_sec}",
            )
        } else {
            (
                ProgressBar::new(total),
                "{msg} {wide_bar} {human_pos} of about {human_len} rows, {per_sec}, {eta} left",
            )
        };
        // A template that cannot be read would only cost the looks.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = bar.with_style(style).with_message(what.to_owned());
    }

    fn reached(&mut self, done: u64) {
        if self.bar.length().is_some_and(|total| done > total) {
            self.bar.set_length(done);
        }
        self.bar.set_position(done);
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
    }

    fn interrupted(&self) -> bool {
        self.signals.came()
    }
}

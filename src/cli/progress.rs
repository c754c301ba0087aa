//! Progress, to stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use quay_doctor::Progress;

use super::Globals;
use super::signals::Signals;

/// How often a line is written where nobody sits at a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress.
pub struct Terminal {
    wanted: bool,
    bar: ProgressBar,
    lines: Option<Lines>,
    signals: Signals,
}

impl Terminal {
    /// A bar on a terminal, a line now and then elsewhere, nothing where it is not wanted.
    pub fn new(globals: &Globals) -> Self {
        let wanted = !globals.quiet && !globals.no_progress;
        let terminal = std::io::stderr().is_terminal();
        Self {
            wanted: wanted && terminal,
            bar: ProgressBar::hidden(),
            lines: (wanted && !terminal).then(|| Lines::new(LINE_EVERY)),
            signals: Signals::listen(),
        }
    }
}

/// Progress in lines, for a log.
struct Lines {
    every: Duration,
    said: Instant,
    begun: Instant,
    what: String,
    total: u64,
}

impl Lines {
    fn new(every: Duration) -> Self {
        Self {
            every,
            said: Instant::now(),
            begun: Instant::now(),
            what: String::new(),
            total: 0,
        }
    }

    fn begin(&mut self, what: &str, total: u64) {
        what.clone_into(&mut self.what);
        self.total = total;
        self.begun = Instant::now();
    }

    /// The line that is due, if one is.
    fn due(&mut self, done: u64) -> Option<String> {
        if self.said.elapsed() < self.every {
            return None;
        }
        self.said = Instant::now();
        let rate = done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let what = &self.what;
        if self.total == 0 {
            return Some(format!("{what}: {done} rows, {rate:.0} a second"));
        }
        let left = self.total.saturating_sub(done) as f64 / rate.max(0.001);
        Some(format!(
            "{what}: {done} of about {} rows, {rate:.0} a second, {left:.0} s left",
            self.total.max(done)
        ))
    }
}

impl Progress for Terminal {
    fn begin(&mut self, what: &str, total: u64) {
        if let Some(lines) = &mut self.lines {
            lines.begin(what, total);
        }
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

    #[allow(clippy::print_stderr)]
    fn reached(&mut self, done: u64) {
        if let Some(line) = self.lines.as_mut().and_then(|lines| lines.due(done)) {
            eprintln!("{line}");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_when_it_is_due_and_not_before() {
        let mut rare = Lines::new(Duration::from_secs(3_600));
        rare.begin("correcting", 10);
        assert_eq!(rare.due(5), None);
        let mut often = Lines::new(Duration::ZERO);
        often.begin("correcting", 10);
        let line = often.due(5).expect("due");
        assert!(line.starts_with("correcting: 5 of about 10 rows"), "{line}");
        often.begin("reading", 0);
        let line = often.due(7).expect("due");
        assert!(line.starts_with("reading: 7 rows"), "{line}");
    }
}

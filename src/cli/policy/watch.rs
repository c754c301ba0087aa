//! Whoever watches an operation: progress to stderr, and an ear for Ctrl-C.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use quay_doctor::{Phase, Watcher};

use crate::cli::Globals;
use crate::cli::signals::Signals;

/// How often a line is written where nobody sits at a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

const WITH_TOTAL: &str =
    "{msg} {wide_bar} {human_pos} of about {human_len} tags, {per_sec}, {eta} left";
const WITHOUT_TOTAL: &str = "{msg} {spinner} {human_pos} tags, {per_sec}";

/// How many tags there are in all, where that is known: what was estimated is how many become immutable.
fn total(phase: Phase, changed: u64, expected: Option<u64>) -> Option<u64> {
    expected.filter(|total| phase == Phase::Applying && changed <= *total)
}

/// A line of progress, where nobody sits at a terminal.
fn line(phase: Phase, changed: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = changed as f64 / elapsed.as_secs_f64().max(0.001);
    let phase = phase.as_column();
    match total {
        Some(total) => {
            let left = (total - changed) as f64 / rate.max(0.001);
            format!(
                "{phase}: {changed} of about {total} tags, {rate:.0} a second, {left:.0} s left"
            )
        }
        None => format!("{phase}: {changed} tags, {rate:.0} a second"),
    }
}

/// Shows how far an operation is.
pub struct Watch {
    signals: Signals,
    bar: ProgressBar,
    lines: bool,
    /// How many tags are to be changed, where that was estimated.
    expected: Option<u64>,
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
            expected: None,
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
        self.expected = Some(tags).filter(|tags| *tags > 0);
    }

    #[allow(clippy::print_stderr)]
    fn reached(&mut self, phase: Phase, changed: u64) {
        let total = total(phase, changed, self.expected);
        self.bar.set_message(phase.as_column());
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        let template = match total {
            Some(_) => WITH_TOTAL,
            None => WITHOUT_TOTAL,
        };
        // A template that cannot be read would only cost the looks.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_position(changed);
        if self.lines && self.said.elapsed() > LINE_EVERY {
            eprintln!("{}", line(phase, changed, total, self.begun.elapsed()));
            self.said = Instant::now();
        }
    }

    fn interrupted(&self) -> bool {
        self.signals.came()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_an_estimate_or_is_not_told() {
        let elapsed = Duration::from_secs(10);
        let told = |phase, changed, expected| {
            line(phase, changed, total(phase, changed, expected), elapsed)
        };
        for (line, expected) in [
            (
                told(Phase::Applying, 100, Some(300)),
                "applying: 100 of about 300 tags, 10 a second, 20 s left",
            ),
            (
                told(Phase::Applying, 400, Some(300)),
                "applying: 400 tags, 40 a second",
            ),
            (
                told(Phase::Releasing, 100, Some(300)),
                "releasing: 100 tags, 10 a second",
            ),
            (
                told(Phase::Releasing, 100, None),
                "releasing: 100 tags, 10 a second",
            ),
        ] {
            assert_eq!(line, expected);
        }
    }
}

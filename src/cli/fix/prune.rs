//! `fix prune`: shows what of the journal is old enough to go; takes it out with `--apply`.

use std::time::Duration;

use clap::Args;
use quay_doctor::{prune, prune_for_people, prune_json, prune_preview};

use crate::cli::progress::Terminal;
use crate::cli::{Exit, Failure, Format, Globals, output};

/// Shows, and with --apply takes out, old entries of the journal
///
/// Never those of operations that have not ended, of tags that are immutable, or declarations in
/// force. What is pruned can no longer be undone.
#[derive(Args, Debug)]
pub struct Prune {
    /// Only of operations that ended this long ago, as in 90d
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Duration,

    /// Take it out
    #[arg(long)]
    apply: bool,
}

impl Prune {
    pub fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let settings = globals.connection()?;
        let report = if self.apply {
            prune(&settings, self.older_than, &mut Terminal::new(globals))?
        } else {
            prune_preview(&settings, self.older_than)?
        };
        match globals.format {
            Format::Human => output::text(&prune_for_people(&report))?,
            Format::Json => output::json(&prune_json(&report))?,
        }
        Ok(if self.apply || report.is_empty() {
            Exit::AllWell
        } else {
            Exit::SomethingToDo
        })
    }
}

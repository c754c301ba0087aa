//! What slows a verb down that changes tags.

use std::time::Duration;

use clap::Args;
use quay_doctor::Limits;

/// When the work waits for others, and how long it rests.
#[derive(Args, Debug)]
pub struct Throttling {
    /// Wait between batches while the slowest standby is further behind than this
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_lag: Option<Duration>,

    /// Wait between batches while more other sessions than this are active
    #[arg(long, value_name = "N")]
    max_active: Option<u32>,

    /// Rest after each batch for R times as long as it took
    #[arg(long, value_name = "R", default_value = "0", value_parser = ratio)]
    nice_ratio: f64,
}

impl Throttling {
    /// The limits.
    pub fn limits(&self) -> Limits {
        Limits {
            max_lag: self.max_lag,
            max_active: self.max_active,
            nice_ratio: self.nice_ratio,
        }
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=100.0).contains(&ratio) => Ok(ratio),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}

//! How operations are carried out: the options that they share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use quay_doctor::{ConfigError, Jobs, OnFault, PolicyOptions, Strategy};

use crate::cli::Globals;
use crate::cli::throttling::Throttling;

/// How an operation is carried out.
#[derive(Args, Debug)]
pub struct Carrying {
    /// Everything in one transaction, or batch by batch
    #[arg(long, value_enum, default_value = "auto")]
    strategy: HowWalked,

    /// What a lost connection or an interrupt leads to
    #[arg(long, value_enum, default_value = "resume")]
    on_fault: Then,

    /// How long a batch may hold its locks, as an aim
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = humantime::parse_duration)]
    batch_time: Duration,

    /// Sessions that change tags at the same time, each in other repositories [default: 2, from 10,000 tags on]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: Option<u8>,

    /// How far clocks may be apart: an expiry nearer than this is not cleared
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    clock_margin: Duration,

    /// How long to wait for transactions that still read the policies as they were
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    settle_timeout: Duration,

    /// How long to try to reconnect
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    reconnect_for: Duration,

    #[command(flatten)]
    throttling: Throttling,

    /// Whether the Quay in front of this database knows the column `active`
    #[arg(long, value_name = "true|false")]
    quay_knows_active: Option<bool>,

    /// Write nothing into Quay's audit log
    #[arg(long)]
    no_audit: bool,

    /// Restore an expiry even where it has passed; the tag then dies at once
    #[arg(long)]
    restore_past_expiry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HowWalked {
    /// Small scopes atomic, large ones phased
    Auto,
    /// One transaction for everything up to activation
    Atomic,
    /// Batch by batch
    Phased,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Then {
    /// Reconnect and go on
    Resume,
    /// Reconnect and take everything back
    RollBack,
    /// Leave everything for `recover`
    Stop,
}

impl Carrying {
    /// The options, with what the globals say.
    pub fn options(&self, globals: &Globals) -> Result<PolicyOptions, ConfigError> {
        let mut options = PolicyOptions::new(globals.identity()?);
        options.features = globals.features()?;
        options.quay_knows_active = self.quay_knows_active;
        options.audit = !self.no_audit;
        options.strategy = match self.strategy {
            HowWalked::Auto => Strategy::Auto,
            HowWalked::Atomic => Strategy::Atomic,
            HowWalked::Phased => Strategy::Phased,
        };
        options.on_fault = match self.on_fault {
            Then::Resume => OnFault::Resume,
            Then::RollBack => OnFault::RollBack,
            Then::Stop => OnFault::Stop,
        };
        options.batch_time = self.batch_time;
        if let Some(jobs) = self.jobs {
            options.jobs = Jobs::exactly(usize::from(jobs));
        }
        options.clock_margin = self.clock_margin;
        options.settle_timeout = self.settle_timeout;
        options.reconnect_for = self.reconnect_for;
        options.restore_past_expiry = self.restore_past_expiry;
        options.limits = self.throttling.limits();
        Ok(options)
    }
}

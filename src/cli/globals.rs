//! Options that every verb understands, before it and after it.

use clap::{ArgAction, Args, ValueEnum};
use quay_doctor::{ConfigError, ConnectionSettings, Features, Identity};
use tracing_subscriber::EnvFilter;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}

/// How log lines are printed to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The global options.
#[derive(Args, Debug)]
pub struct Globals {
    /// Where Quay's database is: postgresql://user@host:port/database
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true
    )]
    database_url: Option<String>,

    /// How to print results
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub format: Format,

    /// Print nothing but results and complaints
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// How to print log lines
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,

    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Who does this, for the journal; by default the operating system's user
    #[arg(long, global = true, value_name = "WHO")]
    pub actor: Option<String>,

    /// Why this is done, for the journal
    #[arg(long, global = true, value_name = "WHY")]
    pub reason: Option<String>,
}

impl Globals {
    /// Which database is meant.
    pub fn connection(&self) -> Result<ConnectionSettings, ConfigError> {
        ConnectionSettings::resolve(self.database_url.as_deref())
    }

    /// What is stated about Quay's feature flags.
    pub fn features(&self) -> Features {
        Features::default()
    }

    /// Who does it, for the journal.
    pub fn identity(&self) -> Identity {
        let user = ["USER", "LOGNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok());
        Identity {
            actor: self
                .actor
                .clone()
                .or(user)
                .unwrap_or_else(|| "unknown".to_owned()),
            reason: self.reason.clone(),
            worker: format!("process {}", std::process::id()),
        }
    }

    /// Sends log lines to stderr from here on.
    pub fn start_logging(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info",
            (false, _) => "debug",
        };
        // The driver logs statement texts at debug; ours only, and never a parameter.
        let filter = EnvFilter::new(format!("off,quay_doctor={level}"));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().init(),
        }
    }
}

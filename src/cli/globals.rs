//! Options that every verb understands, before it and after it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use miette::{Diagnostic, MietteHandlerOpts};
use quay_doctor::{
    ConfigError, ConnectionSettings, DatabaseOptions, Environment, FeatureFlags, Features,
    Identity, Layers, QuayFeatures, Secret, key,
};
use thiserror::Error;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// How results can be printed by one verb or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WantedFormat {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// One JSON object a line, as violations are found; `check` only
    Ndjson,
    /// JUnit XML, for pipelines; `check` only
    Junit,
    /// Markdown, for a job's summary; `check` only
    Markdown,
    /// One HTML file; `check` only
    Html,
    /// Prometheus' text format, for the node exporter; `check` only
    Prometheus,
}

/// A verb was asked for a format that it does not have.
#[derive(Debug, Error, Diagnostic)]
#[error("this verb has no such format")]
#[diagnostic(help("its formats are human and json; the others are those of `check`"))]
pub struct NoSuchFormat;

/// How log lines are printed to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The global options.
#[derive(Args, Debug)]
pub struct Globals {
    /// Where settings are written down that no option and no variable gives; by default
    /// ./quay-doctor.toml, then /etc/quay-doctor/quay-doctor.toml, where there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where Quay's database is: postgresql://user@host:port/database, or a libpq connection
    /// string; by default DATABASE_URL, then the PG* variables
    #[arg(long, global = true, value_name = "URL", value_parser = secret)]
    database_url: Option<Secret>,

    /// Quay's config.yaml: its database, unless --database-url is given, and its feature flags
    #[arg(long, global = true, value_name = "FILE")]
    quay_config: Option<PathBuf>,

    /// Whether Quay runs with FEATURE_IMMUTABLE_TAGS; by default what QUAY_DOCTOR_IMMUTABLE_TAGS or
    /// Quay's config.yaml says
    #[arg(long, global = true, value_name = "true|false")]
    immutable_tags: Option<bool>,

    /// Whether Quay runs with FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE; by default what
    /// QUAY_DOCTOR_IMMUTABLE_TAGS_CAN_EXPIRE or Quay's config.yaml says
    #[arg(long, global = true, value_name = "true|false")]
    immutable_tags_can_expire: Option<bool>,

    /// How to print results
    #[arg(long = "format", global = true, value_enum, default_value = "human")]
    pub wanted: WantedFormat,

    /// The same, for verbs that print for people or JSON.
    #[arg(skip)]
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

    /// Whether to use colours
    #[arg(long, global = true, value_enum, default_value = "auto")]
    color: Color,

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

/// A secret from the start: no complaint and no log line can repeat it.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl Globals {
    /// Settles how results are printed, by a verb that prints for people or JSON.
    pub fn settle_format(&mut self) -> Result<(), NoSuchFormat> {
        self.format = match self.wanted {
            WantedFormat::Human => Format::Human,
            WantedFormat::Json => Format::Json,
            _ => return Err(NoSuchFormat),
        };
        Ok(())
    }

    /// Logs more than what is wrong: a service tells what becomes of it.
    pub fn speak_up(&mut self) {
        self.verbose = self.verbose.saturating_add(1);
    }

    /// The environment and quay-doctor.toml.
    pub fn layers(&self) -> Result<Layers, ConfigError> {
        Layers::load(self.config.as_deref(), Environment::of_process())
    }

    /// Which options say where the database is.
    pub fn database(&self) -> DatabaseOptions {
        DatabaseOptions {
            url: self.database_url.clone(),
            quay_config: self.quay_config.clone(),
        }
    }

    /// Which database is meant.
    pub fn connection(&self) -> Result<ConnectionSettings, ConfigError> {
        self.layers()?.connection(&self.database())
    }

    /// Who does it, for the journal.
    pub fn identity(&self) -> Result<Identity, ConfigError> {
        let layers = self.layers()?;
        let environment = layers.environment();
        // A variable is easily somebody else's (`sudo -E`); in an image there may be no account.
        let user = environment
            .os_user()
            .or_else(|| environment.get("USER"))
            .or_else(|| environment.get("LOGNAME"))
            .unwrap_or("unknown")
            .to_owned();
        Ok(Identity {
            actor: layers
                .stated(&key::ACTOR, self.actor.clone())?
                .unwrap_or(user),
            reason: self.reason.clone(),
            worker: format!("process {}", std::process::id()),
        })
    }

    /// What is known of Quay's feature flags.
    pub fn features(&self) -> Result<Features, ConfigError> {
        let layers = self.layers()?;
        let quay = layers.quay(&self.database())?;
        let flags = FeatureFlags {
            immutable_tags: self.immutable_tags,
            can_expire: self.immutable_tags_can_expire,
        };
        let features = QuayFeatures::resolve(flags, &layers, quay.as_ref())?;
        Ok(Features::from(&features))
    }

    /// The options of this command line that give a setting, by the setting's name.
    pub fn stated(&self) -> Vec<(&'static str, String)> {
        let path = self.quay_config.as_ref();
        let url = self.database_url.as_ref();
        [
            ("database-url", url.map(ToString::to_string)),
            ("quay-config", path.map(|path| path.display().to_string())),
            (
                "immutable-tags",
                self.immutable_tags.map(|on| on.to_string()),
            ),
            (
                "immutable-tags-can-expire",
                self.immutable_tags_can_expire.map(|on| on.to_string()),
            ),
            ("actor", self.actor.clone()),
        ]
        .into_iter()
        .filter_map(|(name, given)| Some((name, given?)))
        .collect()
    }

    fn colors(&self, terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                // https://no-color.org: set to anything but nothing.
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                terminal && !unwanted && !dumb
            }
        }
    }

    /// Sends log lines and complaints to stderr from here on, as the options want them.
    pub fn start_output(&self) {
        self.start_logging();
        let terminal = std::io::stderr().is_terminal();
        let color = self.colors(terminal);
        // A second hook is refused; there is none before this one.
        let _ = miette::set_hook(Box::new(move |_| {
            let complaints = MietteHandlerOpts::new()
                .color(color)
                .unicode(terminal)
                // A log collector and grep want a sentence in one line.
                .wrap_lines(terminal);
            Box::new(complaints.build())
        }));
    }

    fn start_logging(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (false, 0) => Level::WARN,
            (false, 1) => Level::INFO,
            (false, _) => Level::DEBUG,
        };
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(self.colors(std::io::stderr().is_terminal()))
            .with_writer(std::io::stderr);
        let lines = match self.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        // The driver logs statement texts at debug; ours only, and never a parameter.
        let ours = Targets::new().with_target("quay_doctor", level);
        tracing_subscriber::registry()
            .with(lines.with_filter(ours))
            .init();
    }
}

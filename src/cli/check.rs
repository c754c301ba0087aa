//! `check`: evaluates the rules; changes nothing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use quay_doctor::{
    Baseline, BaselineError, Catalogue, CheckReport, CheckRequest, ConnectionSettings,
    DatabaseChoice, Environment, Event, Layers, Origin, PolicyUuid, ScanHistory, Secret, Selection,
    Settling, Severity, Shard, Standing, Strictness, begun_anew_line, check, check_for_people,
    check_html, check_json, check_junit, check_markdown, check_prometheus, check_telling, key,
    summary_line, violation_line,
};

use super::progress::Terminal;
use super::{Exit, Failure, Globals, WantedFormat, output};

/// Evaluates the rules over one consistent snapshot; changes nothing
#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    scan: ScanArgs,

    /// Only part I of N, I from 0; every subject is in exactly one part
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,

    /// Write the scan into the history of scans (`quay_doctor.scan`), which the role must be allowed to
    #[arg(long)]
    record: bool,

    /// The same into another database, for a scan that reads a replica, or into a file
    #[arg(long, value_name = "URL|FILE", value_parser = secret)]
    record_to: Option<Secret>,

    /// Say what has changed since the last recorded scan of the same scope
    #[arg(long)]
    compare: bool,
}

/// What is scanned, and by which allowances: by `check`, and by `watch` again and again.
#[derive(Args, Debug)]
pub struct ScanArgs {
    #[command(flatten)]
    choice: Choice,

    /// A folder with rules of your own, besides the built-in ones
    #[arg(long, value_name = "DIR")]
    checks: Option<PathBuf>,

    /// Count what evidence explains as a violation, too
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict: Option<bool>,

    /// How many violations to list, each rule its share; all of them are counted; by default 10000
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Known violations that do not fail the run: a report of `check --format json`
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// How many sessions read tags side by side, 2 by default; a check opens two more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    readers: Option<u8>,

    /// How many connections may be open at once: two, and one for each reader
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(3..=18))]
    max_connections: Option<u8>,

    /// How long the scan may take; what was found until then is reported, with exit status 3. A
    /// server that gives no answer any more ends it ten seconds later
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// Connections of a check beside its readers': the snapshot's, and the second look's.
const OTHERS: u8 = 2;

/// What is looked at, by `check` and by `fix`.
#[derive(Args, Debug)]
pub struct Choice {
    /// Only this rule; may be given several times
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,

    /// Only this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,

    /// Only this repository of the namespace
    #[arg(long, value_name = "NAME", requires = "namespace")]
    repository: Option<String>,

    /// How long an inactive policy may stay inactive without being stale; by default 1h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    stale_after: Option<Duration>,

    /// How long Quay may be applying a policy that it has just created; by default 15m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,

    /// A policy of which it is accepted that it cannot be decided; may be given several times
    #[arg(long, value_name = "UUID")]
    accept_undecided: Vec<String>,

    /// Let pass what Quay, under a young policy, or an operation that has not ended may still be at work on
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_settling: Option<bool>,

    /// The least severity that counts: for the exit status of `check` and `fix`, and `watch`'s verdict; by default
    /// warning
    #[arg(long, value_name = "SEVERITY", value_parser = severity_name)]
    fail_on: Option<&'static str>,
}

impl Choice {
    /// The request that is common to `check` and `fix`.
    pub fn request(
        &self,
        globals: &Globals,
        layers: &Layers,
        catalogue: Catalogue,
    ) -> Result<CheckRequest, Failure> {
        let rules = catalogue.choose(&self.rules)?;
        let mut request = CheckRequest::of(rules);
        request.selection = Selection {
            namespace: self.namespace.clone(),
            repository: self.repository.clone(),
        };
        request.features = globals.features()?;
        request.stale_after = layers.value(&key::STALE_AFTER, self.stale_after)?;
        request.grace = layers.value(&key::GRACE, self.grace)?;
        let accepted = self.accept_undecided.clone();
        let accepted = (!accepted.is_empty()).then_some(accepted);
        let accepted = layers.stated(&key::ACCEPT_UNDECIDED, accepted)?;
        request.accepted = accepted.into_iter().flatten().map(PolicyUuid).collect();
        Ok(request)
    }

    /// The least severity that counts.
    pub fn fail_on(&self, layers: &Layers) -> Result<Severity, Failure> {
        Ok(severity(layers.value(&key::FAIL_ON, self.fail_on)?))
    }

    /// What counts that Quay or an operation may be at work on.
    pub fn settling(&self, layers: &Layers) -> Result<Settling, Failure> {
        let allowed = layers.value(&key::ALLOW_SETTLING, self.allow_settling)?;
        Ok(if allowed {
            Settling::Allowed
        } else {
            Settling::NotKnown
        })
    }
}

impl ScanArgs {
    /// The least severity that counts.
    pub fn fail_on(&self, layers: &Layers) -> Result<Severity, Failure> {
        self.choice.fail_on(layers)
    }

    /// What counts that Quay or an operation may be at work on.
    pub fn settling(&self, layers: &Layers) -> Result<Settling, Failure> {
        self.choice.settling(layers)
    }

    /// What is asked of the library.
    pub fn request(&self, globals: &Globals, layers: &Layers) -> Result<CheckRequest, Failure> {
        let checks = layers.path(&key::CHECKS, self.checks.clone())?;
        let rules = super::rules::catalogue(checks.as_ref())?;
        let mut request = self.choice.request(globals, layers, rules)?;
        if layers.value(&key::STRICT, self.strict)? {
            request.strictness = Strictness::Strict;
        }
        let limit = layers.value(&key::LIMIT, self.limit)?;
        request.keep = usize::try_from(limit).unwrap_or(usize::MAX);
        request.timeout = layers.stated(&key::TIMEOUT, self.timeout)?;
        let readers = layers.value(&key::READERS, self.readers)?;
        let most = self.max_connections.map_or(u8::MAX, |most| most - OTHERS);
        request.readers = usize::from(readers.min(most));
        if let Some(file) = layers.path(&key::BASELINE, self.baseline.clone())? {
            request.baseline = baseline(&file)?;
        }
        Ok(request)
    }
}

/// Runs the verb.
pub fn run(args: &CheckArgs, globals: &Globals) -> Result<Exit, Failure> {
    let layers = globals.layers()?;
    let fail_on = args.scan.fail_on(&layers)?;
    let settling = args.scan.settling(&layers)?;
    let mut request = args.scan.request(globals, &layers)?;
    request.shard = args.shard;
    let settings = layers.connection(&globals.database())?;
    let mut terminal = Terminal::new(globals);
    let elsewhere = args.record_to.as_ref().map(place_of).transpose()?;
    let history = match &elsewhere {
        Some(Place::Database(settings)) => ScanHistory::Database(settings),
        Some(Place::File(file)) => ScanHistory::File(file.clone()),
        None => ScanHistory::Database(&settings),
    };
    let remembered = args.compare || args.record || args.record_to.is_some();
    let mut report = if globals.wanted == WantedFormat::Ndjson {
        if !remembered {
            request.keep = 0;
        }
        streamed(&settings, &request, &mut terminal)?
    } else {
        check(&settings, &request, &mut terminal)?
    };
    if args.compare {
        report.comparison = Some(history.compare(&request, &report)?);
    }
    match globals.wanted {
        WantedFormat::Human => output::text(&check_for_people(&report))?,
        WantedFormat::Json => output::json(&check_json(&report))?,
        WantedFormat::Ndjson => output::line(&summary_line(&report))?,
        WantedFormat::Junit => output::text(&check_junit(&report, fail_on))?,
        WantedFormat::Markdown => output::text(&check_markdown(&report))?,
        WantedFormat::Html => output::text(&check_html(&report))?,
        WantedFormat::Prometheus => output::whole_text(check_prometheus(&report))?,
    }
    if args.record || args.record_to.is_some() {
        history.record(&request, &report)?;
    }
    Ok(match report.standing(fail_on, settling) {
        Standing::AllWell => Exit::AllWell,
        Standing::Violated => Exit::SomethingToDo,
        Standing::Unknown => Exit::Unknown,
    })
}

/// Where else scans are recorded.
enum Place {
    Database(Box<ConnectionSettings>),
    File(PathBuf),
}

fn place_of(text: &Secret) -> Result<Place, Failure> {
    let place = text.reveal();
    if place.contains("://") || place.contains('=') {
        let origin = Origin::Option("--record-to");
        let choice = DatabaseChoice::Url(text.clone(), origin);
        let environment = Environment::of_process();
        let settings = ConnectionSettings::resolve_in(&choice, &environment)?;
        return Ok(Place::Database(Box::new(settings)));
    }
    Ok(Place::File(PathBuf::from(place)))
}

/// A secret from the start: no complaint can repeat a URL's password.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// The largest baseline that is read, in bytes.
const LARGEST_BASELINE: u64 = 256 << 20;

fn baseline(file: &Path) -> Result<Baseline, Failure> {
    let name = file.display().to_string();
    let wrong = |reason: String| {
        Failure::usage(BaselineError {
            file: name.clone(),
            reason,
        })
    };
    let about = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if about.len() > LARGEST_BASELINE {
        return Err(wrong(format!("it has {} bytes", about.len())));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Baseline::parse(&name, &text).map_err(Failure::usage)
}

/// Prints each violation as it is found.
fn streamed(
    settings: &ConnectionSettings,
    request: &CheckRequest,
    terminal: &mut Terminal,
) -> Result<CheckReport, Failure> {
    let mut failure = None;
    let report = check_telling(settings, request, terminal, &mut |event| {
        let line = match event {
            Event::Found(violation) => violation_line(violation),
            Event::BegunAnew => begun_anew_line(),
        };
        match output::line(&line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(report), Err)
}

const SEVERITIES: [Severity; 4] = [
    Severity::Info,
    Severity::Warning,
    Severity::Error,
    Severity::Critical,
];

/// The severity of this name; the configuration lets no other through.
fn severity(name: &str) -> Severity {
    let found = SEVERITIES
        .into_iter()
        .find(|known| known.to_string() == name);
    found.unwrap_or(Severity::Info)
}

fn severity_name(text: &str) -> Result<&'static str, String> {
    key::FAIL_ON.read(text)
}

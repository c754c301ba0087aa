//! `watch`: scans on a schedule, with a status page and metrics.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use miette::Diagnostic;
use quay_doctor::{Layers, Orders, Secret, WatchPlan, check_token, harmless, key, watch};
use thiserror::Error;

use super::check::ScanArgs;
use super::signals::Signals;
use super::{Exit, Failure, Globals, output};

/// Scans on a schedule, and shows what it finds as a status page and as metrics
///
/// Of several watchers of one database one scans; the others stand by. SIGHUP reads the configuration
/// and the rules again, SIGTERM and Ctrl-C end it with exit status 0. docs/watch.md has the routes and
/// the metrics.
#[derive(Args, Debug)]
pub struct WatchArgs {
    #[command(flatten)]
    scan: ScanArgs,

    /// The time from one scan to the next, a tenth either way left to chance; by default 15m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    every: Option<Duration>,

    /// Where to listen; by default 127.0.0.1:9478; port 0 takes a free one and says which. Any other
    /// than a loopback address wants a token
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// The file with the token that whoever asks has to give, as a bearer or, in a browser, as the
    /// password; by default the token is QUAY_DOCTOR_TOKEN, where that is set
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Write each scan into the history of scans (`quay_doctor.scan`), which the role must be allowed to
    #[arg(long)]
    record: bool,
}

/// The variable that gives the token itself. No option does: everybody on a machine can read those.
const TOKEN: &str = "QUAY_DOCTOR_TOKEN";
/// The longest token file that is read, in bytes.
const LONGEST: u64 = 4096;

/// The token's file cannot be used.
#[derive(Debug, Error, Diagnostic)]
#[error("the token file {} cannot be read: {reason}", file.display())]
#[diagnostic(help("it holds the token in one line: openssl rand -hex 32 > FILE"))]
struct Unreadable {
    file: PathBuf,
    reason: String,
}

/// SIGHUP could not be listened for.
#[derive(Debug, Error, Diagnostic)]
#[error("SIGHUP cannot be listened for: {0}")]
struct Deaf(#[source] std::io::Error);

/// Runs the verb.
pub fn run(args: &WatchArgs, globals: &Globals) -> Result<Exit, Failure> {
    let signals = Signals::listen();
    let orders = Orders {
        stop: signals.flag(),
        reload: Signals::hang_ups().map_err(|error| Failure::unknown(Deaf(error)))?,
    };
    let listen = globals.layers()?.value(&key::LISTEN, args.listen)?;
    let plan = args.plan(globals)?;
    let mut unsaid = None;
    watch(
        plan,
        listen,
        &orders,
        &mut |address| {
            // A closed pipe must not end a service.
            let line = format!("watching; the status page is http://{address}/\n");
            unsaid = output::text(&line).err();
        },
        &mut || args.plan(globals).map_err(|failure| failure.in_a_line()),
    )?;
    drop(unsaid);
    Ok(Exit::AllWell)
}

impl WatchArgs {
    /// Everything that SIGHUP reads anew.
    fn plan(&self, globals: &Globals) -> Result<WatchPlan, Failure> {
        let layers = globals.layers()?;
        Ok(WatchPlan {
            settings: layers.connection(&globals.database())?,
            request: self.scan.request(globals, &layers)?,
            every: layers.value(&key::EVERY, self.every)?,
            fail_on: self.scan.fail_on(&layers)?,
            settling: self.scan.settling(&layers)?,
            record: self.record,
            token: self.token(&layers)?,
        })
    }

    /// The token: the option's file, else the variable, else the file that the configuration names.
    fn token(&self, layers: &Layers) -> Result<Option<Secret>, Failure> {
        let variable = layers.environment().get(TOKEN);
        let token = match (&self.token_file, variable) {
            (None, Some(token)) => Some(Secret::new(token)),
            (file, _) => {
                let file = layers.path(&key::TOKEN_FILE, file.clone())?;
                file.as_deref().map(token_in).transpose()?
            }
        };
        if let Some(token) = &token {
            check_token(token)?;
        }
        Ok(token)
    }
}

/// The token in a file; blanks around it do not count.
fn token_in(file: &Path) -> Result<Secret, Failure> {
    let wrong = |reason: String| {
        Failure::usage(Unreadable {
            file: file.to_owned(),
            reason: harmless(&reason),
        })
    };
    let about = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if about.len() > LONGEST {
        return Err(wrong(format!("it has {} bytes", about.len())));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Ok(Secret::new(text.trim()))
}

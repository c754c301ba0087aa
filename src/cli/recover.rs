//! `recover`: finishes or undoes what was interrupted.

use std::time::Duration;

use clap::Args;
use quay_doctor::{
    ApplyOptions, AuditDetail, Exceptions, Found, How, LifeSign, OperationId, PastExpiry,
    PolicyOptions, RecoverRequest, Recovered, harmless, recover, unfinished,
};
use serde_json::json;

use super::policy::{Carrying, Watch};
use super::{Exit, Failure, Format, Globals, output};

/// Finishes or takes back what was interrupted: policy operations and fix runs
#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// Only this operation
    operation: Option<i64>,

    /// Only look: what was interrupted, since when, and how far it is
    #[arg(long, conflicts_with_all = ["resume", "roll_back"])]
    list: bool,

    /// Finish everything
    #[arg(long, conflicts_with = "roll_back")]
    resume: bool,

    /// Take everything back that is not yet activated
    #[arg(long)]
    roll_back: bool,

    /// How long to wait for a worker that may be alive
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,

    #[command(flatten)]
    carrying: Carrying,
}

/// Runs the verb.
pub fn run(args: &RecoverArgs, globals: &Globals) -> Result<Exit, Failure> {
    let settings = globals.connection()?;
    if args.list {
        let found = unfinished(&settings)?;
        return list(&found, globals.format);
    }
    let how = match (args.resume, args.roll_back) {
        (true, _) => How::Resume,
        (_, true) => How::RollBack,
        _ => How::Default,
    };
    let policy = args.carrying.options(globals)?;
    let request = RecoverRequest {
        only: args.operation.map(OperationId),
        how,
        wait: args.wait,
        apply: as_a_run(&policy),
        policy,
    };
    let mut watch = Watch::new(globals);
    let recovered = recover(&settings, &request, &mut watch)?;
    watch.end();
    account(&recovered, globals.format)
}

/// How a fix run is taken back: as operations are.
fn as_a_run(policy: &PolicyOptions) -> ApplyOptions {
    let mut apply = ApplyOptions::new(policy.who.clone());
    apply.features = policy.features;
    apply.audit = if policy.audit {
        AuditDetail::PerTag
    } else {
        AuditDetail::None
    };
    apply.past_expiry = if policy.restore_past_expiry {
        PastExpiry::Restore
    } else {
        PastExpiry::LeaveOut
    };
    apply.batch_time = policy.batch_time;
    apply.limits = policy.limits;
    apply.jobs = policy.jobs;
    apply.clock_margin = policy.clock_margin;
    apply.settle_timeout = policy.settle_timeout;
    apply
}

fn list(found: &[Found], format: Format) -> Result<Exit, Failure> {
    match format {
        Format::Json => {
            let rows: Vec<_> = found
                .iter()
                .map(|found| {
                    let operation = &found.operation;
                    json!({
                        "operation": operation.id,
                        "kind": operation.kind.as_column(),
                        "phase": operation.phase.as_column(),
                        "policy": operation.policy,
                        "worker": operation.worker,
                        "alive": matches!(operation.sign, LifeSign::Lock | LifeSign::Replayed),
                        "life_sign": life_sign(operation.sign),
                        "started_at": operation.started,
                        "tags_changed": found.changed,
                    })
                })
                .collect();
            output::json(&json!({ "unfinished": rows }))?;
        }
        Format::Human => {
            let mut text = String::new();
            for found in found {
                let operation = &found.operation;
                let life = match operation.sign {
                    LifeSign::Lock | LifeSign::Replayed => "at work",
                    LifeSign::Reconnecting => "interrupted a moment ago, or reconnecting",
                    LifeSign::None => "interrupted",
                };
                text.push_str(&format!(
                    "operation {} ({}): {life}, {}, {} tags changed, since {} by {}\n",
                    operation.id,
                    operation.kind.as_column(),
                    operation.phase.as_column(),
                    found.changed,
                    operation.started.format("%Y-%m-%d %H:%M:%S UTC"),
                    harmless(&operation.worker),
                ));
            }
            if found.is_empty() {
                text.push_str("Nothing is unfinished.\n");
            }
            output::text(&text)?;
        }
    }
    Ok(if found.is_empty() {
        Exit::AllWell
    } else {
        Exit::Unknown
    })
}

/// What says that a worker lives, in a word.
fn life_sign(sign: LifeSign) -> Option<&'static str> {
    match sign {
        LifeSign::Lock => Some("lock"),
        LifeSign::Reconnecting | LifeSign::Replayed => Some("heartbeat"),
        LifeSign::None => None,
    }
}

fn account(recovered: &[Recovered], format: Format) -> Result<Exit, Failure> {
    let mut exit = Exit::AllWell;
    let mut look = false;
    let (mut text, mut rows) = (String::new(), Vec::new());
    for one in recovered {
        let mut exceptions = Exceptions::default();
        let mut skipped = 0;
        let (mut not, mut whats): (u64, &[String]) = (0, &[]);
        let (id, became, error) = match one {
            Recovered::Finished {
                operation,
                exceptions: told,
                skipped: of_all,
            } => {
                exceptions = told.clone();
                skipped = *of_all;
                (operation, "finished", None)
            }
            Recovered::TakenBack {
                operation,
                exceptions: told,
                refused,
                refusals,
            } => {
                exceptions = told.clone();
                (not, whats) = (*refused, refusals);
                if not > 0 {
                    exit = exit.max(Exit::SomethingToDo);
                }
                (operation, "taken back", None)
            }
            Recovered::Elsewhere(id) => (id, "ended by somebody else", None),
            Recovered::Left(id, error) => {
                exit = Exit::Unknown;
                (id, "left", Some(Failure::told(error)))
            }
        };
        let named = exceptions.not_written.count();
        let not_written = named.max(skipped.saturating_sub(exceptions.duplicates.count()));
        rows.push(json!({
            "operation": id,
            "became": became,
            "past_expirations_left_out": exceptions.past_expiries.count(),
            "past_expirations": exceptions.past_expiries.names(),
            "expirations_not_restored": exceptions.void_images.count(),
            "not_restored": exceptions.void_images.names(),
            "tags_not_written": not_written,
            "not_written": exceptions.not_written.names(),
            "tags_left": exceptions.duplicates.count(),
            "left": exceptions.duplicates.names(),
            "refused": not,
            "refusals": whats,
            "error": error,
        }));
        let why = error.map(|error| format!(": {error}")).unwrap_or_default();
        text.push_str(&format!("operation {id}: {became}{}\n", harmless(&why)));
        if not > 0 {
            text.push_str(&format!("     {not} rows were not taken back\n"));
        }
        for what in whats {
            text.push_str(&format!("     {}\n", harmless(what)));
        }
        for sentence in exceptions.sentences() {
            text.push_str(&format!("     {}\n", harmless(&sentence)));
        }
        if not_written > named {
            let more = not_written - named;
            text.push_str(&format!(
                "     {more} tags were skipped by a worker that is gone\n"
            ));
        }
        look |= not_written > 0 || exceptions.want_a_look();
    }
    if recovered.is_empty() {
        text.push_str("Nothing is unfinished.\n");
    }
    match format {
        Format::Json => output::json(&json!({ "recovered": rows }))?,
        Format::Human => output::text(&text)?,
    }
    if look {
        exit = exit.max(Exit::SomethingToDo);
    }
    Ok(exit)
}

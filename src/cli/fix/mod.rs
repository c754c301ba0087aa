//! `fix`: plans corrections; carries them out with `--apply`; takes a run back with `undo`.

mod prune;
mod source;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use quay_doctor::{
    ApplyOptions, AuditDetail, ConfigError, FixStrategy, Identity, Jobs, MoreToDo, OperationId,
    PastExpiry, apply_fix, apply_fix_to_its_end, apply_for_people, apply_json, plan_for_people,
    plan_json, print_fix, undo_fix, undo_for_people, undo_json,
};

use super::progress::Terminal;
use super::throttling::Throttling;
use super::{Exit, Failure, Format, Globals, output};

/// Plans corrections; with --apply carries them out, each reversible
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FixArgs {
    #[command(subcommand)]
    sub: Option<Sub>,

    #[command(flatten)]
    source: source::Source,

    /// Write the plan into a file, for --plan
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "apply"])]
    out: Option<PathBuf>,

    /// Carry the plan out
    #[arg(long)]
    apply: bool,

    /// How much one transaction makes
    #[arg(long, value_enum, default_value = "phased", requires = "apply")]
    strategy: Strategy,

    /// Print the plan as a script for psql, for an administrator to read and run
    #[arg(long, conflicts_with = "apply")]
    print_sql: bool,

    /// Stop before the first change where the plan has more corrections
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_changes: u64,

    #[command(flatten)]
    writing: Writing,
}

/// How changes are written, by a run and by its undo.
#[derive(Args, Debug)]
struct Writing {
    /// What to write into Quay's audit log
    #[arg(long, value_enum, default_value = "per-tag")]
    audit: Audit,

    /// How long a batch may hold its locks, as an aim
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = humantime::parse_duration)]
    batch_time: std::time::Duration,

    /// Sessions that change tags at the same time, each in other repositories [default: 2, from 10,000 tags on]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: Option<u8>,

    /// How far clocks may be apart: an expiry nearer than this is not cleared
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    clock_margin: std::time::Duration,

    /// How long an operation waits for transactions that still read the policies as they were
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    settle_timeout: std::time::Duration,

    #[command(flatten)]
    throttling: Throttling,

    /// Restore an expiry even where it has passed; the tag then dies at once
    #[arg(long)]
    restore_past_expiry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Audit {
    /// One marked entry a tag
    PerTag,
    /// One marked entry a batch, which says how many tags it was
    Summary,
    /// Nothing: where Quay logs elsewhere
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Strategy {
    /// Batch by batch; what no longer holds is skipped and counted
    Phased,
    /// Everything in one transaction, or nothing at all
    Atomic,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Shows, and with --apply takes out, old entries of the journal
    Prune(prune::Prune),
    /// Takes a run back, row by row where the row is still as the run left it
    Undo {
        /// The run, as `fix --apply` printed it
        run: i64,
        #[command(flatten)]
        writing: Writing,
    },
}

/// Runs the verb.
pub fn run(args: &FixArgs, globals: &Globals) -> Result<Exit, Failure> {
    match &args.sub {
        Some(Sub::Undo { run, writing }) => undo(OperationId(*run), writing, globals),
        Some(Sub::Prune(prune)) => prune.run(globals),
        None => fix(args, globals),
    }
}

fn fix(args: &FixArgs, globals: &Globals) -> Result<Exit, Failure> {
    let whole = args.out.is_some() || args.print_sql;
    let source = args
        .source
        .plan(args.max_changes, whole, args.out.as_deref(), globals)?;
    let plan = source.plan;
    let mut options = args.writing.options(globals)?;
    options.features = source.features;
    options.max_changes = args.max_changes;
    options.stale_after = source.stale_after;
    options.origin = source.origin;
    options.strategy = match args.strategy {
        Strategy::Phased => FixStrategy::Phased,
        Strategy::Atomic => FixStrategy::Atomic,
    };
    if !args.apply {
        if args.print_sql {
            let settings = globals.connection()?;
            output::stream(|out| Ok(print_fix(&settings, &plan, &options, out)?))?;
        } else {
            match globals.format {
                Format::Human => output::text(&plan_for_people(&plan))?,
                Format::Json => output::json(&plan_json(&plan))?,
            }
        }
        return Ok(match (plan.unknown().is_some(), plan.plan.is_empty()) {
            (true, _) => Exit::Unknown,
            (false, true) => Exit::AllWell,
            (false, false) => Exit::SomethingToDo,
        });
    }
    let (settings, terminal) = (globals.connection()?, &mut Terminal::new(globals));
    // A document is carried out as it was approved, and nothing that it does not hold.
    let report = match &source.request {
        Some(request) => apply_fix_to_its_end(&settings, request, &plan, &options, terminal),
        None => apply_fix(&settings, &plan, &options, terminal),
    }?;
    match globals.format {
        Format::Human => output::text(&apply_for_people(&report))?,
        Format::Json => output::json(&apply_json(&report))?,
    }
    let rest = report.undecided + report.left + report.skipped > 0
        || report.exceptions.want_a_look()
        || matches!(report.more, Some(MoreToDo::Again { .. }));
    let unknown = report.unknown.is_some()
        || report.cut_short()
        || matches!(report.more, Some(MoreToDo::Unknown(_)));
    Ok(match (unknown, rest) {
        (true, _) => Exit::Unknown,
        (false, true) => Exit::SomethingToDo,
        (false, false) => Exit::AllWell,
    })
}

fn undo(run: OperationId, writing: &Writing, globals: &Globals) -> Result<Exit, Failure> {
    let settings = globals.connection()?;
    let mut options = writing.options(globals)?;
    options.features = globals.features()?;
    let report = undo_fix(&settings, run, &options, &mut Terminal::new(globals))?;
    match globals.format {
        Format::Human => output::text(&undo_for_people(&report))?,
        Format::Json => output::json(&undo_json(&report))?,
    }
    Ok(if report.refused > 0 || report.exceptions.want_a_look() {
        Exit::SomethingToDo
    } else {
        Exit::AllWell
    })
}

impl Writing {
    fn options(&self, globals: &Globals) -> Result<ApplyOptions, ConfigError> {
        let who: Identity = globals.identity()?;
        let mut options = ApplyOptions::new(who);
        options.audit = match self.audit {
            Audit::PerTag => AuditDetail::PerTag,
            Audit::Summary => AuditDetail::Summary,
            Audit::None => AuditDetail::None,
        };
        options.past_expiry = if self.restore_past_expiry {
            PastExpiry::Restore
        } else {
            PastExpiry::LeaveOut
        };
        options.batch_time = self.batch_time;
        options.limits = self.throttling.limits();
        if let Some(jobs) = self.jobs {
            options.jobs = Jobs::exactly(usize::from(jobs));
        }
        options.clock_margin = self.clock_margin;
        options.settle_timeout = self.settle_timeout;
        Ok(options)
    }
}

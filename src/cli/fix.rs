//! `fix`: plans corrections; carries them out with `--apply`; takes a run back with `undo`.

use clap::{Args, Subcommand, ValueEnum};
use quay_doctor::{
    ApplyOptions, AuditDetail, Catalogue, Choices, FixRequest, Identity, NewPattern, OperationId,
    PastExpiry, Polarity, RunError, StoredPolicy, Strictness, apply_fix, apply_for_people,
    apply_json, plan_fix, plan_for_people, plan_json, refuse_pattern, undo_fix, undo_for_people,
    undo_json,
};

use super::check::Choice;
use super::progress::Terminal;
use super::{Exit, Failure, Format, Globals, output};

/// Plans corrections; with --apply carries them out, each reversible
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FixArgs {
    #[command(subcommand)]
    sub: Option<Sub>,

    #[command(flatten)]
    choice: Choice,

    /// Take this remedy for this rule, as in orphaned-immutable-tag=release
    #[arg(long = "remedy", value_name = "RULE=NAME")]
    remedies: Vec<String>,

    /// The pattern of the policy that `recreate` creates again, wherever it explains an orphan
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,

    /// That policy makes everything immutable that does not match
    #[arg(long, requires = "pattern")]
    not_matching: bool,

    /// Carry the plan out
    #[arg(long)]
    apply: bool,

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

    /// How far clocks may be apart: an expiry nearer than this is not cleared
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    clock_margin: std::time::Duration,

    /// Restore an expiry even where it has passed; the tag then dies at once
    #[arg(long)]
    restore_past_expiry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Audit {
    /// One marked entry a tag
    PerTag,
    /// Nothing: where Quay logs elsewhere
    None,
}

#[derive(Subcommand, Debug)]
enum Sub {
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
        None => fix(args, globals),
    }
}

fn fix(args: &FixArgs, globals: &Globals) -> Result<Exit, Failure> {
    let keep = usize::try_from(args.max_changes)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    // A user's own rules are checked only: what corrects rows judges them by the built-in ones.
    let catalogue = Catalogue::built_in()?;
    let check = args
        .choice
        .request(globals, catalogue.clone(), Strictness::Lenient, keep)?;
    let choices = Choices::parse::<RunError>(&args.remedies, &catalogue)?;
    let choices = choices
        .recreating(args.recreated()?)
        .map_err(RunError::from)?;
    let settings = globals.connection()?;
    let request = FixRequest { check, choices };
    let plan = plan_fix(&settings, &request, &mut Terminal::new(globals))?;
    if !args.apply {
        match globals.format {
            Format::Human => output::text(&plan_for_people(&plan))?,
            Format::Json => output::json(&plan_json(&plan))?,
        }
        return Ok(match (plan.unknown(), plan.plan.is_empty()) {
            (true, _) => Exit::Unknown,
            (false, true) => Exit::AllWell,
            (false, false) => Exit::SomethingToDo,
        });
    }
    let mut options = args.writing.options(globals);
    options.features = request.check.features;
    options.max_changes = args.max_changes;
    options.stale_after = args.choice.stale_after;
    let report = apply_fix(&settings, &plan, &options, &mut Terminal::new(globals))?;
    match globals.format {
        Format::Human => output::text(&apply_for_people(&report))?,
        Format::Json => output::json(&apply_json(&report))?,
    }
    let rest = report.undecided + report.left + report.skipped > 0;
    Ok(match (report.unknown || report.cut_short(), rest) {
        (true, _) => Exit::Unknown,
        (false, true) => Exit::SomethingToDo,
        (false, false) => Exit::AllWell,
    })
}

impl FixArgs {
    /// The policy that `recreate` creates, as Quay would take it.
    fn recreated(&self) -> Result<Option<StoredPolicy>, Failure> {
        let Some(pattern) = &self.pattern else {
            return Ok(None);
        };
        let new = NewPattern {
            pattern: pattern.trim().to_owned(),
            polarity: if self.not_matching {
                Polarity::NotMatching
            } else {
                Polarity::Matching
            },
            allow_slow: false,
        };
        refuse_pattern(&new)?;
        Ok(Some(StoredPolicy {
            pattern: new.pattern,
            polarity: new.polarity,
        }))
    }
}

fn undo(run: OperationId, writing: &Writing, globals: &Globals) -> Result<Exit, Failure> {
    let settings = globals.connection()?;
    let mut options = writing.options(globals);
    options.features = globals.features()?;
    let report = undo_fix(&settings, run, &options, &mut Terminal::new(globals))?;
    match globals.format {
        Format::Human => output::text(&undo_for_people(&report))?,
        Format::Json => output::json(&undo_json(&report))?,
    }
    Ok(if report.refused > 0 {
        Exit::SomethingToDo
    } else {
        Exit::AllWell
    })
}

impl Writing {
    fn options(&self, globals: &Globals) -> ApplyOptions {
        let who: Identity = globals.identity();
        let mut options = ApplyOptions::new(who);
        options.audit = match self.audit {
            Audit::PerTag => AuditDetail::PerTag,
            Audit::None => AuditDetail::None,
        };
        options.past_expiry = if self.restore_past_expiry {
            PastExpiry::Restore
        } else {
            PastExpiry::LeaveOut
        };
        options.batch_time = self.batch_time;
        options.clock_margin = self.clock_margin;
        options
    }
}

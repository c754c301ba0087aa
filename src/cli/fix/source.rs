//! Where a plan comes from: a check of now, or a document that was written before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use quay_doctor::{
    Catalogue, Choices, Features, FixRequest, NewPattern, PlanOrigin, PlanReport, Polarity,
    RunError, StoredPolicy, plan_fix, read_decisions_file, read_plan_file, refuse_pattern,
    write_plan_file,
};

use crate::cli::check::Choice;
use crate::cli::progress::Terminal;
use crate::cli::{Failure, Globals};

/// What is planned for, and by which choices; or the plan itself.
#[derive(Args, Debug)]
pub struct Source {
    #[command(flatten)]
    choice: Choice,

    /// Take this remedy for this rule, as in orphaned-immutable-tag=release
    #[arg(long = "remedy", value_name = "RULE=NAME")]
    remedies: Vec<String>,

    /// Decisions by namespace, repository or policy, which outweigh --remedy: a TOML file
    #[arg(long, value_name = "FILE")]
    decide: Option<PathBuf>,

    /// The pattern of the policy that `recreate` creates again, wherever it explains an orphan
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,

    /// That policy makes everything immutable that does not match
    #[arg(long, requires = "pattern")]
    not_matching: bool,

    /// The plan that --out wrote: exactly its corrections, for the database it was made for
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "remedies", "decide", "pattern", "rules", "namespace", "repository", "stale_after", "grace",
            "accept_undecided", "allow_settling", "fail_on",
        ],
    )]
    plan: Option<PathBuf>,
}

/// A plan, and what it was made under.
pub struct Sourced {
    pub plan: PlanReport,
    pub features: Features,
    pub stale_after: Duration,
    /// What it answers, where it was made here.
    pub request: Option<FixRequest>,
    pub origin: Option<PlanOrigin>,
}

impl Source {
    /// Makes the plan, and writes it into `out`; or reads it. Where `whole`, it is for somebody to read or to keep, and
    /// holds everything.
    pub fn plan(
        &self,
        max_changes: u64,
        whole: bool,
        out: Option<&Path>,
        globals: &Globals,
    ) -> Result<Sourced, Failure> {
        // One more than may be: then it is known that the plan is too large.
        let keep = match usize::try_from(max_changes) {
            Ok(most) if !whole => most.saturating_add(1),
            _ => usize::MAX,
        };
        match &self.plan {
            Some(file) => read(file, keep, globals),
            None => self.make(keep, out, globals),
        }
    }

    fn make(&self, keep: usize, out: Option<&Path>, globals: &Globals) -> Result<Sourced, Failure> {
        // A user's own rules are checked only: what corrects rows judges them by the built-in ones.
        let catalogue = Catalogue::built_in()?;
        let layers = globals.layers()?;
        let mut check = self.choice.request(globals, &layers, catalogue.clone())?;
        let settling = self.choice.settling(&layers)?;
        let fail_on = self.choice.fail_on(&layers)?;
        check.keep = keep;
        let mut choices = Choices::parse::<RunError>(&self.remedies, &catalogue)?;
        if let Some(file) = &self.decide {
            choices = choices.decided(read_decisions_file(file, &catalogue)?);
        }
        let choices = choices
            .recreating(self.recreated()?)
            .map_err(RunError::from)?;
        let settings = globals.connection()?;
        let request = FixRequest {
            check,
            choices,
            settling,
            fail_on,
        };
        let mut plan = plan_fix(&settings, &request, &mut Terminal::new(globals))?;
        if let Some(file) = out {
            let who = globals.identity()?;
            plan.digest = Some(write_plan_file(&settings, file, &request, &plan, &who)?);
        }
        Ok(Sourced {
            plan,
            features: request.check.features,
            stale_after: request.check.stale_after,
            request: Some(request),
            origin: None,
        })
    }
}

impl Source {
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

fn read(file: &Path, keep: usize, globals: &Globals) -> Result<Sourced, Failure> {
    let document = read_plan_file(file, keep)?;
    let name = file.display().to_string();
    let features = document
        .head
        .features_unless_denied(&name, globals.features()?)
        .map_err(Failure::usage)?;
    Ok(Sourced {
        features,
        stale_after: Duration::from_millis(document.head.stale_after_ms),
        plan: PlanReport {
            plan: document.plan,
            rules: Vec::new(),
            undecided_rules: document.undecided_rules,
            pending: None,
            digest: Some(document.digest.clone()),
        },
        request: None,
        origin: Some(PlanOrigin {
            file: name,
            database: document.head.database,
            digest: document.digest,
        }),
    })
}

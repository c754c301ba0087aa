//! Plans in files, written by one command and carried out by another; decisions in files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use miette::Diagnostic;

use super::{FixRequest, RunError};
use crate::config::ConnectionSettings;
use crate::correction::{
    Decisions, PLAN_SHAPE, PlanDigest, PlanDocument, PlanError, PlanFileError, PlanHead, PlanRest,
    read_plan, write_plan,
};
use crate::journal::{Identity, database_identity};
use crate::pg::ReadSession;
use crate::policy::{NewPattern, refuse_pattern};
use crate::quay::StoredPolicy;
use crate::report::PlanReport;
use crate::rules::Catalogue;

/// The longest file of decisions that is read, in bytes.
const LONGEST_DECISIONS: u64 = 16 << 20;

/// Writes a plan for this database into a file, whole or not at all.
///
/// # Errors
/// [`RunError`] where the database does not answer or the file cannot be written.
pub fn write_plan_file(
    settings: &ConnectionSettings,
    file: &Path,
    request: &FixRequest,
    report: &PlanReport,
    who: &Identity,
) -> Result<PlanDigest, RunError> {
    let database = database_identity(&mut ReadSession::open(settings)?)?;
    let head = PlanHead {
        tool: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        shape: PLAN_SHAPE,
        made_at: chrono::Utc::now(),
        actor: who.actor.clone(),
        reason: who.reason.clone(),
        database,
        features: request.check.features,
        stale_after_ms: u64::try_from(request.check.stale_after.as_millis()).unwrap_or(u64::MAX),
    };
    let rest = PlanRest {
        decisions: report.plan.decisions.clone(),
        left_to_recover: report.plan.left.clone(),
        beyond: report.plan.beyond,
        undecided_rules: report.undecided_rules.clone(),
    };
    let write = || -> std::io::Result<PlanDigest> {
        // What is no plain file, a device or a pipe, is written to and never replaced.
        if std::fs::metadata(file).is_ok_and(|there| !there.is_file()) {
            let mut out = BufWriter::new(std::fs::OpenOptions::new().write(true).open(file)?);
            let digest = write_plan(&mut out, &head, &report.plan.corrections, &rest)?;
            out.flush()?;
            return Ok(digest);
        }
        // Beside the file, so that the last step is a renaming.
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        let beside = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let mut out = BufWriter::new(beside);
        let digest = write_plan(&mut out, &head, &report.plan.corrections, &rest)?;
        out.flush()?;
        let beside = out.into_inner().map_err(|error| error.into_error())?;
        beside.as_file().sync_all()?;
        beside.persist(file)?;
        Ok(digest)
    };
    write().map_err(|error| {
        let (file, reason) = (file.display().to_string(), error.to_string());
        PlanFileError::Unwritable { file, reason }.into()
    })
}

/// Reads a plan from a file and verifies its digest; at most `keep` corrections are kept.
///
/// # Errors
/// [`RunError`] where it is no plan, or was changed after it was made.
pub fn read_plan_file(file: &Path, keep: usize) -> Result<PlanDocument, RunError> {
    let name = file.display().to_string();
    let opened = File::open(file).map_err(|error| PlanFileError::Unreadable {
        file: name.clone(),
        reason: error.to_string(),
    })?;
    Ok(read_plan(&name, BufReader::new(opened), keep)?)
}

/// Reads a file of decisions by scope.
///
/// # Errors
/// [`RunError`] where it cannot be read or means nothing.
pub fn read_decisions_file(file: &Path, catalogue: &Catalogue) -> Result<Decisions, RunError> {
    let name = file.display().to_string();
    let mut text = String::new();
    let read = File::open(file)
        .and_then(|opened| opened.take(LONGEST_DECISIONS + 1).read_to_string(&mut text));
    let reason = match read {
        Ok(length) if length as u64 <= LONGEST_DECISIONS => {
            let decisions = Decisions::parse(&name, &text, catalogue)?;
            decisions.only_usable(refused)?;
            return Ok(decisions);
        }
        Ok(_) => format!("it has more than {LONGEST_DECISIONS} bytes"),
        Err(error) => error.to_string(),
    };
    Err(PlanError::Decision {
        file: name,
        line: 1,
        reason,
        help: "--decide takes a TOML file; docs/schemas/decisions.json describes it".to_owned(),
    }
    .into())
}

/// Why Quay would not take a policy that is to be created, and what helps.
fn refused(policy: &StoredPolicy) -> Option<(String, String)> {
    let new = NewPattern {
        pattern: policy.pattern.clone(),
        polarity: policy.polarity,
        allow_slow: false,
    };
    let error = refuse_pattern(&new).err()?;
    let help = error.help().map(|help| help.to_string());
    Some((error.to_string(), help.unwrap_or_default()))
}

//! `migrate up`: every migration that is due, oldest first, each as its kind demands.

use serde::Serialize;

use super::catalogue::{self, Embedded, LATEST, MIGRATIONS, Way};
use super::notice::{Notice, Sink};
use super::scene::{self, Scene};
use super::session::{self, Patience};
use super::{Ended, MigrateError, concurrent, decide, lock, rights, store, verify};
use crate::config::ConnectionSettings;
use crate::journal::QuaySchema;
use crate::pg::WriteSession;

/// What `up` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpReport {
    /// The version found.
    pub from: i32,
    /// The version reached.
    pub to: i32,
    /// The migrations carried out, in their order.
    pub applied: Vec<AppliedMigration>,
    /// What of earlier migrations had to be put right.
    pub mended: Vec<String>,
    /// What may be wrong and did not stop us.
    pub warnings: Vec<String>,
}

/// One migration carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppliedMigration {
    /// Its version.
    pub version: i32,
    /// Its name.
    pub name: &'static str,
    /// What it found and left alone, or put right.
    pub remarks: Vec<String>,
}

/// Goes up to a version, or to the newest.
pub fn up(
    settings: &ConnectionSettings,
    target: Option<i32>,
    patience: &Patience,
    notices: Sink<'_>,
) -> Ended<UpReport> {
    let mut report = UpReport::default();
    let fault = ascend(settings, target, patience, notices, &mut report).err();
    Ended { report, fault }
}

fn ascend(
    settings: &ConnectionSettings,
    target: Option<i32>,
    patience: &Patience,
    notices: Sink<'_>,
    report: &mut UpReport,
) -> Result<(), MigrateError> {
    let target = valid(target)?;
    let mut session = session::open(settings, patience, notices)?;
    session.only_in_utf8()?;
    let scene = Scene::read_whole(&mut session)?;
    report.from = scene.history.version();
    report.to = report.from;
    let due = due(&scene, target);
    report.warnings = admit(&mut session, &scene, &due)?;
    for warning in &report.warnings {
        notices(&Notice::Warning(warning.clone()));
    }
    for known in due {
        notices(&Notice::Begins {
            version: known.version,
            name: known.name,
        });
        let remarks = store::apply(&mut session, known, patience, notices)?;
        report.to = known.version;
        report.applied.push(AppliedMigration {
            version: known.version,
            name: known.name,
            remarks,
        });
    }
    report.mended = mend(&mut session, &scene, patience, notices)?;
    look_back(&mut session)?;
    lock::release(&mut session)?;
    Ok(())
}

/// A version to go up to.
pub(super) fn valid(target: Option<i32>) -> Result<i32, MigrateError> {
    match target {
        None => Ok(LATEST),
        Some(asked) if (catalogue::NOTHING..=LATEST).contains(&asked) => Ok(asked),
        Some(asked) => Err(MigrateError::NoSuchVersion {
            asked,
            latest: LATEST,
        }),
    }
}

/// The migrations that are due, oldest first.
pub(super) fn due(scene: &Scene, target: i32) -> Vec<&'static Embedded> {
    MIGRATIONS
        .iter()
        .filter(|known| known.version > scene.history.version() && known.version <= target)
        .collect()
}

/// Looks whether all that is due can be done, before any of it is; gives back warnings.
fn admit(
    session: &mut WriteSession,
    scene: &Scene,
    due: &[&'static Embedded],
) -> Result<Vec<String>, MigrateError> {
    let mut warnings = Vec::new();
    if due.iter().any(|known| known.way != Way::OwnSchema) {
        warnings.extend(scene::require_policy_tables(session, &scene.state)?);
    } else if let QuaySchema::BeforePolicies(_) = scene.state.quay {
        warnings.push("this Quay has no immutability policies yet".to_owned());
    }
    for known in due {
        for step in known.steps_up()? {
            decide::ascend(step.subject, &scene.state, scene.own_schema)?;
        }
    }
    rights::require(session, due.iter().copied(), scene.own_schema)?;
    Ok(warnings)
}

/// An index of a recorded migration may have become INVALID, or be gone: it is built again.
fn mend(
    session: &mut WriteSession,
    scene: &Scene,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    let mut mended = Vec::new();
    for known in MIGRATIONS
        .iter()
        .filter(|known| known.way == Way::Concurrently)
    {
        if scene.history.row(known.version).is_some() && verify::indexes_differ(&scene.state) {
            rights::require(session, std::iter::once(known), scene.own_schema)?;
            mended.extend(concurrent::mend(session, known, patience, notices)?);
        }
    }
    Ok(mended)
}

/// Going up ends only where everything is as promised.
fn look_back(session: &mut WriteSession) -> Result<(), MigrateError> {
    let differences = verify::differences(session)?.differences;
    if differences.is_empty() {
        return Ok(());
    }
    const NAMED_AT_MOST: usize = 5;
    let mut named: Vec<String> = differences
        .iter()
        .take(NAMED_AT_MOST)
        .map(ToString::to_string)
        .collect();
    if differences.len() > NAMED_AT_MOST {
        named.push(format!("and {} more", differences.len() - NAMED_AT_MOST));
    }
    Err(MigrateError::Drift { differences: named })
}

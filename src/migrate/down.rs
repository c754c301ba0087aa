//! `migrate down` and `migrate hand-over`: newest first, and not while something depends on it.

use std::path::PathBuf;

use serde::Serialize;

use super::catalogue::{self, Embedded, JOURNAL_ONLY, LATEST, MIGRATIONS, Way};
use super::decide::{self, Descent};
use super::export::{self, Exported};
use super::notice::{Notice, Sink};
use super::refusal;
use super::scene::Scene;
use super::script::{Step, Subject};
use super::session::{self, Patience};
use super::transactional::retrying;
use super::{Ended, MigrateError, concurrent, lock, rights};
use crate::config::ConnectionSettings;
use crate::journal::SchemaState;
use crate::pg::{FaultClass, WriteSession, WriteTransaction};
use crate::quay::PolicyTable;

/// What becomes of the journal on the way to version 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Journal {
    /// It is dropped only when nothing in it could still be needed.
    DropIfUnneeded,
    /// It is written to this file and then dropped.
    ExportTo(PathBuf),
}

/// What `down` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DownReport {
    /// The version found.
    pub from: i32,
    /// The version reached.
    pub to: i32,
    /// The migrations taken down, newest first.
    pub taken_down: Vec<i32>,
    /// What was kept, and why.
    pub remarks: Vec<String>,
    /// Where the journal was written to.
    pub exported: Option<Exported>,
}

/// Goes down to a version.
pub fn down(
    settings: &ConnectionSettings,
    target: i32,
    journal: &Journal,
    patience: &Patience,
    notices: Sink<'_>,
) -> Ended<DownReport> {
    let mut report = DownReport::default();
    let fault = descend(settings, target, journal, patience, notices, &mut report).err();
    Ended { report, fault }
}

/// Gives Quay's tables back as Quay made them, before an upgrade that brings its own `active`.
/// Where less than that is applied there is nothing to do.
pub fn hand_over(
    settings: &ConnectionSettings,
    patience: &Patience,
    notices: Sink<'_>,
) -> Ended<DownReport> {
    let mut ended = down(
        settings,
        JOURNAL_ONLY,
        &Journal::DropIfUnneeded,
        patience,
        notices,
    );
    if let Some(MigrateError::NotDown { current, .. }) = ended.fault {
        ended.report.to = current;
        ended.fault = None;
    }
    ended
}

fn descend(
    settings: &ConnectionSettings,
    target: i32,
    journal: &Journal,
    patience: &Patience,
    notices: Sink<'_>,
    report: &mut DownReport,
) -> Result<(), MigrateError> {
    if !(catalogue::NOTHING..=LATEST).contains(&target) {
        return Err(MigrateError::NoSuchVersion {
            asked: target,
            latest: LATEST,
        });
    }
    if target > catalogue::NOTHING && *journal != Journal::DropIfUnneeded {
        return Err(MigrateError::JournalStays { to: target });
    }
    let mut session = session::open(settings, patience, notices)?;
    let scene = Scene::read_whole(&mut session)?;
    let current = scene.history.version();
    (report.from, report.to) = (current, current);
    if target > current {
        return Err(MigrateError::NotDown {
            asked: target,
            current,
        });
    }
    let doomed = doomed(&scene, target);
    rights::require(&mut session, doomed.iter().copied(), scene.own_schema)?;
    if !doomed.is_empty() {
        refusal::refuse_while_in_use(&mut session, &scene.state)?;
    }
    if target == catalogue::NOTHING && !doomed.is_empty() && *journal == Journal::DropIfUnneeded {
        refusal::refuse_while_journal_is_needed(&mut session)?;
    }
    for known in doomed {
        notices(&Notice::Begins {
            version: known.version,
            name: known.name,
        });
        take_down(&mut session, known, journal, patience, notices, report)?;
        report.taken_down.push(known.version);
        report.to = report.to.min(known.version - 1);
    }
    lock::release(&mut session)?;
    Ok(())
}

/// The migrations to take down, newest first. A build that was cut short has no history row, and
/// its index is taken down all the same.
fn doomed(scene: &Scene, target: i32) -> Vec<&'static Embedded> {
    MIGRATIONS
        .iter()
        .rev()
        .filter(|known| known.version > target)
        .filter(|known| {
            scene.history.row(known.version).is_some()
                || (known.way == Way::Concurrently && index_of_ours(&scene.state))
        })
        .collect()
}

fn index_of_ours(state: &SchemaState) -> bool {
    PolicyTable::IN_LOCK_ORDER
        .into_iter()
        .any(|table| decide::descend(Subject::Index(table), state) == Descent::Run)
}

fn take_down(
    session: &mut WriteSession,
    known: &Embedded,
    journal: &Journal,
    patience: &Patience,
    notices: Sink<'_>,
    report: &mut DownReport,
) -> Result<(), MigrateError> {
    if known.way == Way::Concurrently {
        let remarks = concurrent::take_down(session, known, patience, notices)?;
        report.remarks.extend(remarks);
        return Ok(());
    }
    let done = retrying(session, patience, notices, |session| match known.way {
        Way::OwnSchema => drop_own_schema(session, known, journal),
        Way::PolicyTables | Way::Concurrently => drop_columns(session, known),
    })?;
    report.remarks.extend(done.remarks);
    report.exported = done.exported.or(report.exported.take());
    Ok(())
}

#[derive(Default)]
struct Dropped {
    remarks: Vec<String>,
    exported: Option<Exported>,
}

/// The question whether a policy is inactive and the drop that would enforce it stand in one
/// transaction, under locks that keep any policy from becoming inactive in between.
fn drop_columns(session: &mut WriteSession, known: &Embedded) -> Result<Dropped, MigrateError> {
    let state = SchemaState::read(session)?;
    let (locks, rest) = split(known.steps_down()?);
    let mut dropped = Dropped::default();
    let mut statements = Vec::new();
    for step in rest {
        match decide::descend(step.subject, &state) {
            Descent::Run => statements.extend(step.statements),
            Descent::Keep(remark) => dropped.remarks.extend(remark),
        }
    }
    let mut transaction = session.begin()?.within(session::BRIEF);
    transaction.run(&session::BRIEFLY.join("\n"))?;
    transaction.run(&locks.join("\n"))?;
    refusal::refuse_while_in_use(&mut transaction, &state)?;
    transaction.run(&statements.join("\n"))?;
    transaction.execute(
        "DELETE FROM quay_doctor.refinery_schema_history WHERE version = $1",
        &[&known.version],
    )?;
    transaction.commit()?;
    Ok(dropped)
}

/// The history table goes with the schema, and with it the last row.
fn drop_own_schema(
    session: &mut WriteSession,
    known: &Embedded,
    journal: &Journal,
) -> Result<Dropped, MigrateError> {
    let state = SchemaState::read(session)?;
    let (locks, rest) = split(known.steps_down()?);
    let mut dropped = Dropped::default();
    let mut transaction = session.begin()?;
    transaction.run(&locks.join("\n"))?;
    refusal::refuse_while_in_use(&mut transaction, &state)?;
    match journal {
        Journal::DropIfUnneeded => refusal::refuse_while_journal_is_needed(&mut transaction)?,
        Journal::ExportTo(path) => {
            dropped.exported = Some(export::write(&mut transaction, path)?);
        }
    }
    for step in rest {
        let text = step.statements.join("\n");
        match step.subject {
            Subject::Schema => dropped
                .remarks
                .extend(drop_schema(&mut transaction, &text)?),
            _ => transaction.run(&text)?,
        }
    }
    transaction.commit()?;
    Ok(dropped)
}

/// Another role's schema, or one with something else in it, stays.
fn drop_schema(
    transaction: &mut WriteTransaction<'_>,
    text: &str,
) -> Result<Option<String>, MigrateError> {
    const STILL_DEPENDED_ON: &str = "2BP01";
    transaction.run("SAVEPOINT before_schema")?;
    let Err(error) = transaction.run(text) else {
        return Ok(None);
    };
    let why = match (error.class(), error.sqlstate()) {
        (FaultClass::Privilege, _) => "it belongs to another role",
        (_, Some(STILL_DEPENDED_ON)) => "it holds something that no migration made",
        _ => return Err(error.into()),
    };
    transaction.run("ROLLBACK TO SAVEPOINT before_schema")?;
    Ok(Some(format!(
        "{} is kept, empty of ours: {why}",
        Subject::Schema
    )))
}

fn split(steps: Vec<Step>) -> (Vec<String>, Vec<Step>) {
    let (locks, rest): (Vec<Step>, Vec<Step>) = steps
        .into_iter()
        .partition(|step| step.subject == Subject::Lock);
    let locks = locks.into_iter().flat_map(|step| step.statements).collect();
    (locks, rest)
}

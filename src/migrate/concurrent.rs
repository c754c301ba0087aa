//! The indexes: built and dropped CONCURRENTLY, so outside a transaction, so safe to repeat.

use std::time::Duration;

use super::MigrateError;
use super::catalogue::Embedded;
use super::decide::{self, Ascent, Descent};
use super::holders::Holders;
use super::notice::{Notice, Sink};
use super::scene::OwnSchema;
use super::script::{Step, Subject};
use super::session::Patience;
use crate::journal::{IndexValidity, SchemaState, active_index_definition, active_index_name};
use crate::pg::{PgError, WriteSession};
use crate::quay::PolicyTable;

/// The longest that clearing up after a failed build may take; the next run clears up as well.
const CLEAR_UP: Duration = Duration::from_secs(10);

/// Builds what is missing, looks at the result, and only then writes the history row.
pub(super) fn build(
    session: &mut WriteSession,
    known: &Embedded,
    record: &str,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    let remarks = mend(session, known, patience, notices)?;
    let mut transaction = session.begin()?;
    transaction.run(record)?;
    transaction.commit()?;
    Ok(remarks)
}

/// Builds what is missing or INVALID and leaves alone what is sound.
pub(super) fn mend(
    session: &mut WriteSession,
    known: &Embedded,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    let mut remarks = Vec::new();
    for step in known.steps_up()? {
        let Subject::Index(table) = step.subject else {
            continue;
        };
        let state = SchemaState::read(session)?;
        // The schema is there: the history row of V1 is.
        match decide::ascend(step.subject, &state, OwnSchema::Present)? {
            Ascent::Keep(remark) => remarks.extend(remark),
            Ascent::Mark => mark(session, &step)?,
            Ascent::Run => {
                announce(session, table, patience, notices)?;
                create(session, known, table, &step, patience)?;
            }
            Ascent::Rebuild => {
                remarks.push(format!(
                    "{} was INVALID, left by a build that was cut short: dropped and built again",
                    step.subject
                ));
                announce(session, table, patience, notices)?;
                drop_index(session, known, table, patience.index)?;
                create(session, known, table, &step, patience)?;
            }
        }
    }
    Ok(remarks)
}

/// Drops what is ours. The history row goes last.
pub(super) fn take_down(
    session: &mut WriteSession,
    known: &Embedded,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    let mut remarks = Vec::new();
    let state = SchemaState::read(session)?;
    for step in known.steps_down()? {
        match (step.subject, decide::descend(step.subject, &state)) {
            (Subject::Index(table), Descent::Run) => {
                announce(session, table, patience, notices)?;
                drop_index(session, known, table, patience.index)?;
            }
            (_, Descent::Keep(remark)) => remarks.extend(remark),
            (_, Descent::Run) => {}
        }
    }
    let mut transaction = session.begin()?;
    transaction.execute(
        "DELETE FROM quay_doctor.refinery_schema_history WHERE version = $1",
        &[&known.version],
    )?;
    transaction.commit()?;
    Ok(remarks)
}

/// Says what is about to take time, and for whom it may have to wait.
fn announce(
    session: &mut WriteSession,
    table: PolicyTable,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<(), PgError> {
    let waits_for = Holders::of_old_transactions(session)?;
    notices(&Notice::IndexWork {
        index: active_index_name(table),
        at_most: patience.index,
        waits_for,
    });
    Ok(())
}

fn create(
    session: &mut WriteSession,
    known: &Embedded,
    table: PolicyTable,
    step: &Step,
    patience: &Patience,
) -> Result<(), MigrateError> {
    let index = active_index_name(table);
    let Some(create) = step.statements.first() else {
        return Ok(());
    };
    if let Err(source) = session.run_unhurried(create, patience.index) {
        clear_up(session, known, table, patience.index.min(CLEAR_UP));
        return Err(MigrateError::IndexNotBuilt { index, source });
    }
    let state = SchemaState::read(session)?;
    let built = state.policies(table).active_index.as_ref();
    if !built.is_some_and(|built| built.is_as_promised(table)) {
        return Err(MigrateError::IndexNotValid { index });
    }
    mark(session, step)
}

/// What follows the build itself: the comment that says whose the index is.
fn mark(session: &mut WriteSession, step: &Step) -> Result<(), MigrateError> {
    for statement in step.statements.iter().skip(1) {
        session.run(statement)?;
    }
    Ok(())
}

/// Drops what a failed build has left, if that goes quickly. Whether or not it does, the failure of
/// the build is what there is to tell, and the next run looks again.
fn clear_up(session: &mut WriteSession, known: &Embedded, table: PolicyTable, at_most: Duration) {
    let cleared = SchemaState::read(session)
        .map_err(MigrateError::from)
        .and_then(|state| {
            let left = state.policies(table).active_index.as_ref();
            let ours = left.is_some_and(|left| {
                left.validity == IndexValidity::Invalid
                    && left.definition == active_index_definition(table)
            });
            match ours {
                true => drop_index(session, known, table, at_most),
                false => Ok(()),
            }
        });
    if let Err(error) = cleared {
        tracing::info!(%error, "what the failed build left stays until the next run");
    }
}

/// The script's own DROP INDEX CONCURRENTLY.
pub(super) fn drop_statements(
    known: &Embedded,
    table: PolicyTable,
) -> Result<Vec<String>, MigrateError> {
    let steps = known.steps_down()?;
    let ours = steps
        .into_iter()
        .filter(|step| step.subject == Subject::Index(table));
    Ok(ours.flat_map(|step| step.statements).collect())
}

fn drop_index(
    session: &mut WriteSession,
    known: &Embedded,
    table: PolicyTable,
    at_most: Duration,
) -> Result<(), MigrateError> {
    for statement in drop_statements(known, table)? {
        session.run_unhurried(&statement, at_most)?;
    }
    Ok(())
}

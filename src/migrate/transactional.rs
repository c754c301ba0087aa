//! Migrations that commit as a whole, together with their history row.
//!
//! refinery runs them. It makes its history table before anything else, and the first migration
//! makes the schema that the table is in: that schema is made before, and taken away again where
//! the migration fails, so that a first run that fails leaves nothing behind.

use std::time::{Duration, Instant};

use super::backoff;
use super::catalogue::{Embedded, Way};
use super::decide::{self, Ascent};
use super::holders::Holders;
use super::notice::{Notice, Sink};
use super::scene::Scene;
use super::script::Subject;
use super::session::{BRIEFLY, Patience};
use super::{MigrateError, store};
use crate::pg::{FaultClass, PgError, WriteSession};
use crate::retry::pauses;

/// A migration as one transaction, for the situation at hand.
pub(super) struct Transaction {
    /// What has to be there before: the schema that the history table is in.
    pub(super) before: Vec<String>,
    /// Its statements between BEGIN and COMMIT, the history row not among them.
    pub(super) statements: Vec<String>,
    /// What is left out, and why.
    pub(super) remarks: Vec<String>,
}

/// Puts the transaction together. The plan prints the same.
pub(super) fn compose(known: &Embedded, scene: &Scene) -> Result<Transaction, MigrateError> {
    let mut composed = Transaction {
        before: Vec::new(),
        statements: Vec::new(),
        remarks: Vec::new(),
    };
    if known.way == Way::PolicyTables {
        composed.statements.extend(BRIEFLY.map(str::to_owned));
    }
    for step in known.steps_up()? {
        match decide::ascend(step.subject, &scene.state, scene.own_schema)? {
            Ascent::Keep(remark) => composed.remarks.extend(remark),
            Ascent::Run if step.subject == Subject::Schema => {
                composed.before.extend(step.statements);
            }
            Ascent::Run | Ascent::Mark | Ascent::Rebuild => {
                composed.statements.extend(step.statements);
            }
        }
    }
    Ok(composed)
}

/// Runs a migration and its history row in one transaction, again and again until the tables can
/// be locked without waiting or patience ends. What is left out is told.
pub(super) fn apply(
    session: &mut WriteSession,
    known: &Embedded,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    retrying(session, patience, notices, |session| {
        let scene = Scene::read_whole(session)?;
        let composed = compose(known, &scene)?;
        for statement in &composed.before {
            session.run(statement)?;
        }
        // One message holds all statements: Quay's tables are locked for as long as three answers
        // take, to it, to the history row and to the commit.
        let ran = store::run(session, known, &composed.statements);
        if ran.is_err() && !composed.before.is_empty() {
            take_schema_away(session);
        }
        ran?;
        Ok(composed.remarks)
    })
}

/// Drops the schema that was made for a migration that then failed. Never more than that: the two
/// statements are one transaction, which the first table of the migration's would make fail.
fn take_schema_away(session: &mut WriteSession) {
    let dropped = session.run(
        "DROP TABLE IF EXISTS quay_doctor.refinery_schema_history;
         DROP SCHEMA quay_doctor;",
    );
    if let Err(error) = dropped {
        tracing::info!(%error, "the empty schema quay_doctor stays until the next run");
    }
}

/// Tries until an attempt gets the locks it asks for with NOWAIT. Only that, and a column that
/// appeared after the look, is tried again; every other error is the caller's to see.
pub(super) fn retrying<T>(
    session: &mut WriteSession,
    patience: &Patience,
    notices: Sink<'_>,
    mut attempt: impl FnMut(&mut WriteSession) -> Result<T, MigrateError>,
) -> Result<T, MigrateError> {
    let deadline = backoff::deadline(patience.tables);
    let mut pauses = pauses(Duration::from_millis(20), Duration::from_secs(1));
    let mut told = false;
    loop {
        let failed = match attempt(session) {
            Err(MigrateError::Database(error)) if may_be_tried_again(&error) => error,
            ended => return ended,
        };
        let out_of_patience = Instant::now() >= deadline;
        if told && !out_of_patience {
            backoff::sleep(&mut pauses, deadline);
            continue;
        }
        if failed.class() != FaultClass::LockTimeout && out_of_patience {
            return Err(failed.into());
        }
        let holders = Holders::of_tables(session)?;
        if out_of_patience {
            return Err(MigrateError::TablesLocked {
                holders,
                waited: patience.tables,
            });
        }
        notices(&Notice::WaitsForTables {
            holders,
            at_most: patience.tables,
        });
        told = true;
        backoff::sleep(&mut pauses, deadline);
    }
}

fn may_be_tried_again(error: &PgError) -> bool {
    const DUPLICATE_COLUMN: &str = "42701";
    error.class() == FaultClass::LockTimeout || error.sqlstate() == Some(DUPLICATE_COLUMN)
}

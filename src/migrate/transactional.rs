//! Migrations that commit as a whole, together with their history row.

use std::time::{Duration, Instant};

use super::backoff::{self, Backoff};
use super::catalogue::{Embedded, Way};
use super::decide::{self, Ascent};
use super::holders::Holders;
use super::notice::{Notice, Sink};
use super::scene::Scene;
use super::script::Subject;
use super::session::{BRIEF, BRIEFLY, Patience};
use super::{MigrateError, history};
use crate::pg::{FaultClass, PgError, WriteSession};

/// A migration as one transaction, for the situation at hand.
pub(super) struct Transaction {
    /// Its statements between BEGIN and COMMIT, the history row not among them.
    pub(super) statements: Vec<String>,
    /// What is left out, and why.
    pub(super) remarks: Vec<String>,
}

/// Puts the transaction together. The plan prints the same.
pub(super) fn compose(known: &Embedded, scene: &Scene) -> Result<Transaction, MigrateError> {
    let mut composed = Transaction {
        statements: Vec::new(),
        remarks: Vec::new(),
    };
    if known.way == Way::PolicyTables {
        composed.statements.extend(BRIEFLY.map(str::to_owned));
    }
    for step in known.steps_up()? {
        if step.subject == Subject::Tables {
            composed.statements.push(history::create_table());
        }
        match decide::ascend(step.subject, &scene.state, scene.own_schema)? {
            Ascent::Keep(remark) => composed.remarks.extend(remark),
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
    record: &str,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    retrying(session, patience, notices, |session| {
        let scene = Scene::read_whole(session)?;
        let composed = compose(known, &scene)?;
        // One message: Quay's tables are locked for one journey to the server and the commit's.
        let mut text = composed.statements.join("\n");
        text.push('\n');
        text.push_str(record);
        let mut transaction = session.begin()?.within(BRIEF);
        transaction.run(&text)?;
        transaction.commit()?;
        Ok(composed.remarks)
    })
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
    let mut backoff = Backoff::between(Duration::from_millis(20), Duration::from_secs(1));
    let mut told = false;
    loop {
        let failed = match attempt(session) {
            Err(MigrateError::Database(error)) if may_be_tried_again(&error) => error,
            ended => return ended,
        };
        let out_of_patience = Instant::now() >= deadline;
        if told && !out_of_patience {
            backoff.sleep_until(deadline);
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
        backoff.sleep_until(deadline);
    }
}

fn may_be_tried_again(error: &PgError) -> bool {
    const DUPLICATE_COLUMN: &str = "42701";
    error.class() == FaultClass::LockTimeout || error.sqlstate() == Some(DUPLICATE_COLUMN)
}

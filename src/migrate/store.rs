//! refinery's runner over our session: it says what is due, runs it, and writes its history rows.
//!
//! It is asked version by version. What it runs is one transaction with the history row in it, by
//! its own driver. Two things it cannot do: leave out the steps whose subject is there already, so
//! the statements for the situation at hand are handed to it; and build an index CONCURRENTLY, so
//! it records that version once the build has been looked at.

use refinery::{Migration, Runner, Target};

use super::MigrateError;
use super::catalogue::{Embedded, MIGRATIONS};
use super::history;
use super::session::BRIEF;
use crate::pg::WriteSession;

/// Runs a migration's statements and writes its history row, in one transaction.
pub(super) fn run(
    session: &mut WriteSession,
    known: &Embedded,
    statements: &[String],
) -> Result<(), MigrateError> {
    let migration = known.with_statements(statements)?;
    start(session, known, migration, Target::Version(known.version))
}

/// Writes the history row of a migration that has been carried out already.
pub(super) fn record(session: &mut WriteSession, known: &Embedded) -> Result<(), MigrateError> {
    let migration = known.to_refinery()?;
    start(
        session,
        known,
        migration,
        Target::FakeVersion(known.version),
    )
}

/// refinery's driver panics on a history row that it cannot decode, so whoever calls this has read
/// the history with care just before.
fn start(
    session: &mut WriteSession,
    due: &Embedded,
    migration: Migration,
    target: Target,
) -> Result<(), MigrateError> {
    let mut migrations = Vec::new();
    for known in &MIGRATIONS {
        if known.version != due.version {
            migrations.push(known.to_refinery()?);
        }
    }
    migrations.push(migration);
    let mut runner = Runner::new(&migrations)
        .set_target(target)
        .set_grouped(true);
    runner.set_migration_table_name(history::TABLE);
    Ok(session.migrate(&runner, BRIEF)?)
}

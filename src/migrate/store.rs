//! refinery's connection type: it hands a script and its history row over, we carry them out.
//!
//! refinery decides which migrations are due and writes their history rows. It is asked version by
//! version and grouped, so that one call brings exactly one script and its row, and how the two are
//! carried out is decided here.

use std::fmt;

use refinery_core::traits::sync::{Migrate, Query, Transaction};
use refinery_core::{Error, Migration, Runner, Target};

use super::catalogue::{self, Embedded, MIGRATIONS, Way};
use super::history;
use super::notice::Sink;
use super::session::Patience;
use super::{MigrateError, concurrent, transactional};
use crate::pg::WriteSession;

/// A session, seen by refinery.
pub(super) struct Store<'s> {
    session: &'s mut WriteSession,
    patience: &'s Patience,
    notices: Sink<'s>,
    /// Why refinery was stopped; its own error type cannot give ours back.
    fault: Option<MigrateError>,
    /// What the migration left out or found.
    remarks: Vec<String>,
}

/// Carries out one migration, the next one due, with its history row. Gives back what there is to
/// tell about it.
pub(super) fn apply(
    session: &mut WriteSession,
    known: &Embedded,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Vec<String>, MigrateError> {
    let mut store = Store {
        session,
        patience,
        notices,
        fault: None,
        remarks: Vec::new(),
    };
    let mut runner = Runner::new(&catalogue::to_refinery()?)
        .set_target(Target::Version(known.version))
        .set_grouped(true);
    runner.set_migration_table_name(history::TABLE);
    let ran = runner.run(&mut store);
    match (store.fault, ran) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Ok(store.remarks),
    }
}

/// Stands for the fault that the store keeps.
#[derive(Debug)]
pub(super) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the migration was stopped")
    }
}

impl std::error::Error for Stopped {}

impl Store<'_> {
    fn keep<T>(&mut self, result: Result<T, MigrateError>) -> Result<T, Stopped> {
        result.map_err(|fault| {
            self.fault = Some(fault);
            Stopped
        })
    }

    fn carry_out(&mut self, queries: &[&str]) -> Result<usize, MigrateError> {
        let [script, record] = queries else {
            // Nothing was due: refinery found the version recorded already.
            return Ok(0);
        };
        let Some(known) = MIGRATIONS.iter().find(|known| known.up == *script) else {
            return Err(MigrateError::BadScript {
                line: script.lines().next().unwrap_or_default().to_owned(),
            });
        };
        self.remarks = match known.way {
            Way::OwnSchema | Way::PolicyTables => {
                let notices = &mut *self.notices;
                transactional::apply(self.session, known, record, self.patience, notices)?
            }
            Way::Concurrently => {
                let notices = &mut *self.notices;
                concurrent::build(self.session, known, record, self.patience, notices)?
            }
        };
        Ok(queries.len())
    }
}

impl Transaction for Store<'_> {
    type Error = Stopped;

    fn execute<'a, T: Iterator<Item = &'a str>>(&mut self, queries: T) -> Result<usize, Stopped> {
        let queries: Vec<&str> = queries.collect();
        let done = self.carry_out(&queries);
        self.keep(done)
    }
}

impl Query<Vec<Migration>> for Store<'_> {
    fn query(&mut self, query: &str) -> Result<Vec<Migration>, Stopped> {
        let rows = history::rows(self.session, query);
        let rows = self.keep(rows)?;
        Ok(rows.iter().map(history::Applied::to_refinery).collect())
    }
}

impl Migrate for Store<'_> {
    /// Makes nothing: the table is made with V1, in V1's transaction, so that a first run that
    /// fails leaves nothing behind.
    fn assert_migrations_table(&mut self, _migration_table_name: &str) -> Result<usize, Error> {
        Ok(0)
    }
}

//! Why a migration was refused, or stopped.

use std::path::PathBuf;
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;

use super::holders::Holders;
use super::refusal::{ListedOperations, ListedPolicies, Undoable};
use crate::pg::{FaultClass, PgError};

/// A migration was refused or stopped. Nothing is half done, except where the text says what is.
#[derive(Debug, Error, Diagnostic)]
pub enum MigrateError {
    /// The database did not carry out a statement.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Database(#[from] PgError),
    /// The database is not Quay's.
    #[error("this is not Quay's database: there is no table {}", missing.join(", "))]
    #[diagnostic(help(
        "check the database's name in the URL, and the role's search_path if Quay uses a schema of its own"
    ))]
    NotQuay {
        /// The tables that every Quay has and this database has not.
        missing: Vec<String>,
    },
    /// Quay is older than its policy tables.
    #[error("this Quay has no immutability policies yet: there is no table {}", missing.join(", "))]
    #[diagnostic(help(
        "they came with Quay 3.17: upgrade Quay first; `migrate up --to 1` makes our own schema without them"
    ))]
    BeforePolicies {
        /// The policy tables that are missing.
        missing: Vec<String>,
    },
    /// Quay's policy tables lack columns, or have them with another type.
    #[error("Quay's policy tables are not as expected: {}", differences.join("; "))]
    #[diagnostic(help(
        "this version knows the tables of Quay 3.17 and later (Alembic revision here: {revision}); is there a newer quay-doctor?"
    ))]
    UnknownTables {
        /// Each column that differs, and how.
        differences: Vec<String>,
        /// Where Quay's chain stands.
        revision: String,
    },
    /// The role lacks rights.
    #[error("the role {role} may not do this: {}", lacking.join("; "))]
    #[diagnostic(help("as an administrator: {}", remedies.join("; ")))]
    Privileges {
        /// The role in use.
        role: String,
        /// What it lacks.
        lacking: Vec<String>,
        /// Statements that help.
        remedies: Vec<String>,
    },
    /// There is no such version.
    #[error("there is no migration {asked}")]
    #[diagnostic(help("the versions are 0 to {latest}; 0 is without any migration"))]
    NoSuchVersion {
        /// What was asked for.
        asked: i32,
        /// The newest there is.
        latest: i32,
    },
    /// A downward command asked to go up.
    #[error("the database is at version {current}, below {asked}: there is nothing to take down")]
    #[diagnostic(help("`migrate up --to {asked}` goes up"))]
    NotDown {
        /// What was asked for.
        asked: i32,
        /// Where the database is.
        current: i32,
    },
    /// Another migrator is at work.
    #[error("another migrator is at work, still after {waited:?}: {holders}")]
    #[diagnostic(help("wait longer with --wait, or look what that session is doing"))]
    AnotherMigrator {
        /// Who holds the lock.
        holders: Holders,
        /// How long was waited.
        waited: Duration,
    },
    /// A table's lock could not be had.
    #[error("the tables stayed locked for {waited:?}: {holders}")]
    #[diagnostic(help(
        "nothing was changed by this step, and nothing of Quay's has waited for it; try again at a quieter time, or longer with --lock-wait"
    ))]
    TablesLocked {
        /// Who holds locks on them.
        holders: Holders,
        /// How long was tried.
        waited: Duration,
    },
    /// A column of our name is there with another shape.
    #[error("{table} has a column {column} already, and it cannot be adopted: {difference}")]
    #[diagnostic(help("rename it, drop it, or change it to {wanted}; nothing was changed"))]
    ColumnShape {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// How it differs.
        difference: String,
        /// What would be adopted.
        wanted: &'static str,
    },
    /// A relation of our index's name is there and is something else.
    #[error("{index} is there already and is defined otherwise: {found}")]
    #[diagnostic(help("promised is: {promised}; drop or rename the other one"))]
    IndexDiffers {
        /// The index.
        index: &'static str,
        /// Its definition.
        found: String,
        /// What the migration promises.
        promised: String,
    },
    /// A concurrent build did not come to its end.
    #[error("the index {index} could not be built")]
    #[diagnostic(help(
        "CREATE INDEX CONCURRENTLY waits for transactions that were open before it: end the long ones (pg_stat_activity, by xact_start), or allow more with --index-timeout; then run `migrate up` again, it clears what is left of this attempt"
    ))]
    IndexNotBuilt {
        /// The index.
        index: &'static str,
        /// The database's account.
        #[source]
        source: PgError,
    },
    /// The build came to its end and the index is not valid.
    #[error("the index {index} was built, and the server does not call it valid")]
    #[diagnostic(help("run `migrate up` again: it drops the index and builds it anew"))]
    IndexNotValid {
        /// The index.
        index: &'static str,
    },
    /// A row of the history cannot be read.
    #[error("the history row of version {version} cannot be read: {what}")]
    #[diagnostic(help(
        "someone has edited quay_doctor.refinery_schema_history by hand; it should hold: {expected}"
    ))]
    HistoryUnreadable {
        /// The version, as far as it can be read.
        version: String,
        /// What is wrong.
        what: String,
        /// The row as it should be.
        expected: String,
    },
    /// A migration differs from the one that was applied.
    #[error(
        "migration V{version} is not the one that was applied: the database records {recorded_name} with checksum {recorded}, this program has {name} with checksum {ours}"
    )]
    #[diagnostic(help(
        "an applied migration is never edited; use the program that applied it, or correct the history row if that was edited"
    ))]
    Divergent {
        /// The version.
        version: i32,
        /// The recorded name.
        recorded_name: String,
        /// The recorded checksum.
        recorded: u64,
        /// Our name for it.
        name: String,
        /// Our checksum.
        ours: u64,
    },
    /// The history holds a version that this program does not know.
    #[error("the database is at version {version} ({name}), which this program does not know")]
    #[diagnostic(help("a newer quay-doctor has migrated it: use that one"))]
    NewerProgram {
        /// The version.
        version: i32,
        /// Its name.
        name: String,
    },
    /// The history has a hole.
    #[error("the history records later migrations, but not V{version}")]
    #[diagnostic(help(
        "someone has edited quay_doctor.refinery_schema_history by hand; if `migrate verify` finds the schema as promised, put the row back: {repair}"
    ))]
    HistoryGap {
        /// The version that is missing.
        version: i32,
        /// The statement that puts the row back.
        repair: String,
    },
    /// Objects of a migration are there, its history row is not.
    #[error("the history does not record migration V{version}, yet {object} is there")]
    #[diagnostic(help(
        "the history table was dropped, emptied or edited by hand: restore it from a backup, or, if `migrate verify` finds no other drift, put the row back: {repair}"
    ))]
    HistoryLost {
        /// The lowest version that is not recorded.
        version: i32,
        /// What is there of it.
        object: String,
        /// The statements that put the row back.
        repair: String,
    },
    /// Policies are inactive.
    #[error("{0}")]
    #[diagnostic(help(
        "without the column Quay would enforce them at once: finish or take back what staged them (`recover --list`), activate them, or delete them; then run this again"
    ))]
    InactivePolicies(ListedPolicies),
    /// Operations are unfinished.
    #[error("{0}")]
    #[diagnostic(help("`recover --list` shows them; finish or undo them, then run this again"))]
    UnfinishedOperations(ListedOperations),
    /// The journal still has a use.
    #[error("the journal could still be needed: {0}")]
    #[diagnostic(help(
        "`--drop-journal [FILE]` writes every row to a file first and then drops the journal; undo by program is not possible after that"
    ))]
    JournalInUse(Undoable),
    /// The journal could not be exported.
    #[error("the journal cannot be written to {}", path.display())]
    #[diagnostic(help(
        "nothing was dropped; name a new file in a folder that can be written: --drop-journal FILE"
    ))]
    Export {
        /// The file.
        path: PathBuf,
        /// The system's account.
        #[source]
        source: std::io::Error,
    },
    /// `--drop-journal` without dropping the journal.
    #[error("--drop-journal goes with `down --to 0` only: version {to} keeps the journal")]
    #[diagnostic(help("leave the option out"))]
    JournalStays {
        /// The version asked for.
        to: i32,
    },
    /// The schema is not what its migrations promise.
    #[error("the schema is not what its migrations promise: {}", differences.join("; "))]
    #[diagnostic(help(
        "`migrate verify` lists it; `migrate down --to 1` followed by `migrate up` makes the columns and indexes anew"
    ))]
    Drift {
        /// Each difference.
        differences: Vec<String>,
    },
    /// refinery refused.
    #[error("refinery refused the migration")]
    Refinery(#[from] refinery_core::Error),
    /// A built-in script cannot be cut into steps.
    #[error("a built-in migration script cannot be read at: {line}")]
    #[diagnostic(help("this is a defect of this program: please report it"))]
    BadScript {
        /// The line.
        line: String,
    },
}

/// What a failure means for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The wrong server, database, role or option: nothing was begun.
    Setup,
    /// What was asked for is not finished, or not known.
    Unfinished,
}

impl MigrateError {
    /// Whether the set-up is wrong or the work is not finished.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotQuay { .. }
            | Self::BeforePolicies { .. }
            | Self::UnknownTables { .. }
            | Self::Privileges { .. }
            | Self::NoSuchVersion { .. }
            | Self::NotDown { .. }
            | Self::Export { .. }
            | Self::JournalStays { .. } => Blame::Setup,
            Self::Database(error)
                if error.is_configuration()
                    || matches!(error.class(), FaultClass::Privilege | FaultClass::ReadOnly) =>
            {
                Blame::Setup
            }
            _ => Blame::Unfinished,
        }
    }
}

//! What a migration tells while it runs. The room only hands notices over; who prints them, and
//! whether, is the caller's business.

use std::fmt;
use std::time::Duration;

use super::holders::Holders;

/// Something worth a line on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another migrator holds the lock; this one waits.
    WaitsForMigrator {
        /// Who holds it.
        holders: Holders,
        /// How long it will be waited for.
        at_most: Duration,
    },
    /// A table is locked by another session; this one tries again.
    WaitsForTables {
        /// Who holds locks.
        holders: Holders,
        /// How long it will be tried.
        at_most: Duration,
    },
    /// A migration begins.
    Begins {
        /// Its version.
        version: i32,
        /// Its name.
        name: &'static str,
    },
    /// A concurrent build or drop begins, which waits for transactions that are open.
    IndexWork {
        /// The index.
        index: &'static str,
        /// How long it may take.
        at_most: Duration,
        /// Those that have been open for a while.
        waits_for: Holders,
    },
    /// Something may be wrong and did not stop us.
    Warning(String),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitsForMigrator { holders, at_most } => write!(
                f,
                "another migrator is at work, waiting for at most {at_most:?}: {holders}"
            ),
            Self::WaitsForTables { holders, at_most } => write!(
                f,
                "the tables are locked, trying again for at most {at_most:?}: {holders}"
            ),
            Self::Begins { version, name } => write!(f, "V{version} {name} …"),
            Self::IndexWork {
                index,
                at_most,
                waits_for,
            } => {
                write!(f, "{index}, for at most {at_most:?}")?;
                match waits_for.0.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; open transactions that it may wait for: {waits_for}"),
                }
            }
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

/// Where notices go.
pub type Sink<'a> = &'a mut dyn FnMut(&Notice);

//! What a database can answer other than rows, and what follows from it.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use postgres::error::SqlState;
use thiserror::Error;

use super::answer::Unanswered;
use super::connect::Refusals;
use super::profile::{Known, set_by};
use super::refusal::Next;
use super::timed::Ran;
use crate::config::ConnectionSettings;

/// How many servers a complaint lists.
const MOST_SERVERS: usize = 8;

/// A connection or a statement failed.
#[derive(Debug, Error, Diagnostic)]
pub enum PgError {
    /// No session could be opened.
    #[error("cannot connect to database {database} as {user}: {reasons}")]
    Connect {
        /// The database that was asked for.
        database: Box<str>,
        /// The role.
        user: Box<str>,
        /// Each server, and why it gave no session.
        reasons: Box<str>,
        /// SQLSTATE of the last server's refusal, where it gave one.
        sqlstate: Option<Box<str>>,
        /// What to do.
        #[help]
        help: Box<str>,
    },
    /// No session that is of use to us can be had this way: a matter of configuration.
    #[error("cannot use database {database} as {user}: {reasons}")]
    Unfit {
        /// The database that was asked for.
        database: Box<str>,
        /// The role.
        user: Box<str>,
        /// Each server, and why its session is of no use.
        reasons: Box<str>,
        /// What to do.
        #[help]
        help: Box<str>,
    },
    /// The session can only read, and one that writes was wanted.
    #[error("database {database} accepts no writes: {why}")]
    NoWrites {
        /// The database that was asked for.
        database: Box<str>,
        /// A standby, or who has set what.
        why: Box<str>,
        /// What to do.
        #[help]
        help: &'static str,
    },
    /// The database's encoding is not the one that Quay needs, and something is to begin in it.
    #[error(
        "the encoding of database {database} is {encoding}, and nothing is begun in one that is not UTF8"
    )]
    #[diagnostic(help(
        "names are compared by their characters, as Quay does, and this server counts them otherwise or does not have them all; nothing was changed. `check`, `recover`, `fix undo` and `migrate down` go on working"
    ))]
    Encoding {
        /// The database.
        database: Box<str>,
        /// Its encoding.
        encoding: Box<str>,
    },
    /// A file that TLS needs cannot be used: a matter of configuration, found before connecting.
    #[error("{what} {} cannot be used: {reason}", file.display())]
    TlsFile {
        /// What the file is to us.
        what: &'static str,
        /// Where it is, or `system`.
        file: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do, where there is something.
        #[help]
        help: Option<String>,
    },
    /// A statement failed, or the connection was lost during it.
    #[error("the database did not carry out a statement: {}", account(driver))]
    Statement {
        /// The driver's account.
        driver: postgres::Error,
        /// What it means.
        class: FaultClass,
        /// What to do, where there is something.
        #[help]
        help: Option<String>,
    },
    /// A stream of rows to the server broke.
    #[error("a stream of rows to the database broke: {stream}")]
    Copy {
        /// The stream's account.
        stream: std::io::Error,
    },
}

/// What a failure means for whoever sent the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// The connection is gone, or none can be had for now; whether a COMMIT got through is unknown.
    Connection,
    /// Another session holds a lock for longer than we are willing to wait.
    LockTimeout,
    /// The statement ran longer than it may.
    StatementTimeout,
    /// Somebody cancelled the statement before its time was up.
    Cancelled,
    /// A deadlock or a serialisation failure: the transaction may be tried again.
    Retryable,
    /// A standby cancelled the query because of replay.
    RecoveryConflict,
    /// The role lacks a right.
    Privilege,
    /// A table, column, schema or function is not there.
    MissingObject,
    /// The server accepts no writes: a standby, or `default_transaction_read_only`.
    ReadOnly,
    /// Everything else: an error of the work itself.
    Other,
}

impl PgError {
    /// No server gave a session.
    pub(super) fn connect(settings: &ConnectionSettings, refusals: &Refusals) -> Self {
        let mut reasons: Vec<_> = refusals
            .iter()
            .take(MOST_SERVERS)
            .map(|(server, refusal)| format!("{server}: {}", refusal.sentence))
            .collect();
        if let Some(more) = refusals.len().checked_sub(MOST_SERVERS).filter(|n| *n > 0) {
            reasons.push(format!("and {more} more"));
        }
        let last = refusals.last().map(|(_, refusal)| refusal);
        let database = settings.database.as_str().into();
        let user = settings.user.as_str().into();
        let reasons = reasons.join("; ").into();
        let help = last.map_or("", |refusal| refusal.help.as_str()).into();
        if last.is_some_and(|refusal| refusal.next == Next::Never) {
            return Self::Unfit {
                database,
                user,
                reasons,
                help,
            };
        }
        Self::Connect {
            database,
            user,
            reasons,
            sqlstate: last.and_then(|refusal| refusal.sqlstate.as_deref().map(Into::into)),
            help,
        }
    }

    /// A file that TLS needs cannot be used.
    pub(super) fn tls_file(
        what: &'static str,
        file: &Path,
        reason: impl Into<String>,
        help: &str,
    ) -> Self {
        Self::TlsFile {
            what,
            file: file.to_owned(),
            reason: reason.into(),
            help: (!help.is_empty()).then(|| help.to_owned()),
        }
    }

    /// Whether the configuration is at fault and nothing was read: exit status 2, not 3.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::TlsFile { .. }
                | Self::Unfit { .. }
                | Self::NoWrites { .. }
                | Self::Encoding { .. }
        )
    }

    /// The five characters of SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Connect { sqlstate, .. } => sqlstate.as_deref(),
            Self::Statement { driver, .. } => driver.code().map(SqlState::code),
            Self::NoWrites { .. } => Some("25006"),
            Self::TlsFile { .. }
            | Self::Unfit { .. }
            | Self::Encoding { .. }
            | Self::Copy { .. } => None,
        }
    }

    /// What the failure means.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Connect { .. } | Self::Copy { .. } => FaultClass::Connection,
            Self::TlsFile { .. } | Self::Unfit { .. } | Self::Encoding { .. } => FaultClass::Other,
            Self::NoWrites { .. } => FaultClass::ReadOnly,
            Self::Statement { class, .. } => *class,
        }
    }

    /// Whether the server said nothing for longer than it may, and may yet be at it.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Statement { driver, .. } if is_unanswered(driver))
    }

    /// A statement failed.
    pub(super) fn statement(driver: postgres::Error, ran: Ran) -> Self {
        let class = classify(&driver, ran);
        let help = if is_unanswered(&driver) {
            Some(UNANSWERED_HELP.to_owned())
        } else {
            statement_help(class)
        };
        Self::Statement {
            driver,
            class,
            help,
        }
    }

    /// The session cannot write: its server is in recovery, or somebody has set it to read-only.
    pub(super) fn no_writes(settings: &ConnectionSettings, known: &Known) -> Option<Self> {
        let (why, help) = match &known.read_only_by {
            _ if known.in_recovery => (
                "this server is a standby".to_owned(),
                "connect to the primary; with several hosts in the URL, add target_session_attrs=read-write",
            ),
            Some(source) => (
                format!(
                    "default_transaction_read_only is on, set {}",
                    set_by(source)
                ),
                "somebody has frozen writes on purpose, and nothing was changed: run the same command once it is off again",
            ),
            None => return None,
        };
        Some(Self::NoWrites {
            database: settings.database.as_str().into(),
            why: why.into(),
            help,
        })
    }

    /// Whether a text that was sent has a character that the database's encoding has not.
    pub fn is_unrepresentable(&self) -> bool {
        self.sqlstate() == Some("22P05")
    }

    /// A stream to the server broke.
    pub(super) fn copy(stream: std::io::Error) -> Self {
        Self::Copy { stream }
    }
}

impl From<postgres::Error> for PgError {
    /// What no statement of a session is to blame for: a column that cannot be read as it should be.
    fn from(driver: postgres::Error) -> Self {
        let ran = Ran {
            to_its_limit: false,
            in_recovery: false,
        };
        Self::statement(driver, ran)
    }
}

/// The class of a driver error.
fn classify(error: &postgres::Error, ran: Ran) -> FaultClass {
    let Some(code) = error.code() else {
        // No SQLSTATE: the stream ended, or the answer could not be decoded.
        return if error.is_closed() || std::error::Error::source(error).is_some_and(is_io) {
            FaultClass::Connection
        } else {
            FaultClass::Other
        };
    };
    class_of(code.code(), ran)
}

/// The class of an SQLSTATE (PostgreSQL's Appendix A), by how the statement ran.
fn class_of(sqlstate: &str, ran: Ran) -> FaultClass {
    match sqlstate {
        "55P03" => FaultClass::LockTimeout,
        "57014" if ran.to_its_limit => FaultClass::StatementTimeout,
        "57014" => FaultClass::Cancelled,
        // A standby has no writers, so that it is its replay that is in the way.
        "40001" | "40P01" if ran.in_recovery => FaultClass::RecoveryConflict,
        "40001" | "40P01" => FaultClass::Retryable,
        "42501" => FaultClass::Privilege,
        "42P01" | "42703" | "3F000" | "42883" => FaultClass::MissingObject,
        "25006" => FaultClass::ReadOnly,
        // Shutdowns; idle_session_timeout, idle_in_transaction_session_timeout and transaction_timeout,
        // each of which ends the session; too many connections.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" | "53300" => {
            FaultClass::Connection
        }
        code if code.starts_with("08") => FaultClass::Connection,
        _ => FaultClass::Other,
    }
}

/// What the server says; else what the driver knows, whose own words are "db error".
fn account(driver: &postgres::Error) -> String {
    match (driver.as_db_error(), std::error::Error::source(driver)) {
        (Some(answer), _) => answer.message().to_owned(),
        (None, Some(cause)) => format!("{driver} ({cause})"),
        (None, None) => driver.to_string(),
    }
}

/// What to do where the server says nothing.
const UNANSWERED_HELP: &str = "a disk of the server may hang, or a proxy in between may wait for it: \
     look at the server, and run the same command again once it answers";

fn is_unanswered(driver: &postgres::Error) -> bool {
    let stream = std::error::Error::source(driver).and_then(|cause| cause.downcast_ref());
    let stream: Option<&std::io::Error> = stream;
    stream.is_some_and(|stream| {
        stream
            .get_ref()
            .is_some_and(|inner| inner.is::<Unanswered>())
    })
}

fn is_io(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<std::io::Error>()
}

fn statement_help(class: FaultClass) -> Option<String> {
    let help = match class {
        FaultClass::Connection => "the connection was lost: run the same command again",
        FaultClass::LockTimeout => {
            "another session holds a lock: try again, or look in pg_locks for who"
        }
        FaultClass::StatementTimeout => {
            "the statement ran into statement_timeout: raise it for this role"
        }
        FaultClass::Cancelled => {
            "somebody cancelled the statement (pg_cancel_backend): run the same command again"
        }
        FaultClass::Retryable => {
            "two transactions were in each other's way: run the same command again"
        }
        FaultClass::RecoveryConflict => {
            "the standby cancelled the query to replay changes: raise max_standby_streaming_delay, or use the primary"
        }
        FaultClass::Privilege => {
            "the role lacks a right on this table, or row-level security hides rows from it: see the README for what each command needs"
        }
        FaultClass::MissingObject => "is this Quay's database, and are its migrations done?",
        FaultClass::ReadOnly => "this server accepts no writes: connect to the primary",
        FaultClass::Other => return None,
    };
    Some(help.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_by_its_sqlstate_and_how_the_statement_ran_and_never_by_its_message() {
        let ran = |to_its_limit, in_recovery| Ran {
            to_its_limit,
            in_recovery,
        };
        for (sqlstate, ran, class) in [
            ("57014", ran(true, false), FaultClass::StatementTimeout),
            ("57014", ran(false, false), FaultClass::Cancelled),
            ("55P03", ran(true, false), FaultClass::LockTimeout),
            ("40001", ran(false, true), FaultClass::RecoveryConflict),
            ("40P01", ran(false, true), FaultClass::RecoveryConflict),
            ("40001", ran(false, false), FaultClass::Retryable),
            ("40P01", ran(true, false), FaultClass::Retryable),
            ("25P03", ran(false, false), FaultClass::Connection),
            ("25P04", ran(true, false), FaultClass::Connection),
            ("57P05", ran(false, false), FaultClass::Connection),
            ("25006", ran(false, false), FaultClass::ReadOnly),
            ("XX000", ran(true, false), FaultClass::Other),
        ] {
            assert_eq!(class_of(sqlstate, ran), class, "{sqlstate} {ran:?}");
        }
    }
}

//! The profile of a session: every setting that changes what a statement of ours means, or how long it
//! may take, is pinned here, whatever the server, the database, the role or the environment has set.
//!
//! One exchange with the server, before anything else is asked. What a role may not set for itself is
//! looked at, and refused by name where it changes what we read or write.

use std::time::Duration;

use postgres::{Client, SimpleQueryMessage};

use super::PgError;
use super::refusal::Refusal;
use crate::config::{ConnectionSettings, Target};

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read, and nothing else.
    Reading,
    /// To change tags and policies, in batches that hold locks of Quay's for a moment.
    Batches,
    /// To change the schema.
    Migrating,
    /// To be somebody else in a test, or to set a test up: the role's own limits stay.
    Equipment,
}

/// What a statement of ours must mean wherever it runs. Only settings that every role may change, on every
/// server where they exist.
///
/// `gin_fuzzy_search_limit` makes an index leave rows out at random; `transform_null_equals` gives `= NULL`
/// another meaning; without `jit = off` a planner that has no statistics of the journal yet compiles short
/// statements, for 60 to 100 ms each under a batch's locks. With `row_security = off` the server refuses
/// a query of which a policy hides rows: a check would otherwise come out clean. An idle session holds nothing
/// of Quay's, so `idle_session_timeout` would end only a worker that waits.
const PINNED: [(&str, &str); 17] = [
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("array_nulls", "on"),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "warning"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    ("extra_float_digits", "1"),
    ("gin_fuzzy_search_limit", "0"),
    ("idle_session_timeout", "0"),
    ("jit", "off"),
    ("quote_all_identifiers", "off"),
    ("row_security", "off"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
];

/// A session that reads takes as long as it takes: its caller bounds it (`--timeout`), and it holds no
/// lock that Quay waits for.
const READING: [(&str, &str); 5] = [
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("transaction_timeout", "0"),
];

/// Pages are read in the order of an index, never by sorting all that is left: a bitmap has no order, and
/// a page that costs four times a sequential one makes the sort look cheap. A dead peer is noticed in
/// seconds.
const BATCHES: [(&str, &str); 7] = [
    ("enable_bitmapscan", "off"),
    ("random_page_cost", "1.1"),
    ("plan_cache_mode", "force_custom_plan"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];

/// The longest of everything, for sessions that write. A shorter limit of the role's stays: batches that run
/// into it are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most {
    statement: Duration,
    lock: Duration,
    /// A worker that is frozen in a batch holds Quay's lock on a repository for so long.
    idle_in_transaction: Duration,
}

impl Purpose {
    fn most(self) -> Option<Most> {
        match self {
            Self::Reading | Self::Equipment => None,
            Self::Batches => Some(Most {
                statement: Duration::from_secs(30),
                lock: Duration::from_secs(2),
                idle_in_transaction: Duration::from_secs(5),
            }),
            Self::Migrating => Some(Most {
                statement: Duration::from_secs(30),
                lock: Duration::from_secs(5),
                idle_in_transaction: Duration::from_secs(30),
            }),
        }
    }

    fn pins(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let more: &[_] = match self {
            Self::Reading => &READING,
            Self::Batches => &BATCHES,
            Self::Migrating | Self::Equipment => &[],
        };
        PINNED.into_iter().chain(more.iter().copied())
    }

    fn writes(self) -> bool {
        matches!(self, Self::Batches | Self::Migrating)
    }
}

/// What is known of a session once its profile is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether the server was in recovery when the session began.
    pub in_recovery: bool,
    /// Who has set `default_transaction_read_only` to on, as pg_settings names it.
    pub read_only_by: Option<String>,
    /// The encoding of the database.
    pub encoding: String,
    /// The limit of a statement that is in force; none where there is none.
    pub statement_limit: Option<Duration>,
}

/// The database of a session.
pub(super) struct Database {
    name: Box<str>,
    encoding: Box<str>,
}

impl Database {
    pub fn of(settings: &ConnectionSettings, known: Known) -> Self {
        Self {
            name: settings.database.as_str().into(),
            encoding: known.encoding.into(),
        }
    }

    pub fn is_utf8(&self) -> bool {
        &*self.encoding == "UTF8"
    }

    pub fn only_in_utf8(&self) -> Result<(), PgError> {
        if self.is_utf8() {
            return Ok(());
        }
        Err(PgError::Encoding {
            database: self.name.clone(),
            encoding: self.encoding.clone(),
        })
    }
}

/// Applies the profile.
pub(super) fn apply(
    client: &mut Client,
    target: &Target,
    purpose: Purpose,
) -> Result<Known, Refusal> {
    let answers = client
        .simple_query(&statements(purpose))
        .map_err(|error| Refusal::of_driver(&error, target))?;
    let found = |name: &str| {
        answers.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(name).ok().flatten(),
            _ => None,
        })
    };
    for unsafe_setting in UNSAFE {
        let concerned = purpose == Purpose::Reading && unsafe_setting.reading || purpose.writes();
        let value = found(unsafe_setting.name).unwrap_or(unsafe_setting.good);
        if concerned && value == unsafe_setting.bad {
            return Err(Refusal::unsafe_setting(
                unsafe_setting.name,
                value,
                unsafe_setting.why,
                unsafe_setting.good,
            ));
        }
    }
    let read_only = found("read_only") == Some("on");
    let limit = found("statement_limit").and_then(|ms| ms.parse().ok());
    Ok(Known {
        in_recovery: found("in_recovery") == Some("t"),
        read_only_by: read_only.then(|| found("read_only_by").unwrap_or_default().to_owned()),
        encoding: found("encoding").unwrap_or_default().to_owned(),
        statement_limit: limit.filter(|ms| *ms > 0).map(Duration::from_millis),
    })
}

/// A setting that only an administrator can change.
struct Unsafe {
    name: &'static str,
    bad: &'static str,
    good: &'static str,
    /// Whether it matters to a session that reads.
    reading: bool,
    why: &'static str,
}

const UNSAFE: [Unsafe; 3] = [
    Unsafe {
        name: "session_replication_role",
        bad: "replica",
        good: "origin",
        reading: false,
        why: "foreign keys and triggers would not hold for what is written",
    },
    Unsafe {
        name: "zero_damaged_pages",
        bad: "on",
        good: "off",
        reading: true,
        why: "rows on a damaged page would be missed without a word",
    },
    Unsafe {
        name: "ignore_checksum_failure",
        bad: "on",
        good: "off",
        reading: true,
        why: "rows on a damaged page would be taken for sound ones",
    },
];

/// The statements, as one message.
fn statements(purpose: Purpose) -> String {
    let mut sql = format!("{};\n", names());
    sql.push_str(
        "SELECT pg_is_in_recovery() AS in_recovery, current_setting('server_encoding') AS encoding, \
             current_setting('default_transaction_read_only') AS read_only, \
             (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') AS read_only_by",
    );
    for Unsafe { name, .. } in UNSAFE {
        sql.push_str(&format!(", current_setting('{name}', true) AS {name}"));
    }
    sql.push_str(";\n");
    for statement in settings(purpose) {
        sql.push_str(&statement);
        sql.push_str(";\n");
    }
    sql.push_str(
        "SELECT setting AS statement_limit FROM pg_settings WHERE name = 'statement_timeout'",
    );
    sql
}

/// Gives pg_catalog its usual place, before every schema of the role's: until then names are qualified,
/// since a schema before it may hold an operator of the same name.
fn names() -> &'static str {
    "SELECT pg_catalog.set_config('search_path', \
         COALESCE(pg_catalog.string_agg(pg_catalog.quote_ident(s.name), ', ' ORDER BY s.nth), '\"\"'), \
         false) \
     FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS s (name, nth) \
     WHERE s.name OPERATOR(pg_catalog.<>) 'pg_catalog'"
}

/// The queries that make the settings, by way of pg_settings, since not every server knows every setting.
fn settings(purpose: Purpose) -> Vec<String> {
    let pins: Vec<String> = purpose
        .pins()
        .map(|(name, value)| format!("('{name}', '{value}')"))
        .collect();
    let mut made = vec![format!(
        "SELECT set_config(s.name, pin.value, false) \
         FROM (VALUES {}) AS pin (name, value) JOIN pg_settings s ON s.name = pin.name",
        pins.join(", ")
    )];
    let Some(most) = purpose.most() else {
        return made;
    };
    let limits = [
        ("statement_timeout", most.statement),
        ("lock_timeout", most.lock),
        (
            "idle_in_transaction_session_timeout",
            most.idle_in_transaction,
        ),
    ];
    let limits = limits.map(|(name, most)| format!("('{name}', {})", most.as_millis()));
    made.push(format!(
        "SELECT set_config(s.name, CASE WHEN s.setting::bigint BETWEEN 1 AND limits.most THEN s.setting \
             ELSE limits.most::text END, false) \
         FROM (VALUES {}) AS limits (name, most) JOIN pg_settings s ON s.name = limits.name",
        limits.join(", ")
    ));
    // A commit that is lost in a crash of the server is a batch that the operation takes for done.
    made.push(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'"
            .to_owned(),
    );
    made
}

/// The same for a session of somebody else's that runs a script of ours: one statement, without output.
pub fn as_script(purpose: Purpose) -> String {
    let mut sql = String::from("DO $quay_doctor$\nBEGIN\n");
    for statement in [names().to_owned()].into_iter().chain(settings(purpose)) {
        let performed = statement.replacen("SELECT", "PERFORM", 1);
        sql.push_str(&format!("    {performed};\n"));
    }
    sql.push_str("END\n$quay_doctor$;");
    sql
}

/// Who has set something, in the words of whoever can change it.
pub(super) fn set_by(source: &str) -> &'static str {
    match source {
        "configuration file" => "in the server's configuration (postgresql.conf or ALTER SYSTEM)",
        "command line" | "environment variable" => "by the command that started the server",
        "global" => "for all roles (ALTER ROLE ALL SET)",
        "database" => "for the database (ALTER DATABASE ... SET)",
        "user" => "for the role (ALTER ROLE ... SET)",
        "database user" => "for the role in this database (ALTER ROLE ... IN DATABASE ... SET)",
        "client" => "by the connection's own options (PGOPTIONS, or options in the URL)",
        _ => "by the server, or by a pooler before it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_is_pinned_twice_and_none_holds_a_quotation_mark() {
        for purpose in [
            Purpose::Reading,
            Purpose::Batches,
            Purpose::Migrating,
            Purpose::Equipment,
        ] {
            let mut names: Vec<_> = purpose.pins().map(|(name, _)| name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{purpose:?}");
            assert!(
                purpose
                    .pins()
                    .all(|(name, value)| !name.contains('\'') && !value.contains('\''))
            );
        }
    }

    #[test]
    fn a_session_that_writes_leaves_read_only_to_whoever_runs_the_server() {
        for purpose in [Purpose::Batches, Purpose::Migrating] {
            let sql = statements(purpose);
            assert!(!sql.contains("('default_transaction_read_only',"), "{sql}");
            assert!(sql.contains("synchronous_commit"), "{sql}");
        }
        let reading = statements(Purpose::Reading);
        assert!(
            reading.contains("('default_transaction_read_only', 'on')"),
            "{reading}"
        );
    }
}

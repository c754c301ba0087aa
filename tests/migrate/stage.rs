//! A Quay database of a test's own, and the program run on it.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::pg::{Statements, ToSql, WriteSession};
use serde_json::Value;
use testkit::shared::TestDatabase;

/// The longest that any test waits for something that is about to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a run of the program ended.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("an exit status, not a signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ended {
    /// The status, with everything that was printed for when it is another one.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// The complaint names all of these. Line breaks of the report are the terminal's.
    #[track_caller]
    pub(crate) fn complains_of(self, words: &[&str]) -> Self {
        let flat: String = self
            .stderr
            .split_whitespace()
            .filter(|word| *word != "│")
            .collect::<Vec<_>>()
            .join(" ");
        for word in words {
            assert!(flat.contains(word), "no {word:?} in:\n{flat}");
        }
        assert!(!flat.contains("panicked"), "{flat}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("one JSON document on stdout")
    }
}

/// A program that talks to the database at a URL.
pub(crate) fn program(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quay-doctor"));
    command
        .arg("migrate")
        .args(args)
        .env("DATABASE_URL", url)
        .env("NO_COLOR", "1")
        .env("COLUMNS", "1000")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn run(url: &str, args: &[&str]) -> Ended {
    program(url, args)
        .output()
        .expect("the program runs")
        .into()
}

/// A database and a session on it for the test's own statements.
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) session: WriteSession,
}

impl Stage {
    /// Quay's tables, nobody in them.
    pub(crate) fn quay() -> Self {
        Self::of(TestDatabase::quay().expect("a database"))
    }

    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self::of(TestDatabase::empty().expect("a database"))
    }

    fn of(database: TestDatabase) -> Self {
        let session = database.write_session().expect("a session");
        Self { database, session }
    }

    /// Quay's tables with one organisation, one repository, and a policy on each.
    pub(crate) fn with_policies() -> Self {
        let mut stage = Self::quay();
        stage.sql(
            "INSERT INTO \"user\" (id, username, email, verified, organization, robot,
                 invoice_email, invalid_login_attempts, last_invalid_login, removed_tag_expiration_s, enabled)
             VALUES (1, 'acme', 'a@example.org', true, true, false, false, 0, now(), 0, true);
             INSERT INTO repository (id, namespace_user_id, name, visibility_id, badge_token, kind_id, trust_enabled, state)
             VALUES (1, 1, 'app', (SELECT min(id) FROM visibility), 't', (SELECT min(id) FROM repositorykind), false, 0);
             INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
             VALUES ('11111111-1111-1111-1111-111111111111', 1, '{\"tag_pattern\": \"v.*\", \"tag_pattern_matches\": true}');
             INSERT INTO repositoryimmutabilitypolicy (uuid, repository_id, namespace_id, policy)
             VALUES ('22222222-2222-2222-2222-222222222222', 1, 1, '{\"tag_pattern\": \"r.*\", \"tag_pattern_matches\": true}')",
        );
        stage
    }

    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    /// The URL of another role; the cluster trusts everybody on this machine.
    pub(crate) fn url_as(&self, role: &str) -> String {
        let url = self.database.tcp_url();
        let changed = url.replace("postgres@", &format!("{role}@"));
        assert_ne!(url, changed, "the superuser's name is in the URL");
        changed
    }

    pub(crate) fn migrate(&self, args: &[&str]) -> Ended {
        run(&self.url(), args)
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        program(&self.url(), args)
            .spawn()
            .expect("the program starts")
    }

    /// Statements of the test.
    #[track_caller]
    pub(crate) fn sql(&mut self, text: &str) {
        if let Err(error) = self.session.run(text) {
            panic!("{text}: {error:?}");
        }
    }

    /// The one value of a query, as text.
    #[track_caller]
    pub(crate) fn value(&mut self, query: &str) -> String {
        self.value_with(query, &[])
    }

    #[track_caller]
    pub(crate) fn value_with(&mut self, query: &str, params: &[&(dyn ToSql + Sync)]) -> String {
        let query = format!("SELECT coalesce(({query})::text, 'NULL')");
        match self.session.query_one(&query, params) {
            Ok(row) => row.get(0),
            Err(error) => panic!("{query}: {error:?}"),
        }
    }

    /// Waits until a query's value is this.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, query: &str, wanted: &str) {
        let began = Instant::now();
        loop {
            let value = self.value(query);
            if value == wanted {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{query} is still {value}, not {wanted}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything the catalog holds about tables, columns, defaults, constraints, indexes and
    /// comments outside PostgreSQL's own schemas, and the rows of our history and Quay's policies.
    pub(crate) fn catalog(&mut self) -> String {
        let mut dump = self.value(CATALOG);
        for table in [
            "quay_doctor.refinery_schema_history",
            "repositoryimmutabilitypolicy",
            "namespaceimmutabilitypolicy",
        ] {
            let there = self.value_with("SELECT to_regclass($1) IS NOT NULL", &[&table]);
            if there == "true" {
                dump.push('\n');
                dump.push_str(&self.value(&format!(
                    "SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {table} AS t"
                )));
            }
        }
        dump
    }

    /// Another session, for what goes on at the same time.
    pub(crate) fn another_session(&self) -> WriteSession {
        self.database.write_session().expect("a session")
    }
}

const CATALOG: &str = "
WITH relation AS (
    SELECT class.oid, nspname || '.' || relname AS name, relkind::text AS kind
    FROM pg_class AS class JOIN pg_namespace AS schema ON schema.oid = relnamespace
    WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
), fact AS (
    SELECT 'schema ' || nspname AS fact FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%'
    UNION ALL
    SELECT concat_ws(' ', kind, name, obj_description(relation.oid, 'pg_class'),
                     (SELECT pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indexrelid = relation.oid))
    FROM relation
    UNION ALL
    SELECT concat_ws(' ', 'column', name, attname, attnum, format_type(atttypid, atttypmod),
                     attnotnull, pg_get_expr(adbin, adrelid), col_description(relation.oid, attnum))
    FROM relation
    JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0
    LEFT JOIN pg_attrdef ON adrelid = relation.oid AND adnum = attnum
    UNION ALL
    SELECT concat_ws(' ', 'constraint', name, conname, pg_get_constraintdef(pg_constraint.oid))
    FROM relation JOIN pg_constraint ON conrelid = relation.oid
)
SELECT string_agg(fact, E'\\n' ORDER BY fact) FROM fact";

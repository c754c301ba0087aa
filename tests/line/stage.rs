//! A database with Quay's tables and a world in it, and the program on it.

use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::sandbox::world::World;
use testkit::shared::TestDatabase;

use crate::program::{Ended, run_on};

/// Both of Quay's failures: acme has orphans and no policy, globex has the policy `v.*` and
/// unprotected tags, some of which expire.
pub const BOTH_FAILURES: &str = r#"
    seed = 7
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 300
    immutable = true
    [[namespace.repository.tags]]
    name = "nightly-{n}"
    count = 50
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 200
    immutable = true
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 200
    [[namespace.repository.tags]]
    name = "v3.{n}"
    count = 20
    life = "expiring"
    expires_in = "30d"
"#;

pub const RELEASE: &str = "orphaned-immutable-tag=release";

/// A database of one test.
pub struct Stage {
    pub db: TestDatabase,
}

impl Stage {
    /// Quay's tables with a world in them.
    pub fn of(world: &str) -> Self {
        Self::seeded(TestDatabase::quay().expect("a database"), world)
    }

    /// The same, migrated.
    pub fn migrated(world: &str) -> Self {
        let stage = Self::seeded(TestDatabase::migrated().expect("a database"), world);
        stage.db.forget_dates_of_policies().expect("no dates");
        stage
    }

    fn seeded(db: TestDatabase, world: &str) -> Self {
        let mut session = db.write_session().expect("a session");
        World::parse(world)
            .expect("a description")
            .seed(&mut session, chrono::Utc::now())
            .expect("a seeded world");
        Self { db }
    }

    /// Runs the program on it.
    pub fn run(&self, args: &[&str]) -> Ended {
        run_on(&self.db.url(), args)
    }

    /// A session that can write.
    pub fn session(&self) -> WriteSession {
        self.db.write_session().expect("a session")
    }

    /// Runs a statement.
    pub fn sql(&self, sql: &str) {
        self.session().run(sql).expect("a statement");
    }

    /// One number.
    pub fn count(&self, sql: &str) -> i64 {
        let row = self.session().query_one(sql, &[]).expect("a row");
        row.read(0).expect("a bigint")
    }

    /// Every row of every table that a fix may change, as text.
    pub fn dump(&self) -> String {
        let mut session = self.session();
        let mut dump = String::new();
        for table in [
            "tag",
            "namespaceimmutabilitypolicy",
            "repositoryimmutabilitypolicy",
        ] {
            let row = session
                .query_one(
                    &format!("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY id), '') FROM {table} t"),
                    &[],
                )
                .expect("a dump");
            dump.push_str(row.read(0).expect("text"));
            dump.push('\n');
        }
        dump
    }

    /// The sums of one rule in a report of `check --format json`.
    pub fn rule(&self, id: &str, args: &[&str]) -> serde_json::Value {
        let mut all = vec!["check", "--format", "json"];
        all.extend(args);
        let report = self.run(&all).json();
        let rules = report["rules"].as_array().expect("rules");
        rules
            .iter()
            .find(|rule| rule["id"] == id)
            .expect("the rule")
            .clone()
    }
}

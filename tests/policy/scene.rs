//! A small registry under policy operations, and what can be asked of it.

use std::process::Command;
use std::time::{Duration, Instant};

use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, fixture};
use testkit::moments::Moment;
use testkit::proxy::{FaultProxy, Hold};
use testkit::shared::TestDatabase;

use super::running::{PATIENCE, Running};
use crate::program::{self, Ended};

/// acme has three repositories and no policy, globex has one policy that is fully applied.
pub const SMALL: &str = r#"
    seed = 11
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 4
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "latest"
    [[namespace.repository.tags]]
    name = "v0.{n}"
    count = 2
    life = "dead"
    [[namespace.repository]]
    name = "tool"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    [[namespace.repository.tags]]
    name = "nightly-{n}"
    count = 2
    [[namespace.repository.tags]]
    name = "v7.{n}"
    count = 1
    immutable = true
    evidence = "set-by-user"
    [[namespace.repository.tags]]
    name = "v8.{n}"
    count = 1
    immutable = true
    evidence = "label"
    [[namespace.repository]]
    name = "web"
    [[namespace.repository.tags]]
    name = "v3.{n}"
    count = 2
    [[namespace.repository.tags]]
    name = "v4.{n}"
    life = "expiring"
    expires_in = "10d"
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "11111111-1111-4111-8111-111111111111"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 4
    immutable = true
    [[namespace.repository.tags]]
    name = "latest"
    [[namespace.repository]]
    name = "site"
    [[namespace.repository.tags]]
    name = "v5.{n}"
    count = 3
    immutable = true
    [[namespace]]
    name = "acme+robot"
    kind = "robot"
    [[namespace]]
    name = "closed"
    enabled = false
    [[namespace]]
    name = "mirrored"
    source = "mirror"
    [[namespace.repository]]
    name = "copy"
    [[namespace]]
    name = "alice"
    kind = "user"
"#;

/// globex's policy in [`SMALL`].
pub const GLOBEX: &str = "11111111-1111-4111-8111-111111111111";

/// What most tests say about Quay and about themselves.
pub const STATED: [&str; 6] = [
    "--format",
    "json",
    "--immutable-tags-can-expire",
    "false",
    "--actor",
    "tester",
];

/// Live tags of acme that match `v.*` and are mutable in [`SMALL`]: three of them expire.
pub const MATCHING: i64 = 11;

/// A database of one test.
pub struct Scene {
    pub db: TestDatabase,
}

impl Scene {
    /// [`SMALL`], migrated.
    pub fn small() -> Self {
        Self::of(SMALL)
    }

    /// A world, migrated.
    pub fn of(world: &str) -> Self {
        let db = TestDatabase::migrated().expect("a database");
        seed(&mut db.write_session().expect("a session"), world);
        db.forget_dates_of_policies().expect("no dates");
        Self { db }
    }

    /// A world as Quay leaves it.
    pub fn unmigrated(world: &str) -> Self {
        let db = TestDatabase::quay().expect("a database");
        seed(&mut db.write_session().expect("a session"), world);
        Self { db }
    }

    /// The program on it.
    pub fn command(&self, args: &[&str]) -> Command {
        on(&self.db.url(), args)
    }

    /// Runs the program on it.
    pub fn run(&self, args: &[&str]) -> Ended {
        program::ended(&mut self.command(args))
    }

    /// Starts it, and does not wait.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// A proxy before its server.
    pub fn proxy(&self) -> FaultProxy {
        FaultProxy::before(&self.db.tcp_url()).expect("a proxy")
    }

    /// Starts the program on it through a proxy.
    pub fn start_behind(&self, proxy: FaultProxy, args: &[&str]) -> Running {
        let command = on(&proxy.url(), args);
        Running::behind(proxy, command)
    }

    /// Starts the program, and waits until it stands at a moment.
    #[track_caller]
    pub fn held(&self, at: Moment, args: &[&str]) -> (Hold, Running) {
        let proxy = self.proxy();
        let hold = at.hold(&proxy);
        let mut run = self.start_behind(proxy, args);
        run.reach(&hold, at.name());
        (hold, run)
    }

    /// Runs the program to its end; what each of its transactions has run, in the order of their COMMITs.
    pub fn commits(&self, args: &[&str]) -> Vec<Vec<String>> {
        let mut run = self.start_behind(self.proxy(), args);
        run.wait().expect_status(0);
        run.proxy().traffic().commits
    }

    /// Starts the program, and kills it at a moment; the server has noticed, and its heartbeat is old.
    #[track_caller]
    pub fn killed(&self, at: Moment, args: &[&str]) {
        let (_hold, run) = self.held(at, args);
        run.kill();
        self.bury();
    }

    /// `policy …` with what is [`STATED`].
    pub fn policy(&self, args: &[&str]) -> Ended {
        self.run(&policy(args))
    }

    /// Creates `pattern` in acme.
    pub fn create(&self, pattern: &str, more: &[&str]) -> Ended {
        let mut args = vec!["create", "--namespace", "acme", "--pattern", pattern];
        args.extend(more);
        self.policy(&args)
    }

    /// A session that can write.
    pub fn session(&self) -> WriteSession {
        self.db.write_session().expect("a session")
    }

    /// Runs statements.
    #[track_caller]
    pub fn sql(&self, sql: &str) {
        if let Err(error) = self.session().run(sql) {
            panic!("{sql}: {error:?}");
        }
    }

    /// One number.
    #[track_caller]
    pub fn count(&self, sql: &str) -> i64 {
        match self
            .session()
            .query_one(&format!("SELECT ({sql})::bigint"), &[])
        {
            Ok(row) => row.read(0).expect("a bigint"),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// One text.
    #[track_caller]
    pub fn text(&self, sql: &str) -> String {
        let sql = format!("SELECT coalesce(({sql})::text, '')");
        match self.session().query_one(&sql, &[]) {
            Ok(row) => row.read(0).expect("a text"),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// Waits until a number is at least one.
    #[track_caller]
    pub fn wait_for(&self, sql: &str) {
        let begun = Instant::now();
        while self.count(sql) == 0 {
            assert!(begun.elapsed() < PATIENCE, "never: {sql}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Every row that an operation may change, as text: tags whole; policies, audit entries and
    /// declarations without what is made at random or by the clock.
    pub fn state(&self) -> String {
        self.text(STATE)
    }

    /// How many operations have not ended.
    pub fn unfinished(&self) -> i64 {
        self.count("SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL")
    }

    /// Writes the rows down that [`Self::reset`] brings back.
    pub fn save(&self) {
        self.sql(
            "CREATE SCHEMA saved;
             CREATE TABLE saved.tag AS TABLE tag;
             CREATE TABLE saved.ns AS TABLE namespaceimmutabilitypolicy;
             CREATE TABLE saved.rp AS TABLE repositoryimmutabilitypolicy;
             CREATE TABLE saved.log AS TABLE logentry3",
        );
    }

    /// Brings the saved rows back; the journal is then empty.
    pub fn reset(&self) {
        self.sql(
            "SET session_replication_role = replica;
             DELETE FROM tag; INSERT INTO tag TABLE saved.tag;
             DELETE FROM namespaceimmutabilitypolicy;
             INSERT INTO namespaceimmutabilitypolicy TABLE saved.ns;
             DELETE FROM repositoryimmutabilitypolicy;
             INSERT INTO repositoryimmutabilitypolicy TABLE saved.rp;
             DELETE FROM logentry3; INSERT INTO logentry3 TABLE saved.log;
             DELETE FROM quay_doctor.operation; DELETE FROM quay_doctor.tag_change;
             DELETE FROM quay_doctor.policy_change; DELETE FROM quay_doctor.kept",
        );
    }

    /// After a kill: waits until the server has noticed, and lets the time pass after which a
    /// heartbeat is no longer taken for a life sign. Workers are told by our own locks and tables:
    /// pushers may go on.
    pub fn bury(&self) {
        self.wait_for(
            "SELECT (count(*) = 0)::int FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'quay-doctor'
                 AND pid <> pg_backend_pid()
                 AND pid IN (SELECT pid FROM pg_locks
                    WHERE (locktype = 'advisory' AND objsubid = 2)
                        OR relation IN (SELECT oid FROM pg_class
                            WHERE relnamespace = 'quay_doctor'::regnamespace))",
        );
        self.sql("UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '40 s'");
    }

    /// Tags that are immutable and ought not to be, or the other way round, where only policies
    /// of the form `x.*` and user's acts or labels of [`SMALL`] count.
    pub fn check(&self) {
        self.run(&["check"]).expect_status(0);
    }
}

fn seed(session: &mut WriteSession, world: &str) {
    World::parse(world)
        .expect("a description")
        .seed(session, chrono::Utc::now())
        .expect("a seeded world");
}

/// The program on a database, telling only its outcome.
fn on(url: &str, args: &[&str]) -> Command {
    let mut command = program::command(&["--database-url", url, "--quiet"]);
    command.args(args);
    command
}

/// A migrated world in a database of a cluster of a test's own.
pub fn registry_in(cluster: &Cluster, database: &str, world: &str) {
    cluster.create_database(database).expect("a database");
    let settings = cluster.settings(database).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    seed(&mut session, world);
    program::run_on(&cluster.url(database), &["migrate", "up"]).expect_status(0);
}

/// The arguments of `policy …` with what is [`STATED`].
pub fn policy<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["policy"];
    all.extend(args);
    all.extend(STATED);
    all
}

const STATE: &str = r#"
    SELECT string_agg(fact, E'\n' ORDER BY fact) FROM (
        SELECT 'tag ' || lpad(id::text, 9) || ' ' || t::text AS fact FROM tag t
        UNION ALL
        SELECT format('namespace policy %s %s active=%s', namespace_id, policy, to_jsonb(p) -> 'active')
        FROM namespaceimmutabilitypolicy p
        UNION ALL
        SELECT format('repository policy %s %s %s active=%s', repository_id, namespace_id, policy,
            to_jsonb(p) -> 'active')
        FROM repositoryimmutabilitypolicy p
        UNION ALL
        SELECT format('audit %s %s %s %s', k.name, account_id, repository_id,
            metadata_json::jsonb - 'quay_doctor_operation' - 'policy_uuid')
        FROM logentry3 l JOIN logentrykind k ON k.id = l.kind_id
        UNION ALL
        SELECT format('kept %s %s %s %s', scope_kind, scope_id, tag_id, policy_text)
        FROM quay_doctor.kept WHERE withdrawn_at IS NULL
    ) facts
"#;

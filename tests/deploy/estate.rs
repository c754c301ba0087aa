//! A cluster whose database has the two roles of `deploy/roles.sql`, a login in each, and something
//! to do for every command. Roles belong to a whole cluster, so this one is not shared.

use std::path::Path;
use std::process::Command;

use quay_doctor::config::ConnectionSettings;
use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, Program, fixture};
use testkit::skipped;
use testkit::subject::{self, Blow};

use crate::program::{self, Ended};

/// The database that the others are cloned from.
pub const SOUND: &str = "sound";
/// Whoever may only look.
pub const READER: &str = "nightly_check";
/// Whoever may repair.
pub const OPERATOR: &str = "night_shift";

/// globex's policy, fully applied but for two tags.
pub const GLOBEX: &str = "11111111-1111-4111-8111-111111111111";
/// The policy of initech/print, which has another namespace's id.
pub const PRINT: &str = "22222222-2222-4222-8222-222222222222";

const WORLD: &str = r#"
    seed = 31
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 2
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository]]
    name = "tool"
    [[namespace.repository.tags]]
    name = "v7.{n}"
    immutable = true
    evidence = "set-by-user"
    [[namespace.repository.tags]]
    name = "v8.{n}"
    immutable = true
    evidence = "label"
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "11111111-1111-4111-8111-111111111111"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    immutable = true
    [[namespace.repository.tags]]
    name = "v9.{n}"
    count = 2
    [[namespace]]
    name = "hooli"
    [[namespace.repository]]
    name = "box"
    [[namespace.repository.tags]]
    name = "r{n}"
    count = 4
    immutable = true
    [[namespace]]
    name = "initech"
    [[namespace.repository]]
    name = "print"
    [[namespace.repository.policy]]
    pattern = "v.*"
    uuid = "22222222-2222-4222-8222-222222222222"
    namespace = "globex"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace]]
    name = "twins"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000001"
    [[namespace.policy]]
    pattern = "v.*"
    uuid = "aaaaaaaa-0000-4000-8000-000000000002"
    [[namespace.repository]]
    name = "both"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    immutable = true
    [[namespace]]
    name = "cut"
    [[namespace.repository]]
    name = "short"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    [[namespace]]
    name = "split"
    [[namespace.repository]]
    name = "again"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    [[namespace]]
    name = "past"
    [[namespace.repository]]
    name = "done"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 2
    [[namespace]]
    name = "mirrored"
    source = "mirror"
    [[namespace.policy]]
    pattern = "m.*"
    [[namespace.repository]]
    name = "copy"
"#;

/// The servers, and psql to run the file.
pub struct Estate {
    pub cluster: Cluster,
}

impl Estate {
    /// Quay's tables with a world, as their owner has them; nothing of ours. `None`, said aloud,
    /// where this machine has no psql.
    pub fn of_quay() -> Option<Self> {
        let cluster = Cluster::builder().start().expect("a cluster");
        if cluster.programs().path(Program::Psql).is_err() {
            skipped("there is no psql on this machine to run deploy/roles.sql");
            return None;
        }
        cluster.create_database(SOUND).expect("a database");
        let estate = Self { cluster };
        let mut session = estate.owner(SOUND);
        fixture::load_schema(&mut session).expect("Quay's tables");
        World::parse(WORLD)
            .expect("a description")
            .seed(&mut session, chrono::Utc::now())
            .expect("a seeded world");
        Some(estate)
    }

    /// The same, migrated, with a past, two operations that were cut off, the two roles, and a login
    /// in each. Whatever PostgreSQL gives to everybody is taken away, so that only the file counts.
    pub fn staffed() -> Option<Self> {
        let estate = Self::of_quay()?;
        estate.owns(&["migrate", "up"], 0);
        estate.owns(
            &[
                "policy",
                "create",
                "--namespace",
                "past",
                "--pattern",
                "v.*",
            ],
            0,
        );
        estate.owns(&["check", "--record"], 1);
        let mut session = estate.owner(SOUND);
        for namespace in ["cut", "split"] {
            subject::prepare(&mut session, Blow::Connection(2), 0).expect("a trigger");
            let create = [
                "policy",
                "create",
                "--namespace",
                namespace,
                "--pattern",
                "v.*",
            ];
            let stopping = ["--strategy", "phased", "--on-fault", "stop"];
            estate.owns(&[create.as_slice(), &stopping].concat(), 3);
        }
        session
            .run("DROP TRIGGER blow ON tag; DROP FUNCTION blow; DROP SEQUENCE rows_made_immutable")
            .expect("no trigger");
        subject::bury_workers(&estate.cluster.settings(SOUND).expect("settings")).expect("dead");
        estate.roles(SOUND);
        for (login, role) in [(READER, "reader"), (OPERATOR, "operator")] {
            session
                .run(&format!(
                    "CREATE ROLE {login} LOGIN IN ROLE quay_doctor_{role}"
                ))
                .expect("a login");
        }
        session
            .run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            .expect("a closed schema");
        estate.close(SOUND);
        Some(estate)
    }

    /// A clone of the sound database.
    pub fn clone_as(&self, name: &str) {
        self.cluster.clone_database(SOUND, name).expect("a clone");
        self.close(name);
    }

    /// Only the roles may connect. A clone has the tables' rights, but not those of the database.
    fn close(&self, database: &str) {
        self.owner("postgres")
            .run(&format!(
                "REVOKE ALL ON DATABASE {database} FROM PUBLIC;
                 GRANT CONNECT ON DATABASE {database} TO quay_doctor_reader"
            ))
            .expect("a closed database");
    }

    /// Runs `deploy/roles.sql` as its head says; what psql said.
    pub fn roles(&self, database: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/roles.sql");
        let psql = self.cluster.programs().path(Program::Psql).expect("psql");
        let output = Command::new(psql)
            .args([
                "--no-psqlrc",
                "--single-transaction",
                "--set",
                "ON_ERROR_STOP=1",
                "--file",
            ])
            .arg(file)
            .arg(self.cluster.url(database))
            .output()
            .expect("psql starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    /// A session of the owner.
    pub fn owner(&self, database: &str) -> WriteSession {
        WriteSession::open(&self.cluster.settings(database).expect("settings")).expect("a session")
    }

    /// A session of a login.
    pub fn session_of(&self, login: &str, database: &str) -> WriteSession {
        let settings = ConnectionSettings::resolve(Some(&self.url(login, database)));
        WriteSession::open(&settings.expect("settings")).expect("a session")
    }

    /// The URL of a database as a login.
    pub fn url(&self, login: &str, database: &str) -> String {
        format!(
            "postgresql://{login}@127.0.0.1:{}/{database}",
            self.cluster.port()
        )
    }

    /// Runs the program as a login.
    pub fn run_as(&self, login: &str, database: &str, args: &[&str]) -> Ended {
        let mut all = vec![
            "--quiet",
            "--format",
            "json",
            "--immutable-tags-can-expire",
            "false",
        ];
        all.extend(["--immutable-tags", "true"]);
        all.extend(args);
        program::run_on(&self.url(login, database), &all)
    }

    fn owns(&self, args: &[&str], status: i32) {
        self.run_as("postgres", SOUND, args).expect_status(status);
    }
}

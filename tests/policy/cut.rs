//! Commands that are killed in the middle of their work: at a state that the database shows.

use std::time::{Duration, Instant};

use quay_doctor::config::ConnectionSettings;
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::quay::{RepositoryId, retarget_lock_key};

use super::running::Running;
use super::scene::policy;
use crate::program;

/// A creation in acme, batch by batch.
pub const CREATE: [&str; 7] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
];

/// The longest that a state is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who looks at a database, and can be in the way there.
pub struct Bystander(pub WriteSession);

impl Bystander {
    /// At this database.
    pub fn at(url: &str) -> Self {
        let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
        Self(WriteSession::open(&settings).expect("a session"))
    }

    /// Waits until a condition is true.
    #[track_caller]
    pub fn wait_until(&mut self, condition: &str) {
        let begun = Instant::now();
        while !self.is(condition) {
            assert!(begun.elapsed() < PATIENCE, "never: {condition}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether a condition is true.
    #[track_caller]
    pub fn is(&mut self, condition: &str) -> bool {
        match self
            .0
            .query_one(&format!("SELECT coalesce({condition}, false)"), &[])
        {
            Ok(row) => row.read(0).expect("a bool"),
            Err(error) => panic!("{condition}: {error:?}"),
        }
    }

    /// Takes Quay's lock on a repository, for as long as this session lives.
    pub fn lock_repository(&mut self, name: &str) {
        let id: i32 = self
            .0
            .query_one("SELECT id FROM repository WHERE name = $1", &[&name])
            .expect("a row")
            .read(0)
            .expect("an id");
        let key = retarget_lock_key(RepositoryId(id));
        self.0
            .query_one("SELECT pg_advisory_lock($1)", &[&key])
            .expect("a lock");
    }

    /// Gives all locks back.
    pub fn unlock(&mut self) {
        self.0
            .query_one("SELECT pg_advisory_unlock_all()", &[])
            .expect("no lock");
    }
}

/// Runs `policy …`, walking batch by batch, and kills it (SIGKILL) when it waits for the lock of this repository; then
/// waits until the server has noticed.
pub fn killed_before(url: &str, repository: &str, args: &[&str]) {
    let mut bystander = Bystander::at(url);
    bystander.lock_repository(repository);
    let args = [&["--database-url", url][..], &policy(args)].concat();
    let run = Running::start(program::command(&args));
    bystander.wait_until(
        "EXISTS (SELECT FROM quay_doctor.operation WHERE finished_at IS NULL AND tags_changed > 0)
            AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    );
    // Dropped, it is killed.
    drop(run);
    bystander.unlock();
    bystander.wait_until(
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'quay-doctor' AND pid <> pg_backend_pid())",
    );
}

/// Makes the heartbeat of what has not ended so old, by the server's clock.
pub fn age_heartbeat(url: &str, age: &str) {
    Bystander::at(url)
        .0
        .run(&format!(
            "UPDATE quay_doctor.operation SET heartbeat_at = clock_timestamp() - interval '{age}'
             WHERE finished_at IS NULL"
        ))
        .expect("an update");
}

/// Inserts a row as a push does, without a lock; the transaction stays open.
pub fn insert(session: &mut WriteSession, repository: &str, name: &str, immutable: bool) {
    session
        .run(&format!(
            "INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
             SELECT '{name}', id, (extract(epoch FROM now()) * 1000)::bigint, 1, {immutable}
             FROM repository WHERE name = '{repository}'"
        ))
        .expect("a push");
}

/// Quay's entry about a push that a policy made immutable.
pub fn log_push(session: &mut WriteSession, name: &str) {
    session
        .run(&format!(
            "INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
             SELECT k.id, u.id, timezone('utc', now()), '{{\"tag\": \"{name}\", \"namespace\": \"acme\", \"repo\": null, \"immutable\": true}}'
             FROM logentrykind k, \"user\" u
             WHERE k.name = 'tag_made_immutable_by_policy' AND u.username = 'acme'"
        ))
        .expect("an entry");
}

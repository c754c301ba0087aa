//! What measurements share: a server, a database to copy, numbers, medians.

use std::time::Instant;

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, fixture};

use crate::program;

/// A number that a variable may state.
pub fn number(variable: &str, otherwise: u32) -> u32 {
    let stated = std::env::var(variable).ok();
    stated
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// Runs of each of two things in turn, where `QUAY_DOCTOR_RUNS` does not say.
pub fn runs() -> u32 {
    number("QUAY_DOCTOR_RUNS", 5)
}

/// The program that is measured: the release build, where `QUAY_DOCTOR_PROGRAM` names it.
pub fn measured() -> String {
    std::env::var("QUAY_DOCTOR_PROGRAM")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_quay-doctor").to_owned())
}

/// Four repositories with so many tags in all, of names like this one.
pub fn world(name: &str, tags: u32, immutable: &str) -> String {
    world_of(4, name, tags, immutable)
}

/// The same of another number of repositories.
pub fn world_of(repositories: u32, name: &str, tags: u32, immutable: &str) -> String {
    format!(
        r#"
        seed = 41
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "app-{{n}}"
        count = {repositories}
        [[namespace.repository.tags]]
        name = "{name}"
        count = {}
        immutable = {immutable}
        "#,
        tags / repositories
    )
}

pub fn session(url: &str) -> WriteSession {
    let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
    WriteSession::open(&settings).expect("a session")
}

/// A server as a production one is set up, but for the size of its memory. As on one that has been at
/// work for a while, segments of the WAL are there already: a new one is filled with zeros first, while
/// everybody who writes waits.
pub fn cluster() -> Cluster {
    Cluster::builder()
        .setting("shared_buffers", "1GB")
        .setting("max_wal_size", "64GB")
        .setting("min_wal_size", "8GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off")
        .start()
        .expect("a cluster")
}

pub fn template(cluster: &Cluster, world: &str) {
    cluster.drop_database("template_of_runs").expect("dropped");
    cluster
        .create_database("template_of_runs")
        .expect("a database");
    let url = cluster.url("template_of_runs");
    let mut session = session(&url);
    fixture::load_schema(&mut session).expect("Quay's tables");
    World::parse(world)
        .expect("a world")
        .seed(&mut session, chrono::Utc::now())
        .expect("rows");
    drop(session);
    program::run_on(&url, &["migrate", "up"]).expect_status(0);
    self::session(&url).run("VACUUM ANALYZE").expect("a vacuum");
}

/// Makes all live tags immutable, or mutable, in one statement; how long it took.
pub fn bare_update(url: &str, immutable: bool) -> f64 {
    let mut session = session(url);
    let begun = Instant::now();
    session
        .run(&format!(
            "UPDATE tag SET immutable = {immutable} WHERE immutable <> {immutable} AND NOT hidden"
        ))
        .expect("an update");
    begun.elapsed().as_secs_f64()
}

/// A fresh copy, from a checkpoint.
pub fn copy(cluster: &Cluster, name: &str) -> String {
    cluster.drop_database("run").expect("dropped");
    cluster
        .clone_database("template_of_runs", "run")
        .expect(name);
    let url = cluster.url("run");
    session(&url).run("CHECKPOINT").expect("a checkpoint");
    url
}

pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

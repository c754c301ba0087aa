//! What a session does never depends on what a server, a database, a role or the environment has set.

mod encodings;
mod frozen;
mod hostile;
mod isolation;
mod read_only;
mod readers;
mod time_outs;

use crate::policy::scene::{SMALL, Scene};

/// Where a setting is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Database,
    /// Of the role in this database: the cluster is shared with other tests.
    Role,
}

impl Level {
    pub const BOTH: [Self; 2] = [Self::Database, Self::Role];
}

/// Makes a setting for every session that is opened from here on.
pub fn set(scene: &Scene, level: Level, name: &str, value: &str) {
    let database = scene.db.name();
    let whose = match level {
        Level::Database => format!("DATABASE {database}"),
        Level::Role => format!("ROLE postgres IN DATABASE {database}"),
    };
    let mut session = scene.session();
    session
        .run("SET default_transaction_read_only = off")
        .expect("a session that writes");
    session
        .run(&format!("ALTER {whose} SET {name} = {value}"))
        .expect("a setting");
}

/// A world in which `fix` and `recover` have something to do.
pub fn with_work() -> Scene {
    let scene = Scene::of(SMALL);
    scene.sql(WORK);
    scene
}

/// A tag that lost its protection, and a run whose worker is gone.
pub const WORK: &str = "UPDATE tag SET immutable = false WHERE name = 'v5.1';
    INSERT INTO quay_doctor.operation
        (kind, phase, options, fence, worker, actor, tool_version, heartbeat_at)
    VALUES ('fix', 'applying', '{}', gen_random_uuid(), 'gone', 'tester', '0', '2020-01-01')";

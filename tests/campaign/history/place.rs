//! Where histories are played: a registry of a few repositories, a server that was a standby, and registries of other
//! shapes.

use quay_doctor::sandbox::{Cluster, Program, Programs, Standby, StopMode};
use testkit::oracle::ledger;
use testkit::shared::TestDatabase;
use testkit::skipped;

use super::super::world::Arena;

/// Repositories beside those of the world, each with one tag that a policy may cover.
const WIDE: u32 = 1_000;
/// Tags beside those of the world, in one repository.
const DEEP: u32 = 3_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Plain,
    /// On a standby that was promoted: what it replayed last stands still.
    Promoted,
    /// A thousand repositories with few tags.
    Wide,
    /// One repository with very many.
    Deep,
}

/// A place, with what it stands on.
pub struct Stage {
    pub arena: Arena,
    pub place: Place,
    _database: Option<TestDatabase>,
    _servers: Option<(Cluster, Standby)>,
}

impl Stage {
    /// None where there is no such place on this machine.
    pub fn set(place: Place) -> Option<Self> {
        if place == Place::Promoted {
            return Self::promoted();
        }
        let database = TestDatabase::quay().expect("a database");
        let arena = Arena::prepare(&database.tcp_url(), false).expect("a registry");
        ledger::lay(&mut arena.session(), &arena.role).expect("a ledger");
        if place == Place::Wide {
            arena.sql(&format!(
                "INSERT INTO repository
                 SELECT (jsonb_populate_record(NULL::repository, to_jsonb(r)
                     || jsonb_build_object('id', 100000 + n, 'name', 'app-' || 100 + n))).*
                 FROM repository r, generate_series(1, {WIDE}) n
                 WHERE r.id = {}",
                arena.repositories[0]
            ));
        }
        Some(Self {
            arena,
            place,
            _database: Some(database),
            _servers: None,
        })
    }

    fn promoted() -> Option<Self> {
        let programs = Programs::find().expect("programs");
        if !programs.has(Program::PgBasebackup) {
            skipped("this package of PostgreSQL has no pg_basebackup");
            return None;
        }
        let mut primary = Cluster::start().expect("a cluster");
        primary.create_database("quay").expect("a database");
        let arena = Arena::prepare(&primary.tcp_url("quay"), true).expect("a registry");
        let standby = primary.standby().expect("a standby");
        // Something to replay: a time is known from the first commit on.
        ledger::lay(&mut arena.session(), &arena.role).expect("a ledger");
        standby.wait_until_caught_up().expect("the same rows");
        primary.stop(StopMode::Fast).expect("a stop");
        standby.promote().expect("a promotion");
        arena.lead_to(&standby.tcp_url("quay"));
        Some(Self {
            arena,
            place: Place::Promoted,
            _database: None,
            _servers: Some((primary, standby)),
        })
    }

    /// Adds what makes the shape to a registry that was filled.
    pub fn shape(&self) {
        let what = match self.place {
            Place::Plain | Place::Promoted => return,
            Place::Wide => format!(
                "SELECT (ARRAY['v1', 'w1', 'x1', 'latest'])[1 + n % 4], 100000 + n
                 FROM generate_series(1, {WIDE}) n"
            ),
            Place::Deep => format!(
                "SELECT (ARRAY['v', 'w', 'x', 'latest'])[1 + n % 4] || '1-' || n, {}
                 FROM generate_series(1, {DEEP}) n",
                self.arena.repositories[1]
            ),
        };
        // As the policies have it: every policy of the world is applied to these, too.
        self.arena.sql(&format!(
            "SET session_replication_role = replica;
             INSERT INTO tag (name, repository_id, lifetime_start_ms, lifetime_end_ms, hidden, tag_kind_id, immutable)
             SELECT what.name, what.repository, extract(epoch FROM now())::bigint * 1000 - 86400000,
                 CASE WHEN length(what.name) % 2 = 0
                     THEN extract(epoch FROM now())::bigint * 1000 + 864000000 END,
                 false, 1, false
             FROM ({what}) AS what (name, repository)"
        ));
        let state = self.arena.state();
        let covered: Vec<i32> = (state.tags.iter())
            .filter(|(_, tag)| !tag.hidden && state.decides(tag.repository, &tag.name))
            .filter(|(_, tag)| tag.is_alive(state.read_at_ms) && !tag.immutable)
            .map(|(id, _)| id.0)
            .collect();
        let ids: Vec<String> = covered.iter().map(ToString::to_string).collect();
        if !ids.is_empty() {
            self.arena.sql(&format!(
                "SET session_replication_role = replica;
                 UPDATE tag SET immutable = true, lifetime_end_ms = NULL WHERE id IN ({})",
                ids.join(", ")
            ));
        }
    }

    /// Whether it has so many tags that batches are as large as they are for users.
    pub fn is_large(&self) -> bool {
        matches!(self.place, Place::Wide | Place::Deep)
    }
}

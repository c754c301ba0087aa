//! `migrate status`: where the database stands. Reads only, also from a standby.

use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use super::catalogue::{LATEST, MIGRATIONS};
use super::scene::{self, Scene};
use super::session::BOUNDED;
use super::{MigrateError, verify};
use crate::config::ConnectionSettings;
use crate::journal::{Origin, SCHEMA, SchemaState, TABLES};
use crate::pg::{PgError, ReadSession, Statements};
use crate::quay::PolicyTable;

/// Counting more would only take longer to say "large".
const ROWS_COUNTED_AT_MOST: i64 = 10_000_000;

/// Where the database stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The server's version, as it spells it.
    pub server_version: String,
    /// Which kind of server it is.
    pub server: ServerRole,
    /// The version that the history records.
    pub version: i32,
    /// The newest version that this program has.
    pub latest: i32,
    /// Every migration.
    pub migrations: Vec<MigrationStatus>,
    /// What the catalog carries, whoever brought it, and where Quay's own chain stands.
    pub schema: SchemaState,
    /// The journal's size, where there is one.
    pub journal: Option<JournalSize>,
    /// What is not as promised; `migrate verify` says more.
    pub differences: usize,
    /// What may be wrong, and what is not ours.
    pub remarks: Vec<String>,
}

/// Which kind of server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerRole {
    /// It accepts writes.
    Primary,
    /// It replays another server's.
    Standby,
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    /// Its version.
    pub version: i32,
    /// Its name.
    pub name: &'static str,
    /// Its checksum, in decimal: JSON numbers end at 2^53.
    pub checksum: String,
    /// When it was applied, by RFC 3339; nothing while it is pending.
    pub applied_on: Option<String>,
}

/// How large the journal is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalSize {
    /// Its tables.
    pub tables: Vec<TableSize>,
    /// All of them with their indexes, in bytes.
    pub bytes: i64,
}

/// One table of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// Its name.
    pub table: &'static str,
    /// Its rows, counted up to ten million.
    pub rows: i64,
    /// With its indexes, in bytes.
    pub bytes: i64,
}

impl Status {
    /// Whether every migration is applied.
    pub fn is_up_to_date(&self) -> bool {
        self.migrations
            .iter()
            .all(|migration| migration.applied_on.is_some())
    }
}

/// Reads where the database stands.
pub fn status(settings: &ConnectionSettings) -> Result<Status, MigrateError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    snapshot.limit_statements(BOUNDED)?;
    let scene = Scene::read_whole(&mut snapshot)?;
    let server = match scene::is_standby(&mut snapshot)? {
        true => ServerRole::Standby,
        false => ServerRole::Primary,
    };
    let server_version = snapshot
        .query_one("SELECT current_setting('server_version')", &[])?
        .try_get(0)
        .map_err(PgError::from)?;
    let journal = match scene.state.has_journal() {
        true => Some(journal_size(&mut snapshot)?),
        false => None,
    };
    Ok(Status {
        server_version,
        server,
        version: scene.history.version(),
        latest: LATEST,
        migrations: migrations(&scene)?,
        journal,
        differences: verify::differences(&mut snapshot)?.differences.len(),
        remarks: remarks(&scene.state),
        schema: scene.state,
    })
}

fn migrations(scene: &Scene) -> Result<Vec<MigrationStatus>, MigrateError> {
    MIGRATIONS
        .iter()
        .map(|known| {
            let row = scene.history.row(known.version);
            Ok(MigrationStatus {
                version: known.version,
                name: known.name,
                checksum: known.checksum()?.to_string(),
                applied_on: row.map(|row| {
                    let spelt = row.applied_on.format(&Rfc3339);
                    spelt.unwrap_or_else(|_| row.applied_on.to_string())
                }),
            })
        })
        .collect()
}

fn remarks(state: &SchemaState) -> Vec<String> {
    let mut remarks: Vec<String> = state.alembic.untested().into_iter().collect();
    for table in PolicyTable::IN_LOCK_ORDER {
        let active = state.policies(table).active.as_ref();
        if active.is_some_and(|active| active.origin == Origin::Foreign) {
            remarks.push(format!("{}.active is Quay's own", table.name()));
        }
    }
    remarks
}

fn journal_size(db: &mut impl Statements) -> Result<JournalSize, PgError> {
    let mut size = JournalSize {
        tables: Vec::new(),
        bytes: 0,
    };
    for table in TABLES {
        // The name is one of ours; it cannot be a parameter.
        let qualified = format!("{SCHEMA}.{table}");
        let row = db.query_one(
            &format!(
                "SELECT count(*), pg_total_relation_size('{qualified}'::regclass)
                 FROM (SELECT FROM {qualified} LIMIT {ROWS_COUNTED_AT_MOST}) AS counted"
            ),
            &[],
        )?;
        let (rows, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        size.bytes += bytes;
        size.tables.push(TableSize { table, rows, bytes });
    }
    Ok(size)
}

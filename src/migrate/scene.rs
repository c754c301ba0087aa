//! What a migration starts from, and whether it may start: server, database, role, history.

use super::MigrateError;
use super::catalogue::{self, JOURNAL_ONLY};
use super::history::{self, History};
use super::script::{PolicyColumn, Subject};
use crate::journal::{JournalState, Origin, QuaySchema, SCHEMA, SchemaState, TABLES};
use crate::pg::{PgError, Statements};
use crate::quay::PolicyTable;

/// Catalog and history, read together.
pub(super) struct Scene {
    pub(super) state: SchemaState,
    pub(super) own_schema: OwnSchema,
    pub(super) history: History,
}

/// Whether a schema of our name is there; an administrator may have made it for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnSchema {
    Absent,
    Present,
}

impl Scene {
    /// Reads both. The database has to be Quay's, the history readable and known.
    pub(super) fn read(db: &mut impl Statements) -> Result<Self, MigrateError> {
        let state = SchemaState::read(db)?;
        if let QuaySchema::Foreign(missing) = &state.quay {
            return Err(MigrateError::NotQuay {
                missing: missing.clone(),
            });
        }
        Ok(Self {
            own_schema: own_schema(db)?,
            history: History::read(db)?,
            state,
        })
    }

    /// The same, and the history lacks no row of a migration whose objects are there.
    pub(super) fn read_whole(db: &mut impl Statements) -> Result<Self, MigrateError> {
        let scene = Self::read(db)?;
        match scene.unrecorded() {
            None => Ok(scene),
            Some((version, object)) => Err(MigrateError::HistoryLost {
                version,
                object,
                repair: scene.repair(version)?,
            }),
        }
    }

    /// The lowest version that is not recorded although something of it, or of a later one, is
    /// there and is ours. V3 does not count: a build that was cut short leaves its index without a
    /// row, and the next run puts that right.
    pub(super) fn unrecorded(&self) -> Option<(i32, String)> {
        let next = self.history.version() + 1;
        if next <= JOURNAL_ONLY
            && let Some(table) = self.first_own_table()
        {
            return Some((next, format!("table {SCHEMA}.{table}")));
        }
        if next <= JOURNAL_ONLY + 1
            && let Some(column) = self.first_own_column()
        {
            return Some((next, column));
        }
        None
    }

    fn first_own_table(&self) -> Option<&'static str> {
        match &self.state.journal {
            JournalState::Absent => None,
            JournalState::Unreadable(_) | JournalState::Present => Some(TABLES[0]),
            JournalState::Incomplete(missing) => TABLES
                .into_iter()
                .find(|table| !missing.iter().any(|name| name == table)),
        }
    }

    fn first_own_column(&self) -> Option<String> {
        PolicyTable::IN_LOCK_ORDER.into_iter().find_map(|table| {
            let live = self.state.policies(table);
            let columns = [
                (PolicyColumn::Active, &live.active),
                (PolicyColumn::CreatedDate, &live.created_date),
            ];
            let (name, _) = columns.into_iter().find(|(_, column)| {
                column
                    .as_ref()
                    .is_some_and(|column| column.origin == Origin::Ours)
            })?;
            Some(Subject::Column(table, name).to_string())
        })
    }

    /// The statements that put back the history rows from `version` up, as far as the catalog
    /// bears them out.
    fn repair(&self, version: i32) -> Result<String, MigrateError> {
        let mut statements = vec![history::create_table()];
        for known in (version..=self.state.version().max(version)).filter_map(catalogue::find) {
            statements.push(history::insert(known)?);
        }
        let on_one_line = statements.join(" ");
        Ok(on_one_line.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn own_schema(db: &mut impl Statements) -> Result<OwnSchema, PgError> {
    let row = db.query_one(
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
        &[&SCHEMA],
    )?;
    Ok(match row.try_get(0)? {
        true => OwnSchema::Present,
        false => OwnSchema::Absent,
    })
}

/// Whether the server is a standby.
pub(super) fn is_standby(db: &mut impl Statements) -> Result<bool, PgError> {
    Ok(db
        .query_one("SELECT pg_is_in_recovery()", &[])?
        .try_get(0)?)
}

/// Refuses to touch policy tables that are not there or not as we know them. Columns decide; an
/// Alembic revision that was not tested is a warning, given back.
pub(super) fn require_policy_tables(
    db: &mut impl Statements,
    state: &SchemaState,
) -> Result<Option<String>, MigrateError> {
    if let QuaySchema::BeforePolicies(missing) = &state.quay {
        return Err(MigrateError::BeforePolicies {
            missing: missing.clone(),
        });
    }
    let differences = column_differences(db)?;
    if !differences.is_empty() {
        return Err(MigrateError::UnknownTables {
            differences,
            revision: state.alembic.describe(),
        });
    }
    Ok(state.alembic.untested())
}

/// The columns of Quay's policy tables that we rely on (database.py:2188-2198), and their types.
const NEEDED: [(PolicyTable, &str, &str); 9] = [
    (PolicyTable::Repository, "id", "integer"),
    (PolicyTable::Repository, "uuid", "character varying"),
    (PolicyTable::Repository, "repository_id", "integer"),
    (PolicyTable::Repository, "namespace_id", "integer"),
    (PolicyTable::Repository, "policy", "text"),
    (PolicyTable::Namespace, "id", "integer"),
    (PolicyTable::Namespace, "uuid", "character varying"),
    (PolicyTable::Namespace, "namespace_id", "integer"),
    (PolicyTable::Namespace, "policy", "text"),
];

fn column_differences(db: &mut impl Statements) -> Result<Vec<String>, PgError> {
    let tables = NEEDED.map(|(table, ..)| table.name());
    let columns = NEEDED.map(|(_, column, _)| column);
    let rows = db.query(
        "SELECT format_type(attribute.atttypid, NULL)
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS needed (table_name, name, position)
         LEFT JOIN pg_attribute AS attribute
           ON attribute.attrelid = to_regclass(needed.table_name)
          AND attribute.attname = needed.name
          AND NOT attribute.attisdropped
         ORDER BY needed.position",
        &[&tables.as_slice(), &columns.as_slice()],
    )?;
    let mut differences = Vec::new();
    for ((table, column, wanted), row) in NEEDED.into_iter().zip(&rows) {
        let found: Option<String> = row.try_get(0)?;
        match found.as_deref() {
            Some(found) if found == wanted => {}
            None => differences.push(format!("{}.{column} is missing", table.name())),
            Some(found) => differences.push(format!(
                "{}.{column} is {found}, not {wanted}",
                table.name()
            )),
        }
    }
    Ok(differences)
}

//! `migrate verify`: the live schema against what the applied migrations promise. Reads only.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::MigrateError;
use super::catalogue::{JOURNAL_ONLY, LATEST};
use super::scene::Scene;
use super::script::{PolicyColumn, Subject};
use super::session::BOUNDED;
use crate::config::ConnectionSettings;
use crate::journal::{
    IndexValidity, LiveColumn, LiveIndex, Nullness, Origin, SCHEMA, SchemaState,
    active_index_definition,
};
use crate::pg::{PgError, ReadSession, Statements};
use crate::quay::PolicyTable;

/// What migration V1 promises, one object a line: kind, name, definition, between tabs. Written by
/// the catalog itself after V1 on an empty database; a test writes it again and compares.
const PROMISED_OWN: &str = include_str!("promised.tsv");

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The version that the history records.
    pub version: i32,
    /// The newest version; what lies above the recorded one is not looked at.
    pub latest: i32,
    /// Everything that is not as promised.
    pub differences: Vec<Difference>,
}

/// One object that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is, and its name.
    pub object: String,
    /// What the migrations promise; nothing where no migration made it.
    pub promised: Option<String>,
    /// What is there; nothing where it is missing.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        match (&self.promised, &self.found) {
            (Some(promised), Some(found)) => write!(f, "promised {promised}, found {found}"),
            (Some(promised), None) => write!(f, "missing, promised {promised}"),
            (None, Some(found)) => write!(f, "no migration made it, found {found}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// Compares the live schema with what the applied migrations promise.
pub fn verify(settings: &ConnectionSettings) -> Result<Verification, MigrateError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    snapshot.limit_statements(BOUNDED)?;
    differences(&mut snapshot)
}

/// The same over a session that is there.
pub(super) fn differences(db: &mut impl Statements) -> Result<Verification, MigrateError> {
    let scene = Scene::read(db)?;
    let recorded = scene.history.version();
    let mut differences = Vec::new();
    let mut promised_up_to = recorded;
    if let Some((version, object)) = scene.unrecorded() {
        differences.push(Difference {
            object: format!("history row of V{version}"),
            promised: Some("one for every migration whose objects are there".to_owned()),
            found: Some(format!("none, but {object}")),
        });
        // The rest is compared too: whoever puts the row back wants to know that it is true.
        promised_up_to = promised_up_to.max(version).max(scene.state.version());
    }
    if promised_up_to >= JOURNAL_ONLY {
        differences.extend(own_schema(db)?);
    }
    if promised_up_to > JOURNAL_ONLY {
        differences.extend(columns(&scene.state));
    }
    if promised_up_to > JOURNAL_ONLY + 1 {
        differences.extend(indexes(&scene.state));
    }
    Ok(Verification {
        version: recorded,
        latest: LATEST,
        differences,
    })
}

/// Whether an index is not as promised.
pub(super) fn indexes_differ(state: &SchemaState) -> bool {
    !indexes(state).is_empty()
}

/// A column of ours has our default as well; of an adopted one only the shape is promised.
fn columns(state: &SchemaState) -> Vec<Difference> {
    let mut differences = Vec::new();
    for table in PolicyTable::IN_LOCK_ORDER {
        let live = state.policies(table);
        let pairs = [
            (PolicyColumn::Active, &live.active),
            (PolicyColumn::CreatedDate, &live.created_date),
        ];
        for (column, found) in pairs {
            let sound = found.as_ref().is_some_and(|found| match found.origin {
                Origin::Ours => *found == promised_column(column),
                Origin::Foreign => super::decide::adopt(table, column, found).is_ok(),
            });
            if !sound {
                differences.push(Difference {
                    object: Subject::Column(table, column).to_string(),
                    promised: Some(describe_column(&promised_column(column))),
                    found: found.as_ref().map(describe_column),
                });
            }
        }
    }
    differences
}

fn promised_column(column: PolicyColumn) -> LiveColumn {
    let (type_name, nullness, default) = match column {
        PolicyColumn::Active => ("boolean", Nullness::NotNull, "true"),
        PolicyColumn::CreatedDate => (
            "timestamp without time zone",
            Nullness::Nullable,
            "timezone('utc'::text, now())",
        ),
    };
    LiveColumn {
        type_name: type_name.to_owned(),
        nullness,
        default: Some(default.to_owned()),
        origin: Origin::Ours,
    }
}

fn describe_column(column: &LiveColumn) -> String {
    let null = match column.nullness {
        Nullness::NotNull => " NOT NULL",
        Nullness::Nullable => "",
    };
    match &column.default {
        Some(default) => format!("{}{null} DEFAULT {default}", column.type_name),
        None => format!("{}{null} without a default", column.type_name),
    }
}

fn indexes(state: &SchemaState) -> Vec<Difference> {
    PolicyTable::IN_LOCK_ORDER
        .into_iter()
        .filter_map(|table| {
            let found = state.policies(table).active_index.as_ref();
            let sound = found.is_some_and(|found| found.is_as_promised(table));
            (!sound).then(|| Difference {
                object: Subject::Index(table).to_string(),
                promised: Some(active_index_definition(table)),
                found: found.map(describe_index),
            })
        })
        .collect()
}

fn describe_index(index: &LiveIndex) -> String {
    match index.validity {
        IndexValidity::Valid => index.definition.clone(),
        IndexValidity::Invalid => format!("{}, INVALID", index.definition),
    }
}

fn own_schema(db: &mut impl Statements) -> Result<Vec<Difference>, PgError> {
    let found = own_objects(db)?;
    let promised: BTreeMap<String, String> = PROMISED_OWN.lines().filter_map(object).collect();
    let mut differences = Vec::new();
    for (name, definition) in &promised {
        if found.get(name) != Some(definition) {
            differences.push(Difference {
                object: name.clone(),
                promised: Some(definition.clone()),
                found: found.get(name).cloned(),
            });
        }
    }
    for (name, definition) in &found {
        if !promised.contains_key(name) {
            differences.push(Difference {
                object: name.clone(),
                promised: None,
                found: Some(definition.clone()),
            });
        }
    }
    Ok(differences)
}

fn object(line: &str) -> Option<(String, String)> {
    let (name, definition) = line.split_once('\t')?;
    Some((name.to_owned(), definition.to_owned()))
}

/// Every table, column, constraint and index in our own schema: its kind and name, and its
/// definition as the catalog spells it. NOT NULL belongs to the column; from PostgreSQL 18 on it
/// is a constraint (contype `n`) as well.
pub fn own_objects(db: &mut impl Statements) -> Result<BTreeMap<String, String>, PgError> {
    let rows = db.query(
        "WITH own AS (
             SELECT class.oid, class.relname, class.relkind
             FROM pg_class AS class
             JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
             WHERE schema.nspname = $1
         )
         SELECT 'relation ' || relname, 'kind ' || relkind::text
         FROM own WHERE relkind NOT IN ('i', 'S', 'c', 't')
         UNION ALL
         SELECT 'column ' || own.relname || '.' || attribute.attname,
                concat_ws(' ', format_type(attribute.atttypid, attribute.atttypmod),
                          CASE WHEN attribute.attnotnull THEN 'NOT NULL' END,
                          'DEFAULT ' || pg_get_expr(preset.adbin, preset.adrelid),
                          CASE attribute.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                               WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END)
         FROM own
         JOIN pg_attribute AS attribute ON attribute.attrelid = own.oid
         LEFT JOIN pg_attrdef AS preset
           ON preset.adrelid = own.oid AND preset.adnum = attribute.attnum
         WHERE own.relkind = 'r' AND attribute.attnum > 0 AND NOT attribute.attisdropped
         UNION ALL
         SELECT 'constraint ' || own.relname || '.' || conname, pg_get_constraintdef(live.oid)
         FROM own JOIN pg_constraint AS live ON live.conrelid = own.oid
         WHERE live.contype <> 'n'
         UNION ALL
         SELECT 'index ' || class.relname,
                pg_get_indexdef(live.indexrelid)
                || CASE WHEN live.indisvalid AND live.indisready THEN '' ELSE ' INVALID' END
         FROM own
         JOIN pg_index AS live ON live.indrelid = own.oid
         JOIN pg_class AS class ON class.oid = live.indexrelid
         WHERE own.relkind = 'r'",
        &[&SCHEMA],
    )?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

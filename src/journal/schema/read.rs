//! The questions that the schema's state asks the catalog.

use super::{
    AlembicRevisions, IndexValidity, JournalState, LiveColumn, LiveIndex, MARK, Nullness, Origin,
    PolicyTableState, QuaySchema, SCHEMA, TABLES, active_index_name,
};
use crate::pg::{PgError, Row, Statements};
use crate::quay::PolicyTable;

pub(super) fn quay(db: &mut impl Statements) -> Result<QuaySchema, PgError> {
    // Tables that every Quay has had since long before immutability (database.py).
    const EVERY_QUAY: [&str; 4] = ["tag", "manifest", "repository", "\"user\""];
    let missing = missing_relations(db, &EVERY_QUAY)?;
    if !missing.is_empty() {
        return Ok(QuaySchema::Foreign(missing));
    }
    let policy_tables = PolicyTable::IN_LOCK_ORDER.map(PolicyTable::name);
    let missing = missing_relations(db, &policy_tables)?;
    Ok(if missing.is_empty() {
        QuaySchema::WithPolicies
    } else {
        QuaySchema::BeforePolicies(missing)
    })
}

fn missing_relations(db: &mut impl Statements, names: &[&str]) -> Result<Vec<String>, PgError> {
    let rows = db.query(
        "SELECT wanted.name
         FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, position)
         WHERE to_regclass(wanted.name) IS NULL
         ORDER BY wanted.position",
        &[&names],
    )?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) fn alembic(db: &mut impl Statements) -> Result<AlembicRevisions, PgError> {
    let row = db.query_one(
        "SELECT to_regclass('alembic_version') IS NOT NULL,
                coalesce(has_table_privilege(to_regclass('alembic_version'), 'SELECT'), false)",
        &[],
    )?;
    let (there, readable): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !there {
        return Ok(AlembicRevisions::Absent);
    }
    if !readable {
        return Ok(AlembicRevisions::Unreadable);
    }
    let rows = db.query(
        "SELECT version_num::text FROM alembic_version ORDER BY 1 LIMIT 100",
        &[],
    )?;
    let revisions: Result<_, PgError> = rows.iter().map(|row| Ok(row.try_get(0)?)).collect();
    Ok(AlembicRevisions::At(revisions?))
}

pub(super) fn journal(db: &mut impl Statements) -> Result<JournalState, PgError> {
    let rows = db.query(
        "SELECT wanted.name,
                class.oid IS NOT NULL,
                coalesce(has_schema_privilege(schema.oid, 'USAGE')
                         AND has_table_privilege(class.oid, 'SELECT'), false)
         FROM unnest($2::text[]) WITH ORDINALITY AS wanted (name, position)
         LEFT JOIN pg_namespace AS schema ON schema.nspname = $1
         LEFT JOIN pg_class AS class
           ON class.relnamespace = schema.oid AND class.relname = wanted.name
         ORDER BY wanted.position",
        &[&SCHEMA, &TABLES.as_slice()],
    )?;
    let (mut missing, mut unreadable) = (Vec::new(), Vec::new());
    for row in &rows {
        let name: String = row.try_get(0)?;
        match (row.try_get(1)?, row.try_get(2)?) {
            (false, _) => missing.push(name),
            (true, false) => unreadable.push(name),
            (true, true) => {}
        }
    }
    Ok(if missing.len() == TABLES.len() {
        JournalState::Absent
    } else if !missing.is_empty() {
        JournalState::Incomplete(missing)
    } else if !unreadable.is_empty() {
        JournalState::Unreadable(unreadable)
    } else {
        JournalState::Present
    })
}

pub(super) fn policy_table(
    db: &mut impl Statements,
    table: PolicyTable,
) -> Result<PolicyTableState, PgError> {
    let rows = db.query(
        "SELECT attribute.attname::text,
                format_type(attribute.atttypid, attribute.atttypmod),
                attribute.attnotnull,
                pg_get_expr(preset.adbin, preset.adrelid),
                coalesce(col_description(attribute.attrelid, attribute.attnum) = $2, false)
         FROM pg_attribute AS attribute
         LEFT JOIN pg_attrdef AS preset
           ON preset.adrelid = attribute.attrelid AND preset.adnum = attribute.attnum
         WHERE attribute.attrelid = to_regclass($1)
           AND attribute.attnum > 0
           AND NOT attribute.attisdropped
           AND attribute.attname IN ('active', 'created_date')",
        &[&table.name(), &MARK],
    )?;
    let mut state = PolicyTableState::default();
    for row in &rows {
        let column = Some(live_column(row)?);
        match row.try_get(0)? {
            "active" => state.active = column,
            _ => state.created_date = column,
        }
    }
    state.active_index = index(db, table)?;
    Ok(state)
}

fn live_column(row: &Row) -> Result<LiveColumn, PgError> {
    Ok(LiveColumn {
        type_name: row.try_get(1)?,
        nullness: match row.try_get(2)? {
            true => Nullness::NotNull,
            false => Nullness::Nullable,
        },
        default: row.try_get(3)?,
        origin: origin(row.try_get(4)?),
    })
}

/// An index lives in its table's schema, where its name may be taken by any kind of relation.
fn index(db: &mut impl Statements, table: PolicyTable) -> Result<Option<LiveIndex>, PgError> {
    let row = db.query_opt(
        "SELECT coalesce(replace(pg_get_indexdef(live.indexrelid),
                                 ' ON ' || quote_ident(schema.nspname) || '.', ' ON '),
                         'not an index, but a relation of kind ' || class.relkind::text),
                coalesce(live.indisvalid AND live.indisready AND live.indislive, false),
                coalesce(obj_description(class.oid, 'pg_class') = $3, false)
         FROM pg_class AS policies
         JOIN pg_namespace AS schema ON schema.oid = policies.relnamespace
         JOIN pg_class AS class
           ON class.relnamespace = policies.relnamespace AND class.relname = $2
         LEFT JOIN pg_index AS live ON live.indexrelid = class.oid
         WHERE policies.oid = to_regclass($1)",
        &[&table.name(), &active_index_name(table), &MARK],
    )?;
    row.map(|row| {
        Ok(LiveIndex {
            definition: row.try_get(0)?,
            validity: match row.try_get(1)? {
                true => IndexValidity::Valid,
                false => IndexValidity::Invalid,
            },
            origin: origin(row.try_get(2)?),
        })
    })
    .transpose()
}

fn origin(marked: bool) -> Origin {
    match marked {
        true => Origin::Ours,
        false => Origin::Foreign,
    }
}

//! The rights that a migration needs, asked for before anything is begun.

use super::MigrateError;
use super::catalogue::{Embedded, Way};
use super::scene::OwnSchema;
use crate::journal::SCHEMA;
use crate::pg::{PgError, Statements};
use crate::quay::PolicyTable;

/// What is missing, and what helps.
#[derive(Default)]
struct Lacking {
    rights: Vec<String>,
    remedies: Vec<String>,
}

impl Lacking {
    fn add(&mut self, right: String, remedy: String) {
        if !self.remedies.contains(&remedy) {
            self.remedies.push(remedy);
        }
        self.rights.push(right);
    }
}

/// Refuses where the role lacks a right that one of these migrations needs, up or down. Names all
/// that are lacking at once, so that an administrator is asked once.
pub(super) fn require<'m>(
    db: &mut impl Statements,
    migrations: impl Iterator<Item = &'m Embedded>,
    own_schema: OwnSchema,
) -> Result<(), MigrateError> {
    let row = db.query_one(
        "SELECT quote_ident(current_user), quote_ident(current_database()),
                has_database_privilege(current_database(), 'CREATE')",
        &[],
    )?;
    let text = |column: usize| row.try_get::<_, String>(column).map_err(PgError::from);
    let (role, database) = (text(0)?, text(1)?);
    let may_create: bool = row.try_get(2).map_err(PgError::from)?;

    let mut lacking = Lacking::default();
    let (mut own, mut quays) = (false, false);
    for migration in migrations {
        match migration.way {
            Way::OwnSchema => own = true,
            Way::PolicyTables | Way::Concurrently => quays = true,
        }
    }
    match own_schema {
        OwnSchema::Absent if own && !may_create => lacking.add(
            format!("create a schema in database {database}"),
            format!("GRANT CREATE ON DATABASE {database} TO {role}"),
        ),
        OwnSchema::Present if own || quays => own_schema_rights(db, &role, &mut lacking)?,
        OwnSchema::Absent | OwnSchema::Present => {}
    }
    if quays {
        policy_table_rights(db, &role, &mut lacking)?;
    }
    if lacking.rights.is_empty() {
        return Ok(());
    }
    Err(MigrateError::Privileges {
        role,
        lacking: lacking.rights,
        remedies: lacking.remedies,
    })
}

/// In a schema that is there we create tables, and alter or drop those that are there.
fn own_schema_rights(
    db: &mut impl Statements,
    role: &str,
    lacking: &mut Lacking,
) -> Result<(), PgError> {
    let row = db.query_one(
        "SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
         FROM pg_namespace WHERE nspname = $1",
        &[&SCHEMA],
    )?;
    if !row.try_get::<_, bool>(0)? {
        lacking.add(
            format!("use and fill the schema {SCHEMA}"),
            format!("GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {role}"),
        );
    }
    let others = db.query(
        "SELECT class.relname::text, quote_ident(pg_get_userbyid(class.relowner))
         FROM pg_class AS class
         JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
         WHERE schema.nspname = $1 AND class.relkind = 'r'
           AND NOT pg_has_role(class.relowner, 'USAGE')
         ORDER BY class.relname LIMIT 20",
        &[&SCHEMA],
    )?;
    for row in &others {
        let (table, owner): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        lacking.add(
            format!("alter {SCHEMA}.{table}, which belongs to {owner}"),
            format!("GRANT {owner} TO {role}, or run this as {owner}"),
        );
    }
    Ok(())
}

/// Only its owner may alter a table; CREATE INDEX wants CREATE on the table's schema as well.
fn policy_table_rights(
    db: &mut impl Statements,
    role: &str,
    lacking: &mut Lacking,
) -> Result<(), PgError> {
    for table in PolicyTable::IN_LOCK_ORDER {
        let row = db.query_one(
            "SELECT pg_has_role(class.relowner, 'USAGE'),
                    quote_ident(pg_get_userbyid(class.relowner)),
                    has_schema_privilege(class.relnamespace, 'CREATE'),
                    quote_ident(schema.nspname)
             FROM pg_class AS class
             JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
             WHERE class.oid = to_regclass($1)",
            &[&table.name()],
        )?;
        let (owner, schema): (String, String) = (row.try_get(1)?, row.try_get(3)?);
        if !row.try_get::<_, bool>(0)? {
            lacking.add(
                format!("alter {}, which belongs to {owner}", table.name()),
                format!("GRANT {owner} TO {role}, or run this as {owner}"),
            );
        }
        if !row.try_get::<_, bool>(2)? {
            lacking.add(
                format!("create the index of {} in schema {schema}", table.name()),
                format!("GRANT CREATE ON SCHEMA {schema} TO {role}"),
            );
        }
    }
    Ok(())
}

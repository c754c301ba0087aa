//! Namespaces and repositories: names, and who governs what.

use sea_query::Query;

use super::scope::named;
use crate::evaluate::{Namespace, Registry, Repository, Source};
use crate::pg::{Built, Columns, PgError, Statements};
use crate::quay::{NamespaceId, RepositoryId};

/// Which part of the registry is meant, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this repository of it.
    pub repository: Option<String>,
}

/// Reads every namespace and repository that is selected.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn census(pg: &mut impl Statements, selection: &Selection) -> Result<Registry, PgError> {
    let mut registry = Registry::default();
    let namespaces = named(pg.query(
        r#"
        SELECT id, username
        FROM "user"
        WHERE NOT robot AND ($1::text IS NULL OR username = $1)
        "#,
        &[&selection.namespace],
    ))?;
    if selection.namespace.is_some() && namespaces.is_empty() {
        return Ok(registry);
    }
    for row in namespaces {
        let name = row.read(1)?;
        registry
            .namespaces
            .insert(NamespaceId(row.read(0)?), Namespace { name });
    }
    let repositories = named(pg.query(
        r#"
        SELECT r.id, r.namespace_user_id, r.name, r.state
        FROM repository r
        LEFT JOIN "user" u ON u.id = r.namespace_user_id
        WHERE ($1::text IS NULL OR u.username = $1) AND ($2::text IS NULL OR r.name = $2)
        "#,
        &[&selection.namespace, &selection.repository],
    ))?;
    for row in repositories {
        let repository = Repository {
            namespace: row.read::<Option<i32>>(1)?.map(NamespaceId),
            name: row.read(2)?,
            state: row.read::<i32>(3)?.into(),
        };
        registry
            .repositories
            .insert(RepositoryId(row.read(0)?), repository);
    }
    Ok(registry)
}

/// Adds where organisations' images come from, for the namespaces that are there. A Quay that has
/// no such table has no such organisation; a role that may not read one leaves it unknown. One
/// column is all that it has to read: the others hold credentials of upstream registries.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn add_sources(pg: &mut impl Statements, registry: &mut Registry) -> Result<(), PgError> {
    // A mirrored organisation that is a proxy cache, too, is mirrored: the second table wins.
    for (table, source) in [
        ("proxycacheconfig", Source::ProxyCache),
        ("orgmirrorconfig", Source::Mirror),
    ] {
        let row = pg.query_one(
            r"
            SELECT to_regclass($1) IS NOT NULL,
                coalesce(has_column_privilege(to_regclass($1), 'organization_id', 'SELECT'), false)
            ",
            &[&table],
        )?;
        match (row.read(0)?, row.read(1)?) {
            (false, _) => {}
            (true, false) => registry.sources_unreadable = Some(table),
            (true, true) => {
                let ids = Built::of(Query::select().column("organization_id").from(table));
                for row in pg.query(ids.text(), &ids.values())? {
                    let id = NamespaceId(row.read(0)?);
                    if registry.namespaces.contains_key(&id) {
                        registry.sources.insert(id, source);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Some repositories with their namespaces, as they are now.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn registry_of(pg: &mut impl Statements, ids: &[RepositoryId]) -> Result<Registry, PgError> {
    let mut registry = Registry::default();
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r#"
        SELECT r.namespace_user_id, r.name, r.state, u.username, r.id
        FROM repository r
        LEFT JOIN "user" u ON u.id = r.namespace_user_id
        WHERE r.id = ANY ($1)
        "#,
        &[&ids],
    )?;
    for row in &rows {
        let namespace = row.read::<Option<i32>>(0)?.map(NamespaceId);
        let repository = Repository {
            namespace,
            name: row.read(1)?,
            state: row.read::<i32>(2)?.into(),
        };
        registry
            .repositories
            .insert(RepositoryId(row.read(4)?), repository);
        if let (Some(namespace), Some(name)) = (namespace, row.read(3)?) {
            registry.namespaces.insert(namespace, Namespace { name });
        }
    }
    Ok(registry)
}

/// Names that are no UTF-8, in a database that takes any bytes.
const UNREADABLE: &str = r#"
    WITH named (what, id, name) AS (
        SELECT 'tag', id, name FROM tag
        UNION ALL SELECT 'repository', id, name FROM repository
        UNION ALL SELECT 'namespace', id, username FROM "user"
    )
    SELECT format('%s %s (%s)', what, id, encode(convert_to(name, 'SQL_ASCII'), 'escape'))
    FROM named
    WHERE (name COLLATE "C" !~ '^(?:[\x01-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*$')
    ORDER BY what, id
    LIMIT $1
"#;

/// Rows whose names cannot be read, at most `limit`: in SQL_ASCII a name is any bytes. None where the database
/// has an encoding, since the server then knows every character.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn unreadable_names(pg: &mut impl Statements, limit: u32) -> Result<Vec<String>, PgError> {
    let row = pg.query_one(
        "SELECT current_setting('server_encoding') = 'SQL_ASCII'",
        &[],
    )?;
    if !row.read::<bool>(0)? {
        return Ok(Vec::new());
    }
    pg.query(UNREADABLE, &[&i64::from(limit)])?
        .iter()
        .map(|row| row.read(0))
        .collect()
}

//! The scope of a policy operation: found by name, walked by keyset.

use std::collections::{BTreeMap, BTreeSet};

use sea_query::{Cond, Expr, ExprTrait as _, Order, Query, Value};

use crate::pattern::SqlCondition;
use crate::pg::{Built, Columns, FaultClass, PgError, Row, Statements};
use crate::quay::{Immutability, NamespaceId, RepositoryId, Scope, TagId, UnixMillis};

/// A row of `"user"`, as far as a policy operation asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRow {
    /// `id`.
    pub id: NamespaceId,
    /// `enabled`.
    pub enabled: bool,
    /// `robot`.
    pub robot: bool,
    /// Whether an organisation mirror fills it (`orgmirrorconfig`).
    pub mirrored: bool,
}

/// Finds a namespace by name.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn namespace_by_name(
    pg: &mut impl Statements,
    name: &str,
) -> Result<Option<NamespaceRow>, PgError> {
    let row = named(pg.query_opt(
        r#"
        SELECT u.id, u.enabled, u.robot,
            EXISTS (SELECT FROM orgmirrorconfig m WHERE m.organization_id = u.id)
        FROM "user" u
        WHERE u.username = $1
        "#,
        &[&name],
    ))?;
    row.map(|row| {
        Ok(NamespaceRow {
            id: NamespaceId(row.read(0)?),
            enabled: row.read(1)?,
            robot: row.read(2)?,
            mirrored: row.read(3)?,
        })
    })
    .transpose()
}

/// The name of a namespace; empty where the row is not there.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn namespace_name(pg: &mut impl Statements, id: NamespaceId) -> Result<String, PgError> {
    let row = pg.query_opt(r#"SELECT username FROM "user" WHERE id = $1"#, &[&id.0])?;
    row.map_or_else(|| Ok(String::new()), |row| row.read(0))
}

/// Finds a repository of a namespace by name; not one that is marked for deletion (state 3).
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn repository_by_name(
    pg: &mut impl Statements,
    namespace: NamespaceId,
    name: &str,
) -> Result<Option<RepositoryId>, PgError> {
    let row = named(pg.query_opt(
        "SELECT id FROM repository WHERE namespace_user_id = $1 AND name = $2 AND state <> 3",
        &[&namespace.0, &name],
    ))?;
    row.map(|row| row.read(0).map(RepositoryId)).transpose()
}

/// Repositories that are read at once.
const REPOSITORIES: i64 = 100_000;

/// What was found by a name; nothing where the database's encoding has no such characters, since nothing in it
/// can have that name.
pub(super) fn named<T: Default>(found: Result<T, PgError>) -> Result<T, PgError> {
    match found {
        Err(error) if error.is_unrepresentable() => Ok(T::default()),
        found => found,
    }
}

/// The repositories of a scope, by id.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn repositories_of(
    pg: &mut impl Statements,
    scope: Scope,
) -> Result<Vec<RepositoryId>, PgError> {
    match scope {
        Scope::Repository(id) => Ok(vec![id]),
        Scope::Namespace(id) => {
            let (mut found, mut last, mut limit) = (Vec::new(), 0, REPOSITORIES);
            loop {
                let page = pg.query(
                    r"
                    SELECT id FROM repository
                    WHERE namespace_user_id = $1 AND id > $2 ORDER BY id LIMIT $3
                    ",
                    &[&id.0, &last, &limit],
                );
                let page = match page {
                    Err(error) if error.class() == FaultClass::StatementTimeout && limit > 1 => {
                        limit /= 2;
                        continue;
                    }
                    page => page?,
                };
                for row in &page {
                    last = row.read(0)?;
                    found.push(RepositoryId(last));
                }
                if (page.len() as i64) < limit {
                    return Ok(found);
                }
            }
        }
    }
}

/// Whether a scope has at most so many repositories, and so many rows of tags in them, dead or alive. It reads no more than
/// that, by indexes.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn is_small(
    pg: &mut impl Statements,
    scope: Scope,
    repositories: u32,
    rows: u32,
) -> Result<bool, PgError> {
    let ids: Vec<i32> = match scope {
        Scope::Repository(id) => vec![id.0],
        Scope::Namespace(id) => pg
            .query(
                "SELECT id FROM repository WHERE namespace_user_id = $1 LIMIT $2",
                &[&id.0, &(i64::from(repositories) + 1)],
            )?
            .iter()
            .map(|row| row.read(0))
            .collect::<Result<_, _>>()?,
    };
    if ids.len() > repositories as usize {
        return Ok(false);
    }
    let row = pg.query_one(
        "SELECT count(*) FROM (SELECT FROM tag WHERE repository_id = ANY ($1) LIMIT $2) AS found",
        &[&ids, &(i64::from(rows) + 1)],
    )?;
    Ok(row.read::<i64>(0)? <= i64::from(rows))
}

/// A page of a repository's tags in (name, id) order, after a place: four of the tag table's indexes
/// begin with repository and name, and are then updated locally. Names never change, so that what
/// a pattern says of a row holds until the row is locked.
///
/// Every row counts towards the limit, also those that are left out: a condition in the WHERE would
/// let the planner take another index and sort all that is left for each page.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn page_of_tags(pg: &mut impl Statements, page: &Page<'_>) -> Result<Paged, PgError> {
    let (name, id) = page.after.unwrap_or(("", TagId(0)));
    let rows = pg.query(
        r"
        SELECT id, name, lifetime_end_ms IS NOT NULL,
            immutable = $2 AND NOT hidden AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $3)
        FROM tag
        WHERE repository_id = $1 AND (name, id) > ($4, $5)
        ORDER BY name, id
        LIMIT $6
        ",
        &[
            &page.repository.0,
            &page.immutability.as_column(),
            &page.now.0,
            &name,
            &id.0,
            &i64::from(page.limit),
        ],
    )?;
    let next = match rows.last() {
        Some(last) if rows.len() >= page.limit as usize => {
            Some((last.read(1)?, TagId(last.read(0)?)))
        }
        _ => None,
    };
    let mut tags = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.read(3)? {
            tags.push(paged_tag(row)?);
        }
    }
    Ok(Paged { tags, next })
}

/// The tags of several repositories, in (repository, name, id) order, and which of the repositories have more than `most`
/// rows: of those nothing is returned.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn tags_of_small(
    pg: &mut impl Statements,
    repositories: &[RepositoryId],
    immutability: Immutability,
    now: UnixMillis,
    most: u32,
) -> Result<OfSmall, PgError> {
    let ids: Vec<i32> = repositories.iter().map(|id| id.0).collect();
    let rows = pg.query(
        r"
        SELECT tag.id, tag.name, tag.lifetime_end_ms IS NOT NULL,
            tag.immutable = $2 AND NOT tag.hidden
                AND (tag.lifetime_end_ms IS NULL OR tag.lifetime_end_ms > $3),
            asked.id
        FROM unnest($1::int[]) AS asked (id)
        CROSS JOIN LATERAL (
            SELECT * FROM tag WHERE tag.repository_id = asked.id LIMIT $4
        ) tag
        ORDER BY asked.id, tag.name, tag.id
        ",
        &[
            &ids,
            &immutability.as_column(),
            &now.0,
            &(i64::from(most) + 1),
        ],
    )?;
    let mut of_small = OfSmall {
        rows: rows.len(),
        ..OfSmall::default()
    };
    let mut sizes: BTreeMap<RepositoryId, u32> = BTreeMap::new();
    for row in &rows {
        *sizes.entry(RepositoryId(row.read(4)?)).or_default() += 1;
    }
    of_small.large = sizes
        .into_iter()
        .filter_map(|(repository, rows)| (rows > most).then_some(repository))
        .collect();
    for row in &rows {
        let repository = RepositoryId(row.read(4)?);
        if row.read(3)? && !of_small.large.contains(&repository) {
            of_small.tags.push((repository, paged_tag(row)?));
        }
    }
    Ok(of_small)
}

/// What several repositories hold.
#[derive(Clone, Debug, Default)]
pub struct OfSmall {
    /// The tags that were asked for.
    pub tags: Vec<(RepositoryId, PagedTag)>,
    /// Repositories that are not small.
    pub large: BTreeSet<RepositoryId>,
    /// Rows that were read.
    pub rows: usize,
}

/// All live mutable tags of repositories, of a single one after a place, in (repository, name, id) order as the database
/// sorts names, where they are no more than `most`: what is left after the tags were marked is little, and
/// need not be looked for among all.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn mutable_tags(
    pg: &mut impl Statements,
    repositories: &[RepositoryId],
    after: Option<(&str, TagId)>,
    now: UnixMillis,
    narrowing: Option<&SqlCondition>,
    most: u32,
) -> Result<Option<Vec<(RepositoryId, PagedTag)>>, PgError> {
    let (name, id) = after.unwrap_or(("", TagId(0)));
    let name_column = Expr::col("name");
    let of = match repositories {
        [one] => Expr::col("repository_id").eq(one.0),
        several => {
            let ids: Vec<i32> = several.iter().map(|id| id.0).collect();
            Expr::cust_with_values("repository_id = ANY ($1)", [Value::from(ids)])
        }
    };
    let few = Query::select()
        .columns(["id", "name"])
        .expr_as(Expr::col("lifetime_end_ms").is_not_null(), "expires")
        .column("repository_id")
        .from("tag")
        .and_where(of)
        .and_where(Expr::col("immutable").not())
        .and_where(Expr::col("hidden").not())
        .cond_where(alive_at(now))
        .and_where(Expr::cust_with_values(
            "(name, id) > ($1, $2)",
            [Value::from(name), id.0.into()],
        ))
        .cond_where(narrowing.map_or_else(Cond::all, |narrowing| narrowing.on(&name_column)))
        .limit(u64::from(most) + 1)
        .take();
    let statement = Built::of(
        Query::select()
            .columns(["id", "name", "expires", "repository_id"])
            .from_subquery(few, "few")
            .order_by("repository_id", Order::Asc)
            .order_by("name", Order::Asc)
            .order_by("id", Order::Asc),
    );
    let rows = pg.query(statement.text(), &statement.values())?;
    if rows.len() > most as usize {
        return Ok(None);
    }
    rows.iter()
        .map(|row| Ok((RepositoryId(row.read(3)?), paged_tag(row)?)))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn paged_tag(row: &Row) -> Result<PagedTag, PgError> {
    Ok(PagedTag {
        id: TagId(row.read(0)?),
        name: row.read(1)?,
        expires: row.read(2)?,
    })
}

/// What a page holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged {
    /// The tags that were asked for.
    pub tags: Vec<PagedTag>,
    /// After which row the next page begins; none where this is the last.
    pub next: Option<(String, TagId)>,
}

/// A row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedTag {
    /// The tag.
    pub id: TagId,
    /// Its name.
    pub name: String,
    /// Whether it has an end.
    pub expires: bool,
}

/// Which page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Of which repository.
    pub repository: RepositoryId,
    /// After which row.
    pub after: Option<(&'a str, TagId)>,
    /// Tags that are what.
    pub immutability: Immutability,
    /// Alive when.
    pub now: UnixMillis,
    /// How many rows at most.
    pub limit: u32,
}

/// `tag_id_seq`'s last value: rows with greater ids are pushed later. Times lie: Quay takes its
/// clock before its lock.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn last_tag_id(pg: &mut impl Statements) -> Result<i64, PgError> {
    pg.query_one("SELECT last_value FROM tag_id_seq", &[])?
        .read(0)
}

/// Live immutable tags of a scope that were pushed after this id, at most `limit`.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn pushed_since(
    pg: &mut impl Statements,
    scope: Scope,
    last_id: i64,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<(TagId, RepositoryId, String)>, PgError> {
    let statement = Built::of(
        Query::select()
            .columns(["id", "repository_id", "name"])
            .from("tag")
            .cond_where(tag_in(scope))
            // The sequence may be ahead of every id.
            .and_where(Expr::col("id").cast_as("bigint").gt(last_id))
            .and_where(Expr::col("immutable"))
            .and_where(Expr::col("hidden").not())
            .cond_where(alive_at(now))
            .order_by("id", Order::Asc)
            .limit(limit.into()),
    );
    pg.query(statement.text(), &statement.values())?
        .iter()
        .map(|row| {
            Ok((
                TagId(row.read(0)?),
                RepositoryId(row.read(1)?),
                row.read(2)?,
            ))
        })
        .collect()
}

/// A row of `tag` belongs to a repository of the scope.
pub(super) fn tag_in(scope: Scope) -> Cond {
    let repository = Expr::col("repository_id");
    Cond::all().add(match scope {
        Scope::Repository(id) => repository.eq(id.0),
        Scope::Namespace(id) => repository.in_subquery(
            Query::select()
                .column("id")
                .from("repository")
                .and_where(Expr::col("namespace_user_id").eq(id.0))
                .take(),
        ),
    })
}

/// A row of `tag` has no end, or one that is still to come.
pub(super) fn alive_at(now: UnixMillis) -> Cond {
    Cond::any()
        .add(Expr::col("lifetime_end_ms").is_null())
        .add(Expr::col("lifetime_end_ms").gt(now.0))
}

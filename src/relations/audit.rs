//! Quay's audit log, read: users' acts on tags, and pushes that a policy made immutable.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use chrono::{Duration, NaiveDateTime};
use sea_query::{Cond, Expr, ExprTrait as _, JoinType, Query, SelectStatement};

use crate::evaluate::{Act, Found, TagRow};
use crate::pg::{Built, Columns, PgError, Row, Statements, Streams};
use crate::quay::{
    AuditEntryId, AuditKind, AuditedChange, ImmutabilityChange, MARK_KEY, NamespaceId,
    RepositoryId, UnixMillis,
};

/// The tables of the audit log, the one in use first. The others hold what older versions wrote.
const TABLES: [&str; 3] = [LOG_IN_USE, "logentry2", "logentry"];

/// The table that every Quay with immutability writes into.
pub(super) const LOG_IN_USE: &str = "logentry3";

/// An entry's time is naive and in the application server's zone; against a tag's own start, which
/// is UTC, that leaves up to a day of doubt. In doubt an entry counts.
const ZONE_DOUBT: Duration = Duration::hours(24);

/// Whether the audit log can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditLog {
    /// It has entries.
    Kept,
    /// It has none: a new registry, or one whose Quay writes its log elsewhere.
    Empty,
    /// The role may not read it.
    Unreadable,
}

/// Looks whether the audit log has entries.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn audit_log(pg: &mut impl Statements) -> Result<AuditLog, PgError> {
    let mut found = AuditLog::Empty;
    for table in TABLES {
        let row = pg.query_one(
            r"
            SELECT to_regclass($1) IS NOT NULL,
                coalesce(has_table_privilege(to_regclass($1), 'SELECT'), false)
            ",
            &[&table],
        )?;
        match (row.read(0)?, row.read(1)?) {
            (false, _) => {}
            (true, false) => return Ok(AuditLog::Unreadable),
            (true, true) => {
                let any = Query::select().expr(Expr::cust("1")).from(table).take();
                let statement = Built::of(Query::select().expr(Expr::exists(any)));
                let row = pg.query_one(statement.text(), &statement.values())?;
                if row.read(0)? {
                    found = AuditLog::Kept;
                }
            }
        }
    }
    Ok(found)
}

/// An act on a tag, as an entry has it.
type AuditedAct = (ImmutabilityChange, Act);

/// A tag by its repository and name.
type NamedTag = (RepositoryId, String);

/// Entries that are read together.
const AT_ONCE: i32 = 1_000;

/// Entries about tags of some names, of which the server leaves out most of the others.
///
/// That is sure to lose none. A JSON text holds `"tag"`, quotes included, only as a whole string or
/// as the end of a longer one, for within a string a quote has a backslash before it and this one
/// is closed. Where it is there once, and no letter of it is written as an escape, it is therefore
/// the one key of that name; what stands between the next two quotes is the key's value, whole
/// where it holds no backslash, and not the value of `tag` at all where that is no string. Every
/// other text is let through: twice `"tag"`, an escaped letter, a value with a backslash. Python
/// escapes no letter, so that of Quay's own entries only names beyond ASCII, or with a quote, a
/// backslash or a control character, take the long way.
const ABOUT_NAMES: &str = r#"(
    split_part(e.metadata_json, '"tag"', 3) <> ''
        OR strpos(e.metadata_json, '\u0074') > 0
        OR strpos(e.metadata_json, '\u0061') > 0
        OR strpos(e.metadata_json, '\u0067') > 0
        OR strpos(split_part(split_part(e.metadata_json, '"tag"', 2), '"', 2), '\') > 0
        OR split_part(split_part(e.metadata_json, '"tag"', 2), '"', 2)
            IN (SELECT unnest($1::text[]))
)"#;

/// What users did to some tags: the newest act on each that says something.
#[derive(Debug, Default)]
pub struct AuditTrail {
    newest: HashMap<NamedTag, AuditedAct>,
}

impl AuditTrail {
    /// Reads the `change_tag_immutability` entries about these tags that we did not write. Memory
    /// holds one act a name.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer with rows.
    pub fn about(pg: &mut impl Streams, tags: &[TagRow]) -> Result<Self, PgError> {
        let asked: HashSet<(RepositoryId, &str)> =
            tags.iter().map(|t| (t.repository, &*t.name)).collect();
        let mut newest: HashMap<NamedTag, AuditedAct> = HashMap::new();
        entries(pg, &asked, earliest(tags), |tag, act| {
            if says_something(&act) {
                keep_newest(&mut newest, tag, act);
            }
        })?;
        Ok(Self { newest })
    }

    /// Reads every entry about tags of some repositories that we did not write, from after `after` on:
    /// then only those of the log in use, for nobody writes into the others any more. Ends early
    /// where there are more than `most` names.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer with rows.
    pub(super) fn read_on(
        &mut self,
        pg: &mut impl Streams,
        repositories: &[RepositoryId],
        after: Option<AuditEntryId>,
        most: usize,
    ) -> Result<(), PgError> {
        if after.is_some() {
            return self.read_table_on(pg, LOG_IN_USE, repositories, after, most);
        }
        for table in TABLES {
            let there = pg.query_one("SELECT to_regclass($1::text)::oid", &[&table])?;
            if there.read::<Option<u32>>(0)?.is_some() {
                self.read_table_on(pg, table, repositories, None, most)?;
            }
        }
        Ok(())
    }

    fn read_table_on(
        &mut self,
        pg: &mut impl Streams,
        table: &'static str,
        repositories: &[RepositoryId],
        after: Option<AuditEntryId>,
        most: usize,
    ) -> Result<(), PgError> {
        let mark = format!("\"{MARK_KEY}\":");
        // Of our own entries there can be as many as tags of a run; the server leaves them out.
        let by_others = Expr::cust_with_values(
            "left(split_part(e.metadata_json, $1, 2), 1) NOT BETWEEN '1' AND '9'",
            [mark],
        );
        let after = after.map(|entry| Expr::cust_with_values("e.id > $1::bigint", [entry.0]));
        let statement = Built::of(
            changes_in(table)
                .and_where(in_repositories(repositories))
                .and_where_option(after)
                .and_where(by_others),
        );
        let newest = &mut self.newest;
        pg.stream(statement.text(), &statement.values(), AT_ONCE, |rows| {
            for row in &rows {
                if let Some((tag, act)) = audited(row)?
                    && says_something(&act)
                {
                    keep_newest(newest, tag, act);
                }
            }
            Ok::<_, PgError>(if newest.len() > most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })
    }

    /// How many names have acts.
    pub(super) fn names(&self) -> usize {
        self.newest.len()
    }

    /// What the newest act on this row says.
    pub fn newest_on(&self, row: &TagRow) -> Option<Found> {
        let (change, act) = self.newest.get(&(row.repository, row.name.clone()))?;
        // What is older than the newest is older than the row, too.
        if counts_from(row).is_some_and(|earliest| act.at < earliest) {
            return None;
        }
        Some(match change {
            ImmutabilityChange::Set => Found::SetByUser(act.clone()),
            _ => Found::TakenOffByAdministrator(act.clone()),
        })
    }
}

/// The newest acts on tags of one name, oldest first; at most so many.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn acts_on(
    pg: &mut impl Streams,
    repository: RepositoryId,
    name: &str,
    most: usize,
) -> Result<Vec<(ImmutabilityChange, Act)>, PgError> {
    let mut acts = BTreeMap::new();
    entries(pg, &HashSet::from([(repository, name)]), None, |_, act| {
        acts.insert((act.1.at, act.1.entry), act);
        if acts.len() > most {
            acts.pop_first();
        }
    })?;
    Ok(acts.into_values().collect())
}

/// The `change_tag_immutability` entries of a table of the audit log, called `e`, for [`audited`].
fn changes_in(table: &'static str) -> SelectStatement {
    let kind = AuditKind::ChangeTagImmutability.name();
    Query::select()
        .expr(Expr::cust("e.id::bigint"))
        .columns([
            ("e", "repository_id"),
            ("e", "datetime"),
            ("e", "metadata_json"),
        ])
        .from_as(table, "e")
        .join_as(
            JoinType::InnerJoin,
            "logentrykind",
            "k",
            Cond::all()
                .add(Expr::col(("k", "id")).equals(("e", "kind_id")))
                .add(Expr::col(("k", "name")).eq(kind)),
        )
        .take()
}

/// An entry is about one of these repositories; about a single one as a plain comparison, which every index serves.
fn in_repositories(repositories: &[RepositoryId]) -> Expr {
    match repositories {
        [one] => Expr::col(("e", "repository_id")).eq(one.0),
        several => {
            let ids: Vec<i32> = several.iter().map(|id| id.0).collect();
            Expr::cust_with_values("e.repository_id = ANY ($1)", [ids])
        }
    }
}

/// Gives every entry about one of these tags to `take`, in no order.
fn entries(
    pg: &mut impl Streams,
    asked: &HashSet<(RepositoryId, &str)>,
    since: Option<NaiveDateTime>,
    mut take: impl FnMut(NamedTag, AuditedAct),
) -> Result<(), PgError> {
    let repositories: BTreeSet<RepositoryId> = asked.iter().map(|(id, _)| *id).collect();
    let repositories: Vec<RepositoryId> = repositories.into_iter().collect();
    let names: Vec<String> = asked.iter().map(|(_, name)| (*name).to_owned()).collect();
    for table in TABLES {
        if pg
            .query_one("SELECT to_regclass($1::text)::oid", &[&table])?
            .read::<Option<u32>>(0)?
            .is_none()
        {
            continue;
        }
        let statement = Built::of(
            changes_in(table)
                .and_where(in_repositories(&repositories))
                .and_where_option(since.map(|since| Expr::col(("e", "datetime")).gte(since)))
                .and_where(Expr::cust_with_values(ABOUT_NAMES, [names.clone()])),
        );
        pg.stream(statement.text(), &statement.values(), AT_ONCE, |rows| {
            for row in &rows {
                if let Some((tag, act)) = audited(row)?
                    && asked.contains(&(tag.0, &*tag.1))
                {
                    take(tag, act);
                }
            }
            Ok::<_, PgError>(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

/// The act that an entry tells of, and on which tag; none where it is one of ours, or nobody's.
fn audited(row: &Row) -> Result<Option<(NamedTag, AuditedAct)>, PgError> {
    let Some(read) = AuditedChange::from_metadata(row.read(3)?) else {
        return Ok(None);
    };
    let act = Act {
        entry: AuditEntryId(row.read(0)?),
        at: row.read(2)?,
        user: read.user,
    };
    let tag = (RepositoryId(row.read(1)?), read.tag);
    Ok(Some((tag, (read.change, act))))
}

/// An entry by which nothing changed and nothing is immutable says nothing.
fn says_something(act: &AuditedAct) -> bool {
    act.0 != ImmutabilityChange::StayedOff
}

/// Keeps the newer of two acts on a tag.
fn keep_newest(newest: &mut HashMap<NamedTag, AuditedAct>, tag: NamedTag, act: AuditedAct) {
    match newest.entry(tag) {
        Entry::Vacant(place) => {
            place.insert(act);
        }
        Entry::Occupied(mut place) => {
            let known = &place.get().1;
            if (known.at, known.entry) < (act.1.at, act.1.entry) {
                place.insert(act);
            }
        }
    }
}

/// From when on an entry can be about a row; none where that cannot be said.
fn counts_from(row: &TagRow) -> Option<NaiveDateTime> {
    naive(row.start).map(|start| start - ZONE_DOUBT)
}

/// From when on an entry can be about any of the rows. The server knows no times as early as ours.
fn earliest(tags: &[TagRow]) -> Option<NaiveDateTime> {
    let earliest = tags.iter().map(|row| row.start).min()?;
    naive(earliest)
        .filter(|_| earliest.0 > 0)
        .map(|start| start - ZONE_DOUBT)
}

fn naive(time: UnixMillis) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_millis(time.0).map(|time| time.naive_utc())
}

/// Which of these tag names Quay says to have made immutable by a policy at a push since a time:
/// `tag_made_immutable_by_policy`, which names namespace and tag and, by a defect, no repository.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub fn made_immutable_at_push(
    pg: &mut impl Statements,
    namespace: NamespaceId,
    since: chrono::DateTime<chrono::Utc>,
) -> Result<std::collections::HashSet<String>, PgError> {
    let since = since.naive_utc() - ZONE_DOUBT;
    let rows = pg.query(
        r"
        SELECT e.metadata_json
        FROM logentry3 e
        JOIN logentrykind k ON k.id = e.kind_id AND k.name = $1
        WHERE e.account_id = $2 AND e.datetime >= $3
        ",
        &[
            &AuditKind::TagMadeImmutableByPolicy.name(),
            &namespace.0,
            &since,
        ],
    )?;
    let mut names = std::collections::HashSet::new();
    for row in &rows {
        let metadata: serde_json::Value =
            serde_json::from_str(row.read(0)?).unwrap_or(serde_json::Value::Null);
        if let Some(name) = metadata["tag"].as_str() {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

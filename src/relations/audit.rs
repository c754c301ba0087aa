//! Quay's audit log: users' acts on tags, read; marked entries of ours, written.

use std::collections::HashMap;

use chrono::{Duration, NaiveDateTime};

use crate::evaluate::{Act, Found, TagRow};
use crate::pg::{Columns, PgError, Statements, WriteTransaction};
use crate::quay::{
    AuditEntryId, AuditKind, Immutability, ImmutabilityChange, MARK_KEY, NamespaceId, OperationId,
    RepositoryId, UnixMillis,
};

/// The tables of the audit log, the one in use first. The others hold what older versions wrote.
const TABLES: [&str; 3] = ["logentry3", "logentry2", "logentry"];

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
                let row = pg.query_one(&format!("SELECT EXISTS (SELECT FROM {table})"), &[])?;
                if row.read(0)? {
                    found = AuditLog::Kept;
                }
            }
        }
    }
    Ok(found)
}

/// Users' acts on the tags of some repositories.
#[derive(Debug, Default)]
pub struct AuditTrail {
    acts: HashMap<(RepositoryId, String), Vec<(ImmutabilityChange, Act)>>,
}

impl AuditTrail {
    /// Reads every `change_tag_immutability` entry of the repositories that we did not write.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer with rows.
    pub fn read(pg: &mut impl Statements, repositories: &[RepositoryId]) -> Result<Self, PgError> {
        let ids: Vec<i32> = repositories.iter().map(|id| id.0).collect();
        let kind = AuditKind::ChangeTagImmutability.name();
        let mut trail = Self::default();
        for table in TABLES {
            if pg
                .query_one("SELECT to_regclass($1::text)::oid", &[&table])?
                .read::<Option<u32>>(0)?
                .is_none()
            {
                continue;
            }
            // Our own marked entries can be as many as the tags of a run; the server leaves them out.
            let entries = pg.query(
                &format!(
                    r"
                    SELECT e.id::bigint, e.repository_id, e.datetime, e.metadata_json
                    FROM {table} e
                    JOIN logentrykind k ON k.id = e.kind_id AND k.name = $1
                    WHERE e.repository_id = ANY ($2) AND strpos(e.metadata_json, $3) = 0
                    ORDER BY e.datetime, e.id
                    "
                ),
                &[&kind, &ids, &format!("\"{MARK_KEY}\"")],
            )?;
            for entry in &entries {
                let metadata: &str = entry.read(3)?;
                let Some((tag, change)) = ImmutabilityChange::from_metadata(metadata) else {
                    continue;
                };
                let act = Act {
                    entry: AuditEntryId(entry.read(0)?),
                    at: entry.read(2)?,
                    user: ImmutabilityChange::username(metadata),
                };
                let repository = RepositoryId(entry.read(1)?);
                trail
                    .acts
                    .entry((repository, tag))
                    .or_default()
                    .push((change, act));
            }
        }
        for acts in trail.acts.values_mut() {
            acts.sort_by_key(|(_, act)| (act.at, act.entry));
        }
        Ok(trail)
    }

    /// Every act on tags of this name, oldest first.
    pub fn acts_on(
        &self,
        repository: RepositoryId,
        name: &str,
    ) -> impl Iterator<Item = (ImmutabilityChange, &Act)> {
        let acts = self.acts.get(&(repository, name.to_owned()));
        acts.into_iter()
            .flatten()
            .map(|(change, act)| (*change, act))
    }

    /// What the newest act on this row says. An entry by which nothing changed and nothing is
    /// immutable says nothing.
    pub fn newest_on(&self, row: &TagRow) -> Option<Found> {
        let earliest = naive(row.start).map(|start| start - ZONE_DOUBT);
        self.acts
            .get(&(row.repository, row.name.clone()))?
            .iter()
            .rev()
            .filter(|(change, _)| *change != ImmutabilityChange::StayedOff)
            .find(|(_, act)| earliest.is_none_or(|earliest| act.at >= earliest))
            .map(|(change, act)| match change {
                ImmutabilityChange::Set => Found::SetByUser(act.clone()),
                _ => Found::TakenOffByAdministrator(act.clone()),
            })
    }
}

fn naive(time: UnixMillis) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_millis(time.0).map(|time| time.naive_utc())
}

/// One marked `change_tag_immutability` entry, as Quay would have written it for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedChange {
    /// The tag's name.
    pub tag: String,
    /// Its repository.
    pub repository: RepositoryId,
    /// The repository's name.
    pub repository_name: String,
    /// Its namespace; the entry's account.
    pub namespace: NamespaceId,
    /// The namespace's name.
    pub namespace_name: String,
    /// As the tag was.
    pub before: Immutability,
    /// As it is now.
    pub after: Immutability,
}

/// Writes one marked entry a tag into `logentry3`, in the transaction of the change. Nothing is
/// written where Quay has no such kind: it is then older than immutability.
///
/// # Errors
/// [`PgError`] where the rows cannot be written.
pub fn write_marked_changes(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    actor: &str,
    changes: &[MarkedChange],
) -> Result<(), PgError> {
    let accounts: Vec<i32> = changes.iter().map(|change| change.namespace.0).collect();
    let repositories: Vec<i32> = changes.iter().map(|change| change.repository.0).collect();
    let metadata: Vec<String> = changes
        .iter()
        .map(|change| {
            // Quay's own keys, in its order, and then the mark.
            serde_json::json!({
                "username": actor,
                "repo": change.repository_name,
                "tag": change.tag,
                "namespace": change.namespace_name,
                "immutable": change.after.as_column(),
                "previous_immutable": change.before.as_column(),
                MARK_KEY: operation,
            })
            .to_string()
        })
        .collect();
    tx.execute(
        r"
        INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
        SELECT k.id, entry.account_id, entry.repository_id,
            timezone('utc', clock_timestamp()), entry.metadata_json
        FROM logentrykind k,
            unnest($2::int[], $3::int[], $4::text[])
                AS entry (account_id, repository_id, metadata_json)
        WHERE k.name = $1
        ",
        &[
            &AuditKind::ChangeTagImmutability.name(),
            &accounts,
            &repositories,
            &metadata,
        ],
    )?;
    Ok(())
}

/// An entry about a policy, as Quay would have written it, and marked.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyEntry<'a> {
    /// Its kind.
    pub kind: AuditKind,
    /// The namespace; the entry's account.
    pub namespace: NamespaceId,
    /// The namespace's name.
    pub namespace_name: &'a str,
    /// The repository of a repository's policy, with its name.
    pub repository: Option<(RepositoryId, &'a str)>,
    /// What the kind says beyond that.
    pub says: serde_json::Value,
}

/// Writes an entry about a policy into `logentry3`, in the transaction that makes it true.
///
/// # Errors
/// [`PgError`] where the row cannot be written.
pub fn write_policy_entry(
    tx: &mut WriteTransaction<'_>,
    operation: OperationId,
    entry: &PolicyEntry<'_>,
) -> Result<(), PgError> {
    let mut metadata = serde_json::json!({ "namespace": entry.namespace_name });
    if let Some((_, name)) = entry.repository {
        metadata["repo"] = name.into();
    }
    if let Some(says) = entry.says.as_object() {
        for (key, value) in says {
            metadata[key] = value.clone();
        }
    }
    metadata[MARK_KEY] = serde_json::json!(operation);
    tx.execute(
        r"
        INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
        SELECT k.id, $2, $3, timezone('utc', clock_timestamp()), $4
        FROM logentrykind k
        WHERE k.name = $1
        ",
        &[
            &entry.kind.name(),
            &entry.namespace.0,
            &entry.repository.map(|(id, _)| id.0),
            &metadata.to_string(),
        ],
    )?;
    Ok(())
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

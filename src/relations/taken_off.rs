//! Immutability that administrators took off since a moment, as Quay's log tells it.

use std::collections::HashMap;

use crate::pg::{Columns, PgError, Statements};
use crate::quay::{AuditKind, AuditedChange, ImmutabilityChange, NamespaceId, RepositoryId};

/// The newest entry of Quay's log; none where the role may not read it. An entry with a greater id
/// was written later. Ids, for an entry's time is in a zone that nobody knows.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn last_log_entry(pg: &mut impl Statements) -> Result<Option<i64>, PgError> {
    let readable: bool = pg
        .query_one(
            "SELECT coalesce(has_table_privilege(to_regclass('logentry3'), 'SELECT'), false)",
            &[],
        )?
        .read(0)?;
    if !readable {
        return Ok(None);
    }
    pg.query_one("SELECT coalesce(max(id), 0)::bigint FROM logentry3", &[])?
        .read(0)
        .map(Some)
}

/// Whether the log says that a policy of a namespace was made or changed since an entry.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn policies_changed_since(
    pg: &mut impl Statements,
    namespace: NamespaceId,
    entry: i64,
) -> Result<bool, PgError> {
    pg.query_one(
        r"
        SELECT EXISTS (
            SELECT FROM logentry3 e
            JOIN logentrykind k ON k.id = e.kind_id
            WHERE e.id > $1 AND e.account_id = $2 AND k.name IN ($3, $4)
        )
        ",
        &[
            &entry,
            &namespace.0,
            &AuditKind::CreateImmutabilityPolicy.name(),
            &AuditKind::UpdateImmutabilityPolicy.name(),
        ],
    )?
    .read(0)
}

/// The newest entries about one name.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    made_immutable_at_push: Option<i64>,
    taken_off: Option<i64>,
}

/// What the log says of a repository's tags since an entry.
#[derive(Debug, Default)]
pub struct TakenOff(HashMap<String, Newest>);

impl TakenOff {
    /// Reads the entries since `entry`. Those of pushes name no repository, by a defect of Quay,
    /// and are told by their namespace.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer with rows.
    pub fn since(
        pg: &mut impl Statements,
        repository: RepositoryId,
        entry: i64,
    ) -> Result<Self, PgError> {
        let rows = pg.query(
            r"
            SELECT e.id::bigint, k.name, e.metadata_json
            FROM logentry3 e
            JOIN logentrykind k ON k.id = e.kind_id
            WHERE e.id > $1
                AND (k.name = $2 AND e.repository_id = $4
                    OR k.name = $3 AND e.account_id
                        = (SELECT namespace_user_id FROM repository WHERE id = $4))
            ORDER BY e.id
            ",
            &[
                &entry,
                &AuditKind::ChangeTagImmutability.name(),
                &AuditKind::TagMadeImmutableByPolicy.name(),
                &repository.0,
            ],
        )?;
        let mut found = Self::default();
        for row in &rows {
            let (id, kind, metadata): (i64, &str, &str) =
                (row.read(0)?, row.read(1)?, row.read(2)?);
            found.add(id, kind, metadata);
        }
        Ok(found)
    }

    fn add(&mut self, id: i64, kind: &str, metadata: &str) {
        if kind == AuditKind::ChangeTagImmutability.name() {
            let act = AuditedChange::from_metadata(metadata);
            if let Some(act) = act.filter(|act| act.change == ImmutabilityChange::TakenOff) {
                self.0.entry(act.tag).or_default().taken_off = Some(id);
            }
            return;
        }
        let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
        if let Some(tag) = metadata["tag"].as_str() {
            let newest = self.0.entry(tag.to_owned()).or_default();
            newest.made_immutable_at_push = Some(id);
        }
    }

    /// Whether an administrator took the live mutable row of this name off. A row that was there
    /// before the first of these entries is the one that they are about. One that was pushed since
    /// may have come after its predecessor was taken off: it was itself, where it was immutable at
    /// its push and the act is newer than that.
    pub fn says(&self, name: &str, was_there: bool) -> bool {
        self.0.get(name).is_some_and(|newest| {
            newest.taken_off.is_some()
                && (was_there
                    || newest.made_immutable_at_push.is_some()
                        && newest.taken_off > newest.made_immutable_at_push)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: &str = r#"{"tag":"v1","immutable":false,"previous_immutable":true}"#;
    const PUSHED: &str = r#"{"tag":"v1","immutable":true,"namespace":null,"repo":null}"#;

    fn log(entries: &[(&str, &str)]) -> TakenOff {
        let mut log = TakenOff::default();
        for (id, (kind, metadata)) in (1..).zip(entries) {
            log.add(id, kind, metadata);
        }
        log
    }

    #[test]
    fn an_act_is_about_the_row_that_was_there_or_was_pushed_immutable_before_it() {
        let off = (AuditKind::ChangeTagImmutability.name(), OFF);
        let pushed = (AuditKind::TagMadeImmutableByPolicy.name(), PUSHED);
        assert!(log(&[off]).says("v1", true));
        assert!(!log(&[off]).says("v1", false), "its predecessor");
        assert!(log(&[pushed, off]).says("v1", false));
        assert!(!log(&[off, pushed]).says("v1", false), "its predecessor");
        assert!(!log(&[pushed]).says("v1", true));
        assert!(!log(&[off]).says("v2", true));
    }
}

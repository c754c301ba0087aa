//! The correction of a policy's row as a transaction of the script.

use std::collections::HashSet;
use std::io::Write;

use super::frame::RUN;
use super::literal::{comment, text};
use super::{ApplyError, Site};
use crate::correction::{Correction, Planned};
use crate::evaluate::{
    Activity, Evaluator, Moment, PolicyBook, PolicySubject, PolicyTwin, Registry, Strictness,
    Subject,
};
use crate::ground::JournalKept;
use crate::journal::{policy_standings, unfinished_operations};
use crate::pg::{Columns, PgError, ReadSnapshot, Statements};
use crate::quay::{NamespaceId, PolicyTable, PolicyUuid, Scope};
use crate::relations::{PoliciesOf, policies, registry_of, server_clock};

/// Prints the correction where the policy still violates the rule, and what it is to be in place of
/// is there; whether it did. `gone` are the policies that the script has deleted until here.
pub(super) fn print(
    snapshot: &mut ReadSnapshot<'_>,
    out: &mut dyn Write,
    site: &Site<'_>,
    planned: &Planned,
    gone: &mut HashSet<PolicyUuid>,
) -> Result<bool, ApplyError> {
    let Some(expected) = planned.correction.policy() else {
        return Ok(false);
    };
    let ground = Decided::of(snapshot, site, expected.scope, gone)?;
    let Some(is) = ground.violating(snapshot, site, planned, expected)? else {
        return Ok(false);
    };
    let change = match &planned.correction {
        // What says that a policy is inactive on purpose, or at work, is in the journal.
        Correction::DeletePolicy(_)
            if is.activity == Activity::Inactive && site.journal == JournalKept::Kept =>
        {
            let active = "-- Nobody is decided by it.\n        AND NOT p.active".to_owned();
            Change::Delete(active)
        }
        Correction::Merge(..) | Correction::DeleteCovered(..) => {
            let twin = is.stand_in().and_then(|twin| ground.stays(site, twin));
            let Some(stays) = twin else {
                return Ok(false);
            };
            Change::Delete(stays)
        }
        Correction::MendNamespace(_) => match ground.namespace {
            Some(to) => Change::Move(to),
            None => return Ok(false),
        },
        _ => return Ok(false),
    };
    let Some(statement) = statement(snapshot, site, &is, &change)? else {
        return Ok(false);
    };
    let sentence = comment(&planned.correction.sentence());
    writeln!(out, "-- {sentence}\nBEGIN;\n{statement}{}", end(site))?;
    if matches!(change, Change::Delete(_)) {
        gone.insert(is.uuid.clone());
    }
    Ok(true)
}

/// What becomes of the row.
enum Change {
    /// It goes, where one more condition holds.
    Delete(String),
    /// It gets its repository's namespace.
    Move(NamespaceId),
}

/// The write and, with a journal, its image; none where the row is not there.
fn statement(
    snapshot: &mut ReadSnapshot<'_>,
    site: &Site<'_>,
    is: &PolicySubject,
    change: &Change,
) -> Result<Option<String>, ApplyError> {
    let (table, id) = (is.scope.table().name(), is.id);
    let row = snapshot.query_opt(
        &format!("SELECT to_jsonb(p)::text FROM {table} p WHERE id = $1"),
        &[&id.0],
    )?;
    let Some(row) = row else { return Ok(None) };
    let was = text(row.read(0)?);
    let unowned = match site.journal {
        JournalKept::Kept => unowned(snapshot, &is.uuid)?,
        JournalKept::Absent => String::new(),
    };
    let write = match change {
        Change::Delete(condition) => {
            format!(
                "DELETE FROM {table} p
    WHERE p.id = {id} AND to_jsonb(p) = {was}::jsonb
        {condition}{unowned}
    RETURNING p.id, to_jsonb(p) AS row_before, NULL::jsonb AS row_after"
            )
        }
        Change::Move(to) => {
            format!(
                r#"UPDATE {table} p SET namespace_id = r.namespace_user_id
    FROM repository r JOIN "user" u ON u.id = r.namespace_user_id
    WHERE p.id = {id} AND to_jsonb(p) = {was}::jsonb
        AND r.id = p.repository_id AND r.namespace_user_id = {to}{unowned}
    RETURNING p.id, {was}::jsonb AS row_before, to_jsonb(p) AS row_after"#
            )
        }
    };
    let journaled = match site.journal {
        JournalKept::Kept => format!(
            r", journaled AS (
    INSERT INTO quay_doctor.policy_change
        (operation_id, policy_table, policy_id, row_before, row_after)
    SELECT {RUN}, '{table}', id, row_before, row_after FROM changed
)"
        ),
        JournalKept::Absent => String::new(),
    };
    Ok(Some(format!(
        "WITH changed AS (\n    {write}\n){journaled}"
    )))
}

/// An operation that came since owns the policy, or left it inactive on purpose.
fn unowned(snapshot: &mut ReadSnapshot<'_>, uuid: &PolicyUuid) -> Result<String, PgError> {
    let operations = "(SELECT count(*) FROM quay_doctor.operation o \
                      WHERE o.policy_uuid = p.uuid OR o.options ->> 'staged' = p.uuid)";
    let known: i64 = snapshot
        .query_one(
            &format!("SELECT {operations} FROM (SELECT $1::text AS uuid) p"),
            &[&uuid.0],
        )?
        .read(0)?;
    Ok(format!(
        "\n        -- An operation that came since owns it, or left it so on purpose.\n        \
         AND {operations} = {known}"
    ))
}

/// The transaction's end: with a journal only where the run is still ours.
fn end(site: &Site<'_>) -> String {
    match site.journal {
        JournalKept::Kept => format!(
            r", advanced AS (
    UPDATE quay_doctor.operation
    SET tags_changed = tags_changed + (SELECT count(*) FROM changed),
        tags_skipped = tags_skipped + 1 - (SELECT count(*) FROM changed),
        batches = batches + 1, heartbeat_at = clock_timestamp()
    WHERE id = {RUN} AND fence = :'fence' AND phase = 'applying'
    RETURNING id
)
SELECT :skipped + 1 - (SELECT count(*) FROM changed) AS skipped,
    EXISTS (SELECT FROM advanced) AS ours
\gset
\if :ours
COMMIT;
\else
ROLLBACK;
\echo 'Somebody else has taken this run over; nothing more is done.'
\quit
\endif
"
        ),
        JournalKept::Absent => r"
SELECT :skipped + 1 - (SELECT count(*) FROM changed) AS skipped
\gset
COMMIT;
"
        .to_owned(),
    }
}

/// The policies that decide in a scope, as the script leaves them until here.
struct Decided {
    registry: Registry,
    book: PolicyBook,
    namespace: Option<NamespaceId>,
    active_column: bool,
}

impl Decided {
    fn of(
        snapshot: &mut ReadSnapshot<'_>,
        site: &Site<'_>,
        scope: Scope,
        gone: &HashSet<PolicyUuid>,
    ) -> Result<Self, ApplyError> {
        let (registry, repositories, namespace) = match scope {
            Scope::Namespace(id) => (Registry::default(), vec![], Some(id)),
            Scope::Repository(id) => {
                let registry = registry_of(snapshot, id)?;
                let namespace = registry.namespace_of(id);
                (registry, vec![id], namespace)
            }
        };
        let of = PoliciesOf::Scopes {
            repositories,
            namespaces: namespace.into_iter().collect(),
        };
        let mut rows = policies(snapshot, site.schema, &of)?;
        rows.retain(|row| !gone.contains(&row.uuid));
        Ok(Self {
            registry,
            book: PolicyBook::new(rows),
            namespace,
            active_column: site.schema.active,
        })
    }

    /// The policy as it is, where it still violates the rule and is the one that was planned for.
    fn violating(
        &self,
        snapshot: &mut ReadSnapshot<'_>,
        site: &Site<'_>,
        planned: &Planned,
        expected: &PolicySubject,
    ) -> Result<Option<PolicySubject>, ApplyError> {
        let standings = match site.journal {
            JournalKept::Kept => {
                let operations = unfinished_operations(snapshot)?;
                policy_standings(snapshot, &operations)?
            }
            JournalKept::Absent => std::collections::HashMap::new(),
        };
        let moment = Moment {
            now: server_clock(snapshot)?,
            stale_after: site.options.stale_after,
            features: site.options.features,
            strictness: Strictness::Lenient,
        };
        let mut evaluator = Evaluator::new(site.rules.rules(), &self.registry, &self.book, moment);
        let found = evaluator.policies_where(
            |row| standings.get(&row.uuid).cloned().unwrap_or_default(),
            |judged| judged.uuid == expected.uuid,
        );
        let subject = found
            .into_iter()
            .filter(|violation| violation.rule == planned.rule)
            .find_map(|violation| match violation.subject {
                Subject::Policy(policy) => Some(policy),
                _ => None,
            });
        Ok(subject.filter(|is| {
            is.owner.is_none() && is.text == expected.text && is.activity == expected.activity
        }))
    }

    /// The condition that the twin stays as it was judged, held until the end.
    fn stays(&self, site: &Site<'_>, twin: &PolicyTwin) -> Option<String> {
        let mut rows = self.book.rows().iter();
        let row = rows.find(|row| row.uuid == twin.uuid)?;
        let (table, scope) = match row.scope {
            Scope::Namespace(id) => (PolicyTable::Namespace, format!("t.namespace_id = {id}")),
            Scope::Repository(id) => (PolicyTable::Repository, format!("t.repository_id = {id}")),
        };
        let active = match (self.active_column, row.activity) {
            (false, _) => "",
            (true, Activity::Active) => " AND t.active",
            (true, Activity::Inactive) => " AND NOT t.active",
        };
        let unowned = match site.journal {
            JournalKept::Kept => {
                "\n            AND NOT EXISTS (SELECT FROM quay_doctor.operation o
                WHERE o.finished_at IS NULL
                    AND (o.policy_uuid = t.uuid OR o.options ->> 'staged' = t.uuid))"
            }
            JournalKept::Absent => "",
        };
        let own = match (self.namespace, row.scope) {
            (Some(namespace), Scope::Namespace(_)) if table == PolicyTable::Namespace => {
                self.registry_condition(namespace)
            }
            _ => String::new(),
        };
        Some(format!(
            "-- The policy that decides alike stays.
        AND EXISTS (SELECT FROM {table} t
            WHERE t.id = {id} AND {scope} AND t.policy = {policy}{active}{unowned}
            FOR SHARE){own}",
            table = table.name(),
            id = row.id,
            policy = text(&row.text.0),
        ))
    }

    /// A repository's policy is covered by its namespace only while it is that one's.
    fn registry_condition(&self, namespace: NamespaceId) -> String {
        if self.registry.repositories.is_empty() {
            return String::new();
        }
        format!(
            "\n        AND EXISTS (SELECT FROM repository r
            WHERE r.id = p.repository_id AND r.namespace_user_id = {namespace})"
        )
    }
}

//! The deletion of a policy's row as a transaction of the script.

use std::io::Write;

use super::frame::RUN;
use super::literal::{comment, text};
use super::{ApplyError, Site};
use crate::evaluate::{Evaluator, Moment, PolicyBook, PolicySubject, Registry, Strictness};
use crate::ground::JournalKept;
use crate::journal::{policy_standings, unfinished_operations};
use crate::pg::{Columns, ReadSnapshot, Statements};
use crate::quay::Scope;
use crate::relations::{PoliciesOf, policies, server_clock};
use crate::rules::RuleId;

/// Prints the deletion of an inactive policy where it still violates the rule; whether it does.
pub(super) fn print_delete(
    snapshot: &mut ReadSnapshot<'_>,
    out: &mut dyn Write,
    site: &Site<'_>,
    rule: &RuleId,
    policy: &PolicySubject,
) -> Result<bool, ApplyError> {
    // What says that a policy is inactive on purpose, or at work, is in the journal.
    if site.journal == JournalKept::Absent {
        return Ok(false);
    }
    let judged = still_wrong(snapshot, site, rule, policy)?;
    let table = policy.scope.table().name();
    let row = snapshot.query_opt(
        &format!("SELECT to_jsonb(p)::text FROM {table} p WHERE uuid = $1 AND NOT active"),
        &[&policy.uuid.0],
    )?;
    let (Some(row), true) = (row, judged) else {
        return Ok(false);
    };
    let was = text(row.read(0)?);
    let operations = "(SELECT count(*) FROM quay_doctor.operation o \
                      WHERE o.policy_uuid = p.uuid OR o.options ->> 'staged' = p.uuid)";
    let known: i64 = snapshot
        .query_one(
            &format!("SELECT {operations} FROM (SELECT $1::text AS uuid) p"),
            &[&policy.uuid.0],
        )?
        .read(0)?;
    writeln!(
        out,
        r"-- {namespace}: the inactive policy {shown}
BEGIN;
WITH gone AS (
    DELETE FROM {table} p
    WHERE p.id = {id} AND to_jsonb(p) = {was}::jsonb AND NOT p.active
        -- An operation that came since owns it, or left it inactive on purpose.
        AND {operations} = {known}
    RETURNING p.id, to_jsonb(p) AS row_before
), journaled AS (
    INSERT INTO quay_doctor.policy_change (operation_id, policy_table, policy_id, row_before)
    SELECT {RUN}, '{table}', id, row_before FROM gone
), advanced AS (
    UPDATE quay_doctor.operation
    SET tags_changed = tags_changed + (SELECT count(*) FROM gone),
        tags_skipped = tags_skipped + 1 - (SELECT count(*) FROM gone),
        batches = batches + 1, heartbeat_at = clock_timestamp()
    WHERE id = {RUN} AND fence = :'fence' AND phase = 'applying'
    RETURNING id
)
SELECT :skipped + 1 - (SELECT count(*) FROM gone) AS skipped,
    EXISTS (SELECT FROM advanced) AS ours
\gset
\if :ours
COMMIT;
\else
ROLLBACK;
\echo 'Somebody else has taken this run over; nothing more is done.'
\quit
\endif
",
        namespace = comment(&policy.namespace),
        shown = comment(&policy.uuid.0),
        id = policy.id,
    )?;
    Ok(true)
}

/// Whether a policy still violates the rule, as this snapshot shows it.
fn still_wrong(
    snapshot: &mut ReadSnapshot<'_>,
    site: &Site<'_>,
    rule: &RuleId,
    policy: &PolicySubject,
) -> Result<bool, ApplyError> {
    let (repositories, namespaces) = match policy.scope {
        Scope::Namespace(id) => (vec![], vec![id]),
        Scope::Repository(id) => (vec![id], vec![]),
    };
    let of = PoliciesOf::Scopes {
        repositories,
        namespaces,
    };
    let operations = unfinished_operations(snapshot)?;
    let standings = policy_standings(snapshot, &operations)?;
    let moment = Moment {
        now: server_clock(snapshot)?,
        stale_after: site.options.stale_after,
        features: site.options.features,
        strictness: Strictness::Lenient,
    };
    let registry = Registry::default();
    let book = PolicyBook::new(policies(snapshot, site.schema, &of)?);
    let mut evaluator = Evaluator::new(site.rules.rules(), &registry, &book, moment);
    Ok(evaluator
        .policies(|row| standings.get(&row.uuid).cloned().unwrap_or_default())
        .iter()
        .any(|violation| violation.rule == *rule && violation.is_about(&policy.uuid)))
}

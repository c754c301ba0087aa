//! One batch of tags as a transaction of the script.

use std::io::Write;

use super::basis::Basis;
use super::frame::RUN;
use super::literal::{comment, millis, optional, optional_text, text};
use super::{ApplyError, Site};
use crate::apply::{AuditDetail, PastExpiry};
use crate::correction::Correction;
use crate::evaluate::{Stated, TagRow};
use crate::ground::{Ground, JournalKept};
use crate::pg::ReadSnapshot;
use crate::quay::{AuditKind, MARK_KEY, ManifestId, RepositoryId, UnixMillis, retarget_lock_key};

/// What the script can do with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Release,
    Protect,
    ClearExpiry,
    Keep,
}

impl Change {
    pub(super) fn of(correction: &Correction, site: &Site<'_>) -> Option<Self> {
        match correction {
            Correction::Release(_) => Some(Self::Release),
            Correction::Protect(..) => Some(Self::Protect),
            // Where immutable tags may expire, nothing is cleared.
            Correction::ClearExpiry(..) if site.options.features.can_expire == Stated::Off => {
                Some(Self::ClearExpiry)
            }
            // A declaration is nothing but a row of the journal.
            Correction::Keep(_) if site.journal == JournalKept::Kept => Some(Self::Keep),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Protect => "protect",
            Self::ClearExpiry => "clear-expiry",
            Self::Keep => "keep",
        }
    }
}

/// The server's clock in Quay's unit.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Prints the transaction.
pub(super) fn print(
    snapshot: &mut ReadSnapshot<'_>,
    out: &mut dyn Write,
    site: &Site<'_>,
    ground: &Ground,
    repository: RepositoryId,
    rows: &[(&TagRow, Change)],
) -> Result<(), ApplyError> {
    let (namespace_name, name) = ground.registry.repository_names(repository);
    let mut manifests: Vec<ManifestId> = rows.iter().filter_map(|(row, _)| row.manifest).collect();
    manifests.sort_unstable();
    manifests.dedup();
    let basis = Basis {
        repository,
        namespace: ground.registry.namespace_of(repository),
        manifests: &manifests,
        has_journal: site.journal == JournalKept::Kept,
    };
    let was = text(&basis.now(snapshot)?);
    writeln!(
        out,
        "-- {}/{}: {} tags\nBEGIN;",
        comment(namespace_name),
        comment(name),
        rows.len()
    )?;
    if rows.iter().any(|(_, change)| *change == Change::Release) {
        writeln!(
            out,
            "LOCK TABLE repositoryimmutabilitypolicy IN SHARE MODE;\n\
             LOCK TABLE namespaceimmutabilitypolicy IN SHARE MODE;"
        )?;
    }
    writeln!(
        out,
        "SELECT pg_advisory_xact_lock({}) IS NULL AS locked\n\\gset",
        retarget_lock_key(repository)
    )?;
    writeln!(
        out,
        "WITH planned (id, name, manifest_id, lifetime_start_ms, lifetime_end_ms, immutable, hidden, ended, change) AS (\n    VALUES"
    )?;
    let now = UnixMillis(ground.now.timestamp_millis());
    for (nth, (row, change)) in rows.iter().enumerate() {
        let comma = if nth + 1 == rows.len() { "" } else { "," };
        writeln!(out, "    {}{comma}", values(row, *change, now, nth == 0))?;
    }
    let expected = expression(&basis, &was, repository);
    let changed = changed(site);
    writeln!(out, "{expected}{changed}")?;
    let written = written(site, ground, repository);
    writeln!(out, "{written}")?;
    Ok(writeln!(out, "{}", end(site, rows.len()))?)
}

/// The row as it is expected; the first one says which types the columns have.
fn values(row: &TagRow, change: Change, now: UnixMillis, first: bool) -> String {
    let cast = |value: String, to: &str| {
        if first {
            format!("{value}::{to}")
        } else {
            value
        }
    };
    format!(
        "({}, {}, {}, {}, {}, {}, {}, {}, '{}')",
        row.id,
        cast(text(&row.name), "text"),
        cast(optional(row.manifest), "int"),
        cast(row.start.0.to_string(), "bigint"),
        cast(millis(row.expiry.0), "bigint"),
        row.immutability.as_column(),
        row.hidden,
        row.expiry.0.is_some_and(|end| end <= now),
        change.word()
    )
}

/// The rows that are still as expected, locked, where the basis still is what it was.
fn expression(basis: &Basis<'_>, was: &str, repository: RepositoryId) -> String {
    format!(
        r"), basis AS MATERIALIZED (
    -- What was judged by; another one changes nothing.
    SELECT {now} = {was}::jsonb AS holds
), held AS MATERIALIZED (
    SELECT t.id, t.repository_id, t.name, t.immutable, t.lifetime_end_ms, t.xmin AS version, p.change
    FROM tag t JOIN planned p ON p.id = t.id
    WHERE t.repository_id = {repository} AND t.name = p.name
        AND t.manifest_id IS NOT DISTINCT FROM p.manifest_id
        AND t.lifetime_start_ms = p.lifetime_start_ms
        AND t.lifetime_end_ms IS NOT DISTINCT FROM p.lifetime_end_ms
        AND t.immutable = p.immutable AND t.hidden = p.hidden
        -- What was alive is no longer judged by the same rules once it has ended.
        AND coalesce(t.lifetime_end_ms <= {NOW}, false) = p.ended
        AND (SELECT holds FROM basis)
    ORDER BY t.id
    FOR NO KEY UPDATE OF t SKIP LOCKED
)",
        now = basis.expression(if basis.has_journal { RUN } else { "0" }),
    )
}

/// What each row becomes.
fn changed(site: &Site<'_>) -> String {
    let margin = site.options.clock_margin.as_millis();
    // The expiry that the newest change not undone took away, if it made the tag immutable.
    let known = match (site.journal, site.options.past_expiry) {
        (JournalKept::Absent, _) => "NULL".to_owned(),
        (JournalKept::Kept, past) => {
            let alive = match past {
                PastExpiry::LeaveOut => format!("newest.end_before > {NOW}"),
                PastExpiry::Restore => "true".to_owned(),
            };
            format!(
                r"(SELECT newest.end_before
                FROM (SELECT c.lifetime_end_ms_before AS end_before, c.immutable_after
                    FROM quay_doctor.tag_change c
                    -- Nobody has written the row since.
                    WHERE c.tag_id = h.id AND c.undone_at IS NULL AND c.xmin = h.version
                    ORDER BY c.id DESC LIMIT 1) newest
                WHERE newest.immutable_after AND {alive})"
            )
        }
    };
    let (protected, may_be) = if site.options.features.can_expire == Stated::On {
        ("h.lifetime_end_ms", "true".to_owned())
    } else {
        let may_be = format!(
            r"(h.lifetime_end_ms IS NULL OR h.lifetime_end_ms > {NOW} + {margin}
            -- A row that a push has just ended would be brought back.
            AND NOT EXISTS (SELECT FROM tag twin
                WHERE twin.repository_id = h.repository_id AND twin.name = h.name
                    AND twin.id <> h.id AND NOT twin.hidden
                    AND (twin.lifetime_end_ms IS NULL OR twin.lifetime_end_ms > {NOW})))"
        );
        ("NULL", may_be)
    };
    format!(
        r", becomes AS MATERIALIZED (
    SELECT h.*, h.change <> 'release' AS immutable_after,
        CASE h.change WHEN 'protect' THEN {protected} WHEN 'clear-expiry' THEN NULL
            ELSE coalesce(h.lifetime_end_ms, {known}) END::bigint AS end_after
    FROM held h
    WHERE h.change <> 'keep' AND (h.change = 'release' OR {may_be})
), changed AS MATERIALIZED (
    SELECT b.* FROM becomes b
    -- Name and end are unique in a repository.
    WHERE NOT EXISTS (SELECT FROM tag o
        WHERE o.repository_id = b.repository_id AND o.name = b.name
            AND o.lifetime_end_ms = b.end_after AND o.id <> b.id)
)"
    )
}

/// The writes, all in one statement with what they were decided by.
fn written(site: &Site<'_>, ground: &Ground, repository: RepositoryId) -> String {
    let who = &site.options.who;
    let (actor, reason) = (text(&who.actor), optional_text(who.reason.as_deref()));
    // What the UPDATE returns is what was written: a trigger may swallow it, or alter it.
    let mut writes = String::from(
        r", written AS (
    UPDATE tag t SET immutable = c.immutable_after, lifetime_end_ms = c.end_after
    FROM changed c WHERE t.id = c.id
    RETURNING t.id, t.repository_id, t.name, c.immutable, c.lifetime_end_ms,
        t.immutable AS immutable_after, t.lifetime_end_ms AS end_after,
        t.immutable = c.immutable_after AND t.lifetime_end_ms IS NOT DISTINCT FROM c.end_after
            AS as_asked
)",
    );
    let run = match site.journal {
        JournalKept::Kept => RUN,
        JournalKept::Absent => "0",
    };
    if site.journal == JournalKept::Kept {
        writes.push_str(&format!(
            r", journaled AS (
    INSERT INTO quay_doctor.tag_change
        (operation_id, tag_id, repository_id, immutable_before, immutable_after,
         lifetime_end_ms_before, lifetime_end_ms_after)
    SELECT {run}, id, repository_id, immutable, immutable_after, lifetime_end_ms, end_after
    FROM written
    WHERE immutable <> immutable_after OR lifetime_end_ms IS DISTINCT FROM end_after
    ORDER BY id
), carried AS (
    -- An expiration that was used, or has passed, is as good as now once this is undone.
    UPDATE quay_doctor.tag_change c SET undone_at = c.undone_at
    FROM changed h JOIN written w ON w.id = h.id
    WHERE c.tag_id = h.id AND c.undone_at IS NULL AND c.xmin = h.version
        AND c.lifetime_end_ms_before IS NOT NULL
), declared AS (
    INSERT INTO quay_doctor.kept (operation_id, scope_kind, scope_id, tag_id, actor, reason)
    SELECT {run}, 'repository', repository_id, id, {actor}, {reason}
    FROM held WHERE change = 'keep' ORDER BY id
    RETURNING tag_id
)"
        ));
    } else {
        writes.push_str(", declared AS (SELECT NULL WHERE false)");
    }
    let namespace = ground.registry.namespace_of(repository);
    if let (Some((tag, order)), Some(namespace)) = (named(site.options.audit), namespace) {
        let (namespace_name, name) = ground.registry.repository_names(repository);
        writes.push_str(&format!(
            r", logged AS (
    INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
    SELECT k.id, {namespace}, {repository}, timezone('utc', clock_timestamp()),
        json_build_object('username', {actor}, 'repo', {repo}, 'tag', {tag},
            'namespace', {namespace_name}, 'immutable', c.immutable_after,
            'previous_immutable', c.immutable, '{MARK_KEY}', {run})::text
    FROM logentrykind k, written c
    WHERE k.name = '{kind}' AND c.as_asked
    {order}
)",
            repo = text(name),
            namespace_name = text(namespace_name),
            kind = AuditKind::ChangeTagImmutability.name(),
        ));
    }
    writes.push_str(
        r", sums AS (
    SELECT (SELECT count(*) FROM written WHERE as_asked)
            + (SELECT count(*) FROM declared) AS applied,
        (SELECT count(*) FROM written WHERE lifetime_end_ms IS NOT NULL AND end_after IS NULL)
            AS cleared
)",
    );
    writes
}

/// What an entry of the audit log calls the tag, and how entries are made of rows; or nothing.
fn named(audit: AuditDetail) -> Option<(&'static str, &'static str)> {
    match audit {
        AuditDetail::PerTag => Some(("c.name", "ORDER BY c.id")),
        AuditDetail::Summary => Some((
            "(array_agg(c.name ORDER BY c.id))[1] || CASE WHEN count(*) > 1
                THEN format(' and %s more', count(*) - 1) ELSE '' END",
            "GROUP BY k.id, c.immutable, c.immutable_after",
        )),
        AuditDetail::None => None,
    }
}

/// The transaction's end: with a journal only where the run is still ours.
fn end(site: &Site<'_>, planned: usize) -> String {
    match site.journal {
        JournalKept::Kept => format!(
            r", advanced AS (
    UPDATE quay_doctor.operation
    SET tags_changed = tags_changed + sums.applied,
        tags_skipped = tags_skipped + {planned} - sums.applied,
        expirations_cleared = expirations_cleared + sums.cleared,
        batches = batches + 1, heartbeat_at = clock_timestamp()
    FROM sums
    WHERE id = {RUN} AND fence = :'fence' AND phase = 'applying'
    RETURNING id
)
SELECT :skipped + {planned} - applied AS skipped, EXISTS (SELECT FROM advanced) AS ours FROM sums
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
        JournalKept::Absent => format!(
            r"
SELECT :skipped + {planned} - applied AS skipped FROM sums
\gset
COMMIT;
"
        ),
    }
}

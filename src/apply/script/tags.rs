//! One batch of tags as a transaction of the script.

use std::io::{self, Write};

use super::basis::{Basis, basis};
use super::literal::{comment, millis};
use super::{ApplyError, Site};
use crate::apply::{AuditDetail, PastExpiry};
use crate::correction::Correction;
use crate::evaluate::{Stated, TagRow};
use crate::ground::{Ground, JournalKept};
use crate::pg::{ReadSnapshot, filled};
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

/// The rows as they are expected.
const PLANNED: &str = r"WITH planned AS (
    SELECT id, name, manifest_id::int, lifetime_start_ms::bigint, lifetime_end_ms::bigint,
        immutable, hidden, ended, change
    FROM (VALUES";

const ROW: &str = "    ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// The server's clock in Quay's unit.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// The rows that are still as expected, locked, where the basis still is what it was: `$6`, beside the
/// basis's own parameters.
macro_rules! held {
    ($($basis:tt)*) => {
        concat!(
            r"    ) AS p (id, name, manifest_id, lifetime_start_ms, lifetime_end_ms,
        immutable, hidden, ended, change)
), basis AS MATERIALIZED (
    -- What was judged by; another one changes nothing.
    SELECT ",
            $($basis)*,
            r" = $6::jsonb AS holds
), held AS MATERIALIZED (
    SELECT t.id, t.repository_id, t.name, t.immutable, t.lifetime_end_ms, t.xmin AS version, p.change
    FROM tag t JOIN planned p ON p.id = t.id
    WHERE t.repository_id = $1 AND t.name = p.name
        AND t.manifest_id IS NOT DISTINCT FROM p.manifest_id
        AND t.lifetime_start_ms = p.lifetime_start_ms
        AND t.lifetime_end_ms IS NOT DISTINCT FROM p.lifetime_end_ms
        AND t.immutable = p.immutable AND t.hidden = p.hidden
        -- What was alive is no longer judged by the same rules once it has ended.
        AND coalesce(t.lifetime_end_ms <= ",
            now!(),
            r", false) = p.ended
        AND (SELECT holds FROM basis)
    ORDER BY t.id
    FOR NO KEY UPDATE OF t SKIP LOCKED
)"
        )
    };
}

/// What each row becomes. `$1` says whether immutable tags may expire, `$2` is the clock margin, and `$3`
/// says whether an expiry that has passed is restored.
macro_rules! becomes {
    ($($known:tt)*) => {
        concat!(
            r", becomes AS MATERIALIZED (
    -- Where immutable tags may expire, no end is cleared.
    SELECT h.*, h.change <> 'release' AS immutable_after,
        CASE h.change WHEN 'protect' THEN CASE WHEN $1 THEN h.lifetime_end_ms END
            WHEN 'clear-expiry' THEN NULL
            ELSE coalesce(h.lifetime_end_ms, ",
            $($known)*,
            r")
            END::bigint AS end_after
    FROM held h
    WHERE h.change <> 'keep' AND (h.change = 'release' OR $1
        OR (h.lifetime_end_ms IS NULL OR h.lifetime_end_ms > ",
            now!(),
            r" + $2)
            -- A row that a push has just ended would be brought back.
            AND NOT EXISTS (SELECT FROM tag twin
                WHERE twin.repository_id = h.repository_id AND twin.name = h.name
                    AND twin.id <> h.id AND NOT twin.hidden
                    AND (twin.lifetime_end_ms IS NULL OR twin.lifetime_end_ms > ",
            now!(),
            r")))
), changed AS MATERIALIZED (
    SELECT b.* FROM becomes b
    -- Name and end are unique in a repository.
    WHERE NOT EXISTS (SELECT FROM tag o
        WHERE o.repository_id = b.repository_id AND o.name = b.name
            AND o.lifetime_end_ms = b.end_after AND o.id <> b.id)
)"
        )
    };
}

/// The expiry that the newest change not undone took away, if it made the tag immutable.
macro_rules! known_end {
    () => {
        concat!(
            r"(SELECT newest.end_before
                FROM (SELECT c.lifetime_end_ms_before AS end_before, c.immutable_after
                    FROM quay_doctor.tag_change c
                    -- Nobody has written the row since.
                    WHERE c.tag_id = h.id AND c.undone_at IS NULL AND c.xmin = h.version
                    ORDER BY c.id DESC LIMIT 1) newest
                WHERE newest.immutable_after AND ($3 OR newest.end_before > ",
            now!(),
            "))"
        )
    };
}

/// The writes, all in one statement with what they were decided by. What the UPDATE returns is what was written: a
/// trigger may swallow a change, or alter it.
const WRITTEN: &str = r", written AS (
    UPDATE tag t SET immutable = c.immutable_after, lifetime_end_ms = c.end_after
    FROM changed c WHERE t.id = c.id
    RETURNING t.id, t.repository_id, t.name, c.immutable, c.lifetime_end_ms,
        t.immutable AS immutable_after, t.lifetime_end_ms AS end_after,
        t.immutable = c.immutable_after AND t.lifetime_end_ms IS NOT DISTINCT FROM c.end_after
            AS as_asked
)";

const SUMS: &str = r", sums AS (
    SELECT (SELECT count(*) FROM written WHERE as_asked)
            + (SELECT count(*) FROM declared) AS applied,
        (SELECT count(*) FROM written WHERE lifetime_end_ms IS NOT NULL AND end_after IS NULL)
            AS cleared
)";

/// The journal's rows: `$1` and `$2` are who did it and why.
const JOURNALED: &str = r", journaled AS (
    INSERT INTO quay_doctor.tag_change
        (operation_id, tag_id, repository_id, immutable_before, immutable_after,
         lifetime_end_ms_before, lifetime_end_ms_after)
    SELECT :run, id, repository_id, immutable, immutable_after, lifetime_end_ms, end_after
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
    SELECT :run, 'repository', repository_id, id, $1, $2
    FROM held WHERE change = 'keep' ORDER BY id
    RETURNING tag_id
)";

const NOTHING_DECLARED: &str = ", declared AS (SELECT NULL WHERE false)";

/// Entries of the audit log: what one calls the tag, and how entries are made of rows. `$1` is the
/// namespace, `$2` the repository, `$3` who did it, `$4` and `$5` the names of both, `$6` what marks an entry
/// of ours, `$7` its kind.
macro_rules! logged {
    ($tag:literal, $entries:literal) => {
        concat!(
            r", logged AS (
    INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
    SELECT k.id, $1, $2, timezone('utc', clock_timestamp()),
        json_build_object('username', $3, 'repo', $5, 'tag', ",
            $tag,
            r",
            'namespace', $4, 'immutable', c.immutable_after,
            'previous_immutable', c.immutable, $6, :run)::text
    FROM logentrykind k, written c
    WHERE k.name = $7 AND c.as_asked
    ",
            $entries,
            "\n)"
        )
    };
}

/// The transaction's end with a journal: only where the run is still ours. `$1` is how many were planned.
const END_JOURNALED: &str = r", advanced AS (
    UPDATE quay_doctor.operation
    SET tags_changed = tags_changed + sums.applied,
        tags_skipped = tags_skipped + $1 - sums.applied,
        expirations_cleared = expirations_cleared + sums.cleared,
        batches = batches + 1, heartbeat_at = clock_timestamp()
    FROM sums
    WHERE id = :run AND fence = :'fence' AND phase = 'applying'
    RETURNING id
)
SELECT :skipped + $1 - applied AS skipped, EXISTS (SELECT FROM advanced) AS ours FROM sums
\gset
\if :ours
COMMIT;
\else
ROLLBACK;
\echo 'Somebody else has taken this run over; nothing more is done.'
\quit
\endif
";

const END: &str = r"
SELECT :skipped + $1 - applied AS skipped FROM sums
\gset
COMMIT;
";

const LOCK_POLICIES: &str = "LOCK TABLE repositoryimmutabilitypolicy IN SHARE MODE;
LOCK TABLE namespaceimmutabilitypolicy IN SHARE MODE;";

const LOCK_REPOSITORY: &str = r"SELECT pg_advisory_xact_lock($1) IS NULL AS locked
\gset";

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
    let was = basis.now(snapshot)?;
    writeln!(
        out,
        "-- {}/{}: {} tags\nBEGIN;",
        comment(namespace_name),
        comment(name),
        rows.len()
    )?;
    if rows.iter().any(|(_, change)| *change == Change::Release) {
        writeln!(out, "{LOCK_POLICIES}")?;
    }
    let lock = [retarget_lock_key(repository).into()];
    writeln!(out, "{}", filled(LOCK_REPOSITORY, lock))?;
    writeln!(out, "{PLANNED}")?;
    let now = UnixMillis(ground.now.timestamp_millis());
    for (nth, (row, change)) in rows.iter().enumerate() {
        let comma = if nth + 1 == rows.len() { "" } else { "," };
        writeln!(out, "{}{comma}", expected(row, *change, now))?;
    }
    write!(out, "{}", held(&basis, &was))?;
    write!(out, "{}", becomes(site))?;
    print_written(out, site, ground, repository)?;
    let end = match site.journal {
        JournalKept::Kept => END_JOURNALED,
        JournalKept::Absent => END,
    };
    let planned = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    Ok(writeln!(out, "{}", filled(end, [planned.into()]))?)
}

/// The row as it is expected, and what becomes of it.
fn expected(row: &TagRow, change: Change, now: UnixMillis) -> String {
    filled(
        ROW,
        [
            row.id.0.into(),
            row.name.as_str().into(),
            row.manifest.map(|manifest| manifest.0).into(),
            row.start.0.into(),
            millis(row.expiry.0),
            row.immutability.as_column().into(),
            row.hidden.into(),
            row.expiry.0.is_some_and(|end| end <= now).into(),
            change.word().into(),
        ],
    )
}

fn held(basis: &Basis<'_>, was: &str) -> String {
    let text = if basis.has_journal {
        held!(basis!(":run"))
    } else {
        held!(basis!())
    };
    let values = [
        basis.repository.0.into(),
        basis.namespace.map(|id| id.0).into(),
        basis.manifests().into(),
        AuditKind::ChangeTagImmutability.name().into(),
        Basis::mark().into(),
        was.into(),
    ];
    filled(text, values)
}

fn becomes(site: &Site<'_>) -> String {
    let text = match site.journal {
        JournalKept::Kept => becomes!(known_end!()),
        JournalKept::Absent => becomes!("NULL"),
    };
    let margin = i64::try_from(site.options.clock_margin.as_millis()).unwrap_or(i64::MAX);
    let values = [
        (site.options.features.can_expire == Stated::On).into(),
        margin.into(),
        (site.options.past_expiry == PastExpiry::Restore).into(),
    ];
    filled(text, values)
}

fn print_written(
    out: &mut dyn Write,
    site: &Site<'_>,
    ground: &Ground,
    repository: RepositoryId,
) -> io::Result<()> {
    let who = &site.options.who;
    write!(out, "{WRITTEN}")?;
    match site.journal {
        JournalKept::Kept => {
            let values = [who.actor.as_str().into(), who.reason.clone().into()];
            write!(out, "{}", filled(JOURNALED, values))?;
        }
        JournalKept::Absent => write!(out, "{NOTHING_DECLARED}")?,
    }
    let namespace = ground.registry.namespace_of(repository);
    if let (Some(text), Some(namespace)) = (entries(site.options.audit), namespace) {
        let (namespace_name, name) = ground.registry.repository_names(repository);
        let values = [
            namespace.0.into(),
            repository.0.into(),
            who.actor.as_str().into(),
            namespace_name.into(),
            name.into(),
            MARK_KEY.into(),
            AuditKind::ChangeTagImmutability.name().into(),
        ];
        write!(out, "{}", filled(text, values))?;
    }
    write!(out, "{SUMS}")
}

/// How entries of the audit log are written; or nothing.
fn entries(audit: AuditDetail) -> Option<&'static str> {
    match audit {
        AuditDetail::PerTag => Some(logged!("c.name", "ORDER BY c.id")),
        AuditDetail::Summary => Some(logged!(
            "(array_agg(c.name ORDER BY c.id))[1] || CASE WHEN count(*) > 1
                THEN format(' and %s more', count(*) - 1) ELSE '' END",
            "GROUP BY k.id, c.immutable, c.immutable_after"
        )),
        AuditDetail::None => None,
    }
}

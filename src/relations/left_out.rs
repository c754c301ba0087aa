//! Expirations that an operation did not restore, as its journal tells it: a worker that is killed takes no names
//! with it.

use std::collections::{BTreeMap, HashMap};

use super::census::registry_of;
use super::tags::{RowLock, tags_by_id};
use crate::pg::{Columns, FaultClass, PgError, Statements};
use crate::quay::{OperationId, RepositoryId, TagId, UnixMillis};
use crate::report::Exceptions;

/// Entries of the journal that are read at once.
const PAGE: u32 = 5_000;

/// A tag that has become mutable without the expiration that the journal knows of it.
struct LeftOut {
    tag: TagId,
    end: UnixMillis,
    /// Whether the end had passed when the tag was written, and would have ended it at once.
    is_past: bool,
}

/// Adds the tags whose expirations an operation knew and did not restore to those that its last worker tells.
/// What became of an expiration that came after is not this operation's: only tags count that have none now.
///
/// # Errors
/// [`PgError`] where the server does not answer.
pub fn add_left_out(
    pg: &mut impl Statements,
    operation: OperationId,
    exceptions: &mut Exceptions,
) -> Result<(), PgError> {
    let (mut after, mut limit) = (0, PAGE);
    loop {
        let mut of = BTreeMap::new();
        match page(pg, operation, (after, limit), &mut of) {
            Ok(Some(last)) => after = last,
            Ok(None) => return Ok(()),
            Err(error) if error.class() == FaultClass::StatementTimeout && limit > 1 => {
                limit /= 2;
                continue;
            }
            Err(error) => return Err(error),
        }
        for (repository, left_out) in of {
            name(pg, repository, &left_out, exceptions)?;
        }
    }
}

/// Reads entries from `after` on; the last of them.
fn page(
    pg: &mut impl Statements,
    operation: OperationId,
    (after, limit): (i64, u32),
    of: &mut BTreeMap<RepositoryId, Vec<LeftOut>>,
) -> Result<Option<i64>, PgError> {
    let rows = pg.query(LEFT_OUT, &[&operation.0, &after, &i64::from(limit)])?;
    let mut last = None;
    for row in &rows {
        last = Some(row.read(0)?);
        if let Some(end) = row.read::<Option<i64>>(3)? {
            of.entry(RepositoryId(row.read(2)?))
                .or_default()
                .push(LeftOut {
                    tag: TagId(row.read(1)?),
                    end: UnixMillis(end),
                    is_past: row.read(4)?,
                });
        }
    }
    Ok(last)
}

fn name(
    pg: &mut impl Statements,
    repository: RepositoryId,
    left_out: &[LeftOut],
    exceptions: &mut Exceptions,
) -> Result<(), PgError> {
    let registry = registry_of(pg, &[repository])?;
    let known: HashMap<TagId, &LeftOut> = left_out.iter().map(|of| (of.tag, of)).collect();
    let tags: Vec<TagId> = known.keys().copied().collect();
    for row in tags_by_id(pg, &tags, RowLock::None)? {
        if let Some(left_out) = known.get(&row.id)
            && !exceptions.tells_expiry_of(row.id)
        {
            if left_out.is_past {
                exceptions.past_expiries.add(&registry, &row);
            } else {
                exceptions
                    .void_images
                    .add_with_end(&registry, &row, left_out.end);
            }
        }
    }
    Ok(())
}

/// An entry that was taken back knows itself what the tag had; of one that stands, a release, the entry before it
/// knows. When a release was written is not in the journal: only an end before the operation began is surely past.
const LEFT_OUT: &str = r"
    SELECT entry.id, entry.tag_id, entry.repository_id, known.ended, known.ended <= known.ms
    FROM (
        SELECT c.*, o.started_at
        FROM quay_doctor.tag_change c
        JOIN quay_doctor.operation o ON o.id = c.operation_id
        WHERE c.operation_id = $1 AND c.id > $2
        ORDER BY c.id
        LIMIT $3
    ) entry
    LEFT JOIN LATERAL (
        SELECT known.ended, extract(epoch FROM known.at) * 1000 AS ms
        FROM tag t
        CROSS JOIN LATERAL (
            SELECT entry.lifetime_end_ms_before AS ended, entry.undone_at AS at
            WHERE entry.undone_at IS NOT NULL
            UNION ALL
            (
                SELECT before.lifetime_end_ms_before, entry.started_at
                FROM quay_doctor.tag_change before
                WHERE entry.undone_at IS NULL AND entry.immutable_before
                    AND NOT entry.immutable_after AND entry.lifetime_end_ms_after IS NULL
                    AND before.tag_id = entry.tag_id AND before.id < entry.id
                    AND (before.immutable_after OR NOT before.immutable_before)
                    AND (before.undone_at IS NULL OR before.operation_id = entry.operation_id)
                ORDER BY before.id DESC
                LIMIT 1
            )
        ) known
        WHERE t.id = entry.tag_id AND NOT t.immutable AND t.lifetime_end_ms IS NULL
    ) known ON true
    ORDER BY entry.id
";

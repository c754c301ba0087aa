//! Users' acts on some repositories' tags, remembered from batch to batch of a run.
//!
//! A run writes entries of its own as it goes, a million of them in the end; a batch that read the
//! log of its repository anew would pass over those of every batch before it. So what was read is
//! remembered, and read on from where nothing can be missing.

use super::audit::{AuditTrail, LOG_IN_USE};
use crate::pg::{Columns, PgError, Statements, Streams};
use crate::quay::{AuditEntryId, RepositoryId};

/// Names with acts that are remembered; repositories with more are read anew for each batch.
const MOST_NAMES: usize = 100_000;

/// The acts on tags of the repositories that were asked for last.
#[derive(Debug, Default)]
pub struct Trail {
    repositories: Vec<RepositoryId>,
    acts: AuditTrail,
    /// Every entry up to this one has been read, and none with such an id can come any more.
    complete: Option<AuditEntryId>,
    too_many: bool,
}

impl Trail {
    /// The newest acts on tags of these repositories, as they are now; none where they are too many to be
    /// remembered.
    ///
    /// # Errors
    /// [`PgError`] where the server does not answer with rows.
    pub fn on(
        &mut self,
        pg: &mut impl Streams,
        repositories: &[RepositoryId],
    ) -> Result<Option<&AuditTrail>, PgError> {
        if !repositories.iter().all(|id| self.repositories.contains(id)) {
            *self = Self {
                repositories: repositories.to_vec(),
                ..Self::default()
            };
        }
        if self.too_many {
            return Ok(None);
        }
        // Asked before the entries are read, or one could be written in between.
        let complete = complete_up_to(pg)?;
        self.acts
            .read_on(pg, &self.repositories, self.complete, MOST_NAMES)?;
        self.complete = complete.or(self.complete);
        if self.acts.names() > MOST_NAMES {
            self.too_many = true;
            self.acts = AuditTrail::default();
            return Ok(None);
        }
        Ok(Some(&self.acts))
    }
}

/// The entry up to which the log in use is complete: no transaction is writing into it, so that
/// whoever has taken an id has committed or gone. `None` where that cannot be said: somebody is
/// writing at this moment, the sequence hands out ids in advance, or the role may not look at it.
fn complete_up_to(pg: &mut impl Statements) -> Result<Option<AuditEntryId>, PgError> {
    let row = pg.query_opt(
        r"
        SELECT CASE WHEN s.seqcache = 1 AND has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')
            THEN pg_sequence_last_value(s.seqrelid) END
        FROM pg_sequence s
        WHERE s.seqrelid = pg_get_serial_sequence($1, 'id')::regclass
        ",
        &[&LOG_IN_USE],
    )?;
    let last: Option<i64> = row.map_or(Ok(None), |row| row.read(0))?;
    let Some(last) = last else {
        return Ok(None);
    };
    // Looked at after the sequence: an id is taken under the lock on the table, which is held until
    // the transaction ends.
    let writing: bool = pg
        .query_one(
            r"
            SELECT EXISTS (
                SELECT FROM pg_locks
                WHERE locktype = 'relation' AND relation = to_regclass($1)
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
            )
            ",
            &[&LOG_IN_USE],
        )?
        .read(0)?;
    Ok((!writing).then_some(AuditEntryId(last)))
}

//! The ground of a write: repositories under their locks, and what is judged by under them.
//!
//! Shared by everything that changes tags, so that locks are taken in one order and in one place.
//! It takes locks and reads; it never writes and never decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::evaluate::{Account, PolicyBook, PolicyRow, Registry, TagRow};
use crate::journal::{JournalError, OperationRow, TagChange, unfinished_operations};
use crate::pattern::{self, Compiled};
use crate::pg::{PgError, Statements, Streams, WriteTransaction};
use crate::quay::{NamespaceId, OperationId, RepositoryId, TagId, UnixMillis};
use crate::relations::{
    Clocks, MarkedChange, PoliciesOf, PolicySchema, Trail, accounts, accounts_by,
    lock_policy_tables, lock_repository, lock_repository_within, policies, registry_of,
    try_lock_repositories,
};

/// Whether a batch takes somebody's protection away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Some tag becomes mutable.
    TakenAway,
    /// Nothing but immutability is given.
    OnlyGiven,
}

/// Whether there is a journal to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalKept {
    /// There is.
    Kept,
    /// Migration V1 has not run.
    Absent,
}

/// How long a repository is waited for with the policy tables locked.
const WHILE_POLICIES_ARE_LOCKED: Duration = Duration::from_millis(200);

/// How many compiled patterns are remembered; then all are forgotten.
const MOST_PATTERNS: usize = 10_000;

/// What a run remembers from batch to batch: users' acts, and patterns that are compiled already. A
/// thousand patterns take longer to compile than a batch may hold its locks. It never takes the
/// place of a read under lock; it only spares what follows from rows that are the same.
#[derive(Default)]
pub struct Memory {
    trail: Trail,
    /// The book of the policies that were read last.
    book: Arc<PolicyBook>,
    compiled: HashMap<String, Arc<Compiled>>,
}

impl Memory {
    /// The book of these rows: the last one where it has the very same rows, column by column and in
    /// the same order. Of another one only patterns are compiled that were never seen.
    fn book(&mut self, rows: Vec<PolicyRow>) -> Arc<PolicyBook> {
        if self.book.rows() != rows {
            if self.compiled.len() > MOST_PATTERNS {
                self.compiled.clear();
            }
            let compiled = &mut self.compiled;
            self.book = Arc::new(PolicyBook::with(rows, |text| {
                let kept = compiled.entry(text.to_owned());
                Arc::clone(kept.or_insert_with_key(|text| Arc::new(pattern::compile(text))))
            }));
        }
        Arc::clone(&self.book)
    }

    /// Reads ahead, with no lock held, what the first batch in these repositories would otherwise read and
    /// compile while others wait: their policies and the users' acts on their tags. The batch reads both
    /// again under its locks; policies whole, and of the acts what can have come since. Those that
    /// are remembered are as complete as after a batch, which does not lock the log either.
    ///
    /// # Errors
    /// [`JournalError`] where the server does not answer.
    pub fn read_ahead(
        &mut self,
        tx: &mut WriteTransaction<'_>,
        repositories: &[RepositoryId],
        schema: PolicySchema,
    ) -> Result<(), JournalError> {
        let registry = registry_of(tx, repositories)?;
        let rows = policies_on(tx, schema, repositories, &registry)?;
        self.book(rows);
        self.trail.on(tx, repositories)?;
        Ok(())
    }
}

/// What a batch is judged by, read under its locks.
pub struct Ground {
    /// The repositories and their namespaces.
    pub registry: Registry,
    /// Their policies.
    pub policies: Arc<PolicyBook>,
    /// Of the server's clock and ours the later: what may already be dead is treated as dead.
    pub now: DateTime<Utc>,
    /// Both.
    pub clocks: Clocks,
    /// Repositories whose locks somebody else has: nothing of them may be changed.
    pub refused: Vec<RepositoryId>,
    operations: Vec<OperationRow>,
    journal: JournalKept,
}

impl Ground {
    /// Takes the batch's locks, each in a statement of its own and before anything is read: both
    /// policy tables where protection is taken away, then Quay's locks on the repositories. Then
    /// reads policies, operations and clock as they are now; what does not change between batches is remembered.
    ///
    /// # Errors
    /// [`JournalError`], of class lock time-out where somebody is in the way for too long.
    pub fn enter(
        tx: &mut WriteTransaction<'_>,
        repositories: &[RepositoryId],
        protection: Protection,
        schema: PolicySchema,
        memory: &mut Memory,
    ) -> Result<Self, JournalError> {
        if protection == Protection::TakenAway {
            lock_policy_tables(tx)?;
        }
        let refused = lock_repositories(tx, repositories, protection)?;
        let ground = Self::read_with(tx, repositories, schema, JournalKept::Kept, memory)?;
        Ok(Self { refused, ..ground })
    }

    /// Reads the same without any lock, for whoever only looks.
    ///
    /// # Errors
    /// [`JournalError`] where the server does not answer.
    pub fn read(
        pg: &mut impl Statements,
        repository: RepositoryId,
        schema: PolicySchema,
        journal: JournalKept,
    ) -> Result<Self, JournalError> {
        Self::read_with(pg, &[repository], schema, journal, &mut Memory::default())
    }

    fn read_with(
        pg: &mut impl Statements,
        repositories: &[RepositoryId],
        schema: PolicySchema,
        journal: JournalKept,
        memory: &mut Memory,
    ) -> Result<Self, JournalError> {
        let registry = registry_of(pg, repositories)?;
        let rows = policies_on(pg, schema, repositories, &registry)?;
        let clocks = Clocks::read(pg)?;
        Ok(Self {
            policies: memory.book(rows),
            registry,
            now: clocks.later(),
            clocks,
            refused: Vec::new(),
            operations: match journal {
                JournalKept::Kept => unfinished_operations(pg)?,
                JournalKept::Absent => Vec::new(),
            },
            journal,
        })
    }

    /// The moment in Quay's unit.
    pub fn now_millis(&self) -> UnixMillis {
        UnixMillis(self.now.timestamp_millis())
    }

    /// The evidence about rows, by users' acts that are remembered from batch to batch; an
    /// operation is no evidence for itself.
    ///
    /// # Errors
    /// [`JournalError`] where a row cannot be understood or the server does not answer.
    pub fn accounts(
        &self,
        pg: &mut impl Streams,
        rows: &[TagRow],
        ours: OperationId,
        memory: &mut Memory,
    ) -> Result<HashMap<TagId, Account>, JournalError> {
        let mut of: Vec<RepositoryId> = rows.iter().map(|row| row.repository).collect();
        of.sort_unstable();
        of.dedup();
        if of.is_empty() {
            return Ok(HashMap::new());
        }
        let journal = self.journal == JournalKept::Kept;
        let others = self.others(ours);
        match memory.trail.on(pg, &of)? {
            Some(acts) => accounts_by(pg, &self.registry, rows, &others, journal, acts),
            None => accounts(pg, &self.registry, rows, &others, journal),
        }
    }

    fn others(&self, ours: OperationId) -> Vec<OperationRow> {
        self.operations
            .iter()
            .filter(|operation| operation.id != ours)
            .cloned()
            .collect()
    }

    /// The audit entry of a change, where the repository has a namespace to log it under.
    pub fn entry(&self, row: &TagRow, change: &TagChange) -> Option<MarkedChange> {
        let (namespace_name, repository_name) = self.registry.repository_names(row.repository);
        Some(MarkedChange {
            tag: row.name.clone(),
            repository: row.repository,
            repository_name: repository_name.to_owned(),
            namespace: self.registry.namespace_of(row.repository)?,
            namespace_name: namespace_name.to_owned(),
            before: change.before.immutability,
            after: change.after.immutability,
        })
    }
}

/// Takes Quay's locks on repositories: the first is waited for, and no other is held meanwhile; the others are only tried.
/// So nobody waits in a circle. Those that somebody else has. Where protection is taken away Quay can change no policy
/// meanwhile: the first is then waited for 0.2 s at a time.
///
/// # Errors
/// [`PgError`], of class lock time-out where somebody has the first for too long.
pub fn lock_repositories(
    tx: &mut WriteTransaction<'_>,
    repositories: &[RepositoryId],
    protection: Protection,
) -> Result<Vec<RepositoryId>, PgError> {
    let Some((first, others)) = repositories.split_first() else {
        return Ok(Vec::new());
    };
    match protection {
        Protection::TakenAway => lock_repository_within(tx, *first, WHILE_POLICIES_ARE_LOCKED)?,
        Protection::OnlyGiven => lock_repository(tx, *first)?,
    }
    if others.is_empty() {
        return Ok(Vec::new());
    }
    try_lock_repositories(tx, others)
}

/// The policies of repositories and of their namespaces, as they are now.
fn policies_on(
    pg: &mut impl Statements,
    schema: PolicySchema,
    repositories: &[RepositoryId],
    registry: &Registry,
) -> Result<Vec<PolicyRow>, JournalError> {
    let mut namespaces: Vec<NamespaceId> = repositories
        .iter()
        .filter_map(|id| registry.namespace_of(*id))
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let of = PoliciesOf::Scopes {
        repositories: repositories.to_vec(),
        namespaces,
    };
    Ok(policies(pg, schema, &of)?)
}

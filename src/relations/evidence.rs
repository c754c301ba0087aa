//! All the evidence about some tags, gathered from labels, audit log and journal.

use std::collections::{BTreeSet, HashMap};

use super::{AuditTrail, labels};
use crate::evaluate::{
    Account, Activity, Decision, Found, PolicyBook, PolicyRow, Registry, TagRow, WorkerLife,
};
use crate::journal::{self, JournalError, Kept, KeptWhat, OperationRow};
use crate::pg::Streams;
use crate::quay::{
    ManifestId, NamespaceId, OperationId, PolicyRowId, PolicyText, PolicyUuid, RepositoryId, Scope,
    TagId,
};

/// Gathers the evidence about tags. `operations` are the unfinished ones, whether their workers live or not; empty, and `journal`
/// false, where there is no journal to ask.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn accounts(
    pg: &mut impl Streams,
    registry: &Registry,
    rows: &[TagRow],
    operations: &[OperationRow],
    journal: bool,
) -> Result<HashMap<TagId, Account>, JournalError> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let trail = AuditTrail::about(pg, rows)?;
    accounts_by(pg, registry, rows, operations, journal, &trail)
}

/// The same by users' acts that have been read already.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn accounts_by(
    pg: &mut impl Streams,
    registry: &Registry,
    rows: &[TagRow],
    operations: &[OperationRow],
    journal: bool,
    trail: &AuditTrail,
) -> Result<HashMap<TagId, Account>, JournalError> {
    let mut accounts: HashMap<TagId, Account> = HashMap::new();
    if rows.is_empty() {
        return Ok(accounts);
    }
    let repositories: BTreeSet<RepositoryId> = rows.iter().map(|row| row.repository).collect();
    let repositories: Vec<RepositoryId> = repositories.into_iter().collect();
    let manifests: Vec<ManifestId> = rows.iter().filter_map(|row| row.manifest).collect();

    let labelled = labels::labelled(pg, &manifests)?;
    let mut declared = Declared::default();
    if journal {
        let namespaces: BTreeSet<NamespaceId> = repositories
            .iter()
            .filter_map(|id| registry.namespace_of(*id))
            .collect();
        let namespaces: Vec<NamespaceId> = namespaces.into_iter().collect();
        let tags: Vec<TagId> = rows.iter().map(|row| row.id).collect();
        declared = Declared::new(journal::kept(pg, &tags, &repositories, &namespaces)?);
    }
    let at_work = AtWork::new(operations);

    for row in rows {
        let account = accounts.entry(row.id).or_default();
        if row
            .manifest
            .is_some_and(|manifest| labelled.contains(&manifest))
        {
            account.push(Found::Label);
        }
        account.extend(trail.newest_on(row));
        account.extend(declared.on(row, registry));
        account.extend(at_work.on(row, registry));
    }
    Ok(accounts)
}

/// Keep evidence, ready to look tags up in.
#[derive(Default)]
struct Declared {
    tags: HashMap<TagId, Found>,
    scopes: TextBook,
    found: Vec<Found>,
}

impl Declared {
    fn new(kept: Vec<Kept>) -> Self {
        let mut declared = Self::default();
        let mut texts = Vec::new();
        for Kept {
            scope,
            what,
            actor,
            reason,
        } in kept
        {
            let found = Found::Kept { actor, reason };
            match what {
                KeptWhat::Tag(tag) => {
                    declared.tags.insert(tag, found);
                }
                KeptWhat::Policy(text) => {
                    texts.push((scope, text));
                    declared.found.push(found);
                }
            }
        }
        declared.scopes = TextBook::new(texts);
        declared
    }

    fn on(&self, row: &TagRow, registry: &Registry) -> Option<Found> {
        self.tags
            .get(&row.id)
            .or_else(|| self.found.get(self.scopes.first_on(row, registry)?))
            .cloned()
    }
}

/// Operations that have not ended, ready to look tags up in.
struct AtWork {
    live: Covering,
    interrupted: Covering,
}

/// Texts of operations, and the operation of each.
struct Covering {
    texts: TextBook,
    operations: Vec<OperationId>,
}

impl AtWork {
    fn new(operations: &[OperationRow]) -> Self {
        let with = |life: WorkerLife| {
            Covering::of(
                operations
                    .iter()
                    .filter(|operation| operation.life() == life),
            )
        };
        Self {
            live: with(WorkerLife::Alive),
            interrupted: with(WorkerLife::Gone),
        }
    }

    /// One at work outweighs one that was interrupted: what becomes of the tag is not known yet.
    fn on(&self, row: &TagRow, registry: &Registry) -> Option<Found> {
        let live = self.live.first_on(row, registry);
        live.map(|operation| Found::LiveOperation { operation })
            .or_else(|| {
                let interrupted = self.interrupted.first_on(row, registry);
                interrupted.map(|operation| Found::InterruptedOperation { operation })
            })
    }
}

impl Covering {
    fn of<'o>(operations: impl Iterator<Item = &'o OperationRow>) -> Self {
        let (mut texts, mut of_texts) = (Vec::new(), Vec::new());
        for operation in operations {
            let Some(scope) = operation.scope else {
                continue;
            };
            for text in &operation.texts {
                texts.push((scope, text.clone()));
                of_texts.push(operation.id);
            }
        }
        Self {
            texts: TextBook::new(texts),
            operations: of_texts,
        }
    }

    fn first_on(&self, row: &TagRow, registry: &Registry) -> Option<OperationId> {
        let first = self.texts.first_on(row, registry)?;
        self.operations.get(first).copied()
    }
}

/// Policy texts that are not, or not yet, policies, asked as if they were.
#[derive(Default)]
struct TextBook(PolicyBook);

impl TextBook {
    fn new(texts: Vec<(Scope, PolicyText)>) -> Self {
        let rows = texts
            .into_iter()
            .enumerate()
            .map(|(index, (scope, text))| PolicyRow {
                id: PolicyRowId(i32::try_from(index).unwrap_or(i32::MAX)),
                uuid: PolicyUuid(String::new()),
                scope,
                namespace: NamespaceId(0),
                text,
                activity: Activity::Active,
                created: None,
            })
            .collect();
        Self(PolicyBook::new(rows))
    }

    /// The place of the first text that makes the tag immutable.
    fn first_on(&self, row: &TagRow, registry: &Registry) -> Option<usize> {
        let namespace = registry.namespace_of(row.repository);
        match self.0.decide(row.repository, namespace, &row.name) {
            Decision::Immutable(policy) => usize::try_from(policy.id.0).ok(),
            Decision::Mutable | Decision::Unknown(_) => None,
        }
    }
}

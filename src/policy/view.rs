//! Policies as they stand, and what an operation would do: nothing here writes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use super::target::{Target, find};
use super::validate::validate;
use super::{NewPattern, Pick, PolicyError, Preflight};
use crate::config::ConnectionSettings;
use crate::evaluate::{Activity, Decision, PolicyBook, PolicyRow, WorkerLife};
use crate::journal::{OperationRow, SchemaState, unfinished_operations};
use crate::pg::{ReadSession, Statements};
use crate::quay::{
    Immutability, OperationId, PolicyText, PolicyUuid, RepositoryId, Scope, StoredPolicy, TagId,
    UnixMillis,
};
use crate::relations::{
    Page, PagedTag, PoliciesOf, PolicySchema, Selection, census, load, page_of_tags, policies,
    repositories_of, server_clock,
};

/// Rows that are read at once.
const PAGE: u32 = 5_000;

/// How a policy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyState {
    /// Enforced.
    Active,
    /// Not enforced by a Quay that knows the column, and no operation is at work on it.
    Inactive,
    /// An operation with a live worker owns it.
    Applying,
    /// An operation whose worker is gone owns it.
    Interrupted,
}

/// A policy as Quay's API shows it, and what we know beyond that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// `uuid`.
    pub uuid: PolicyUuid,
    /// What Quay reads from its text; none where Quay fails on it.
    pub policy: Option<StoredPolicy>,
    /// How it stands.
    pub state: PolicyState,
    /// Whether the row is active.
    pub activity: Activity,
    /// When it was created, where that is known.
    pub created: Option<DateTime<Utc>>,
    /// What it governs.
    pub scope: Scope,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name, for a repository's policy.
    pub repository: Option<String>,
    /// The unfinished operation that owns it.
    pub operation: Option<OperationId>,
}

/// Every policy of the selection, a repository's before a namespace's.
///
/// # Errors
/// [`PolicyError`] where a name is unknown or the database does not answer.
pub fn list(
    settings: &ConnectionSettings,
    selection: &Selection,
) -> Result<Vec<PolicyView>, PolicyError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let schema = SchemaState::read(&mut snapshot)?;
    let registry = census(&mut snapshot, selection)?;
    if let Some(name) = &selection.namespace
        && registry.namespaces.is_empty()
    {
        return Err(PolicyError::refused(
            format!("there is no namespace `{name}`"),
            "names are compared exactly, capitals included",
        ));
    }
    if let Some(name) = &selection.repository
        && registry.repositories.is_empty()
    {
        return Err(PolicyError::refused(
            format!("there is no repository `{name}` there"),
            "names are compared exactly, capitals included",
        ));
    }
    let rows = policies(&mut snapshot, PolicySchema::from(&schema), &PoliciesOf::All)?;
    let operations = if schema.asks_journal()? {
        unfinished_operations(&mut snapshot)?
    } else {
        Vec::new()
    };
    let selected = |row: &PolicyRow| match row.scope {
        Scope::Namespace(id) => {
            selection.repository.is_none() && registry.namespaces.contains_key(&id)
        }
        Scope::Repository(id) => registry.repositories.contains_key(&id),
    };
    Ok(rows
        .into_iter()
        .filter(selected)
        .map(|row| {
            let owner = operations.iter().find(|op| owns(op, &row.uuid));
            let (namespace, repository) = registry.scope_names(row.scope);
            PolicyView {
                policy: row.text.parse().ok(),
                state: state(row.activity, owner),
                activity: row.activity,
                created: row.created,
                scope: row.scope,
                namespace: namespace.to_owned(),
                repository: repository.map(str::to_owned),
                operation: owner.map(|op| op.id),
                uuid: row.uuid,
            }
        })
        .collect())
}

fn owns(operation: &OperationRow, uuid: &PolicyUuid) -> bool {
    operation.policy.as_ref() == Some(uuid) || operation.staged.as_ref() == Some(uuid)
}

fn state(activity: Activity, owner: Option<&OperationRow>) -> PolicyState {
    match (owner.map(|op| op.life()), activity) {
        (Some(WorkerLife::Alive), _) => PolicyState::Applying,
        (Some(WorkerLife::Gone), _) => PolicyState::Interrupted,
        (None, Activity::Active) => PolicyState::Active,
        (None, Activity::Inactive) => PolicyState::Inactive,
    }
}

/// What a policy would do to its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Live mutable tags that it makes immutable.
    pub become_immutable: u64,
    /// The same by repository, where there are any.
    pub by_repository: BTreeMap<String, u64>,
    /// Of these, those that have an expiry.
    pub expiring: u64,
    /// Live tags that it matches and that are immutable already.
    pub already_immutable: u64,
}

/// What the policy of this request would do; nothing is written.
///
/// # Errors
/// [`PolicyError`] where the request is wrong or the database does not answer.
pub fn preview(
    settings: &ConnectionSettings,
    pick: &Pick,
    new: &NewPattern,
) -> Result<Preflight, PolicyError> {
    let text = validate(new)?.to_text();
    let mut session = ReadSession::open(settings)?;
    session.only_in_utf8()?;
    let mut snapshot = session.snapshot()?;
    let target = find(&mut snapshot, pick)?;
    let impact = impact(&mut snapshot, &target, &text)?;
    Ok(Preflight::new(impact, &load(&mut snapshot)?))
}

/// What a policy's text would do to a scope.
pub(super) fn impact(
    pg: &mut impl Statements,
    target: &Target,
    text: &PolicyText,
) -> Result<Impact, PolicyError> {
    let registry = census(
        pg,
        &Selection {
            namespace: Some(target.namespace_name.clone()),
            repository: None,
        },
    )?;
    let mut impact = Impact::default();
    let mutable = Immutability::Mutable;
    for_each_page(pg, target, text, mutable, |repository, tags| {
        let (_, name) = registry.repository_names(repository);
        *impact.by_repository.entry(name.to_owned()).or_default() += tags.len() as u64;
        impact.become_immutable += tags.len() as u64;
        impact.expiring += expiring(&tags);
        Ok(ControlFlow::Continue(()))
    })?;
    for_each_page(pg, target, text, Immutability::Immutable, |_, tags| {
        impact.already_immutable += tags.len() as u64;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(impact)
}

/// How many live mutable tags a text makes immutable, and how many of these expire, as far as that
/// has to be known: the walk ends when there are more than `enough` and nobody has to be asked
/// about expiry.
pub(super) fn glance(
    pg: &mut impl Statements,
    target: &Target,
    text: &PolicyText,
    enough: u64,
    can_expire: Option<bool>,
) -> Result<Impact, PolicyError> {
    let mut impact = Impact::default();
    let mutable = Immutability::Mutable;
    for_each_page(pg, target, text, mutable, |_, tags| {
        impact.become_immutable += tags.len() as u64;
        impact.expiring += expiring(&tags);
        let known = can_expire.is_some() && impact.become_immutable > enough;
        Ok(if known {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(impact)
}

fn expiring(tags: &[PagedTag]) -> u64 {
    tags.iter().filter(|tag| tag.expires).count() as u64
}

/// The live mutable tags that a text makes immutable, by repository.
pub(super) fn matching(
    pg: &mut impl Statements,
    target: &Target,
    text: &PolicyText,
) -> Result<Vec<(RepositoryId, Vec<TagId>)>, PolicyError> {
    let mut matching: BTreeMap<RepositoryId, Vec<TagId>> = BTreeMap::new();
    let mutable = Immutability::Mutable;
    for_each_page(pg, target, text, mutable, |repository, tags| {
        let ids = tags.iter().map(|tag| tag.id);
        matching.entry(repository).or_default().extend(ids);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(matching.into_iter().collect())
}

fn for_each_page<P: Statements>(
    pg: &mut P,
    target: &Target,
    text: &PolicyText,
    immutability: Immutability,
    mut take: impl FnMut(RepositoryId, Vec<PagedTag>) -> Result<ControlFlow<()>, PolicyError>,
) -> Result<(), PolicyError> {
    let book = PolicyBook::of_one(target.scope, text.clone());
    let now = UnixMillis(server_clock(pg)?.timestamp_millis());
    for repository in repositories_of(pg, target.scope)? {
        let mut after: Option<(String, TagId)> = None;
        loop {
            let page = page_of_tags(
                pg,
                &Page {
                    repository,
                    after: after.as_ref().map(|(name, id)| (name.as_str(), *id)),
                    immutability,
                    now,
                    limit: PAGE,
                },
            )?;
            let mut matched = Vec::with_capacity(page.tags.len());
            for tag in page.tags {
                match book.decide(repository, Some(target.namespace), &tag.name) {
                    Decision::Immutable(_) => matched.push(tag),
                    Decision::Mutable => {}
                    Decision::Unknown(why) => {
                        return Err(PolicyError::refused(
                            format!("a tag cannot be decided: {why}"),
                            "write the pattern without that",
                        ));
                    }
                }
            }
            if !matched.is_empty() && take(repository, matched)?.is_break() {
                return Ok(());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

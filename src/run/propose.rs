//! Proposals: for each scope whose orphans wait for a decision, the policy that most likely made
//! them.

use std::collections::BTreeMap;

use super::RunError;
use crate::config::ConnectionSettings;
use crate::correction::infer::{JUDGED, Traces, infer};
use crate::correction::{OpenOrphans, ScopeProposal};
use crate::evaluate::TagSubject;
use crate::pg::{ReadSession, ReadSnapshot};
use crate::quay::{Scope, TagId, UnixMillis};
use crate::relations::{left_mutable, namespace_by_name, server_clock};

/// How many scopes get a proposal; those with the most orphans.
const SCOPES: usize = 20;

/// Proposes a policy for each scope with open orphans: for a repository where one has them, for
/// the namespace where several have, and for each of these too where no policy of the namespace
/// accounts for all.
///
/// # Errors
/// [`RunError`] where the database does not answer.
pub(super) fn propose(
    settings: &ConnectionSettings,
    open: &OpenOrphans,
) -> Result<Vec<ScopeProposal>, RunError> {
    if open.tags.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let now = UnixMillis(server_clock(&mut snapshot)?.timestamp_millis());
    let mut proposals = Vec::new();
    for (namespace, tags) in by_place(&open.tags, |tag| &tag.namespace) {
        if proposals.len() >= SCOPES {
            break;
        }
        let repositories = by_place(&tags, |tag| &tag.repository);
        if repositories.len() > 1
            && let Some(row) = namespace_by_name(&mut snapshot, namespace)?
        {
            let scope = Scope::Namespace(row.id);
            let found = one(&mut snapshot, scope, (namespace, None), &tags, open, now)?;
            let accounts = found.as_ref().is_some_and(ScopeProposal::accounts_for_all);
            proposals.extend(found);
            if accounts {
                continue;
            }
        }
        for (repository, tags) in repositories {
            let Some(first) = tags.first() else { continue };
            let scope = Scope::Repository(first.row.repository);
            let names = (namespace, Some(repository));
            proposals.extend(one(&mut snapshot, scope, names, &tags, open, now)?);
        }
    }
    proposals.truncate(SCOPES);
    Ok(proposals)
}

/// Tags by a name, the name with the most of them first.
fn by_place<'t>(
    tags: &[&'t TagSubject],
    name: impl Fn(&'t TagSubject) -> &'t str,
) -> Vec<(&'t str, Vec<&'t TagSubject>)> {
    let mut places: BTreeMap<&str, Vec<&TagSubject>> = BTreeMap::new();
    for tag in tags {
        places.entry(name(tag)).or_default().push(tag);
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(_, tags)| std::cmp::Reverse(tags.len()));
    places
}

fn one(
    snapshot: &mut ReadSnapshot<'_>,
    scope: Scope,
    (namespace, repository): (&str, Option<&str>),
    orphans: &[&TagSubject],
    open: &OpenOrphans,
    now: UnixMillis,
) -> Result<Option<ScopeProposal>, RunError> {
    let last = orphans.iter().map(|tag| tag.row.id).max();
    let limit = u32::try_from(JUDGED).unwrap_or(u32::MAX);
    let passed_over = left_mutable(snapshot, scope, last.unwrap_or(TagId(0)), now, limit)?;
    let traces = Traces {
        orphans: orphans.iter().map(|tag| tag.row.name.clone()).collect(),
        passed_over,
    };
    let known = open.known_in(namespace, repository);
    Ok(ScopeProposal::new(
        (namespace, repository),
        &traces,
        infer(&traces, &known),
    ))
}

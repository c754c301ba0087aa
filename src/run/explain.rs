//! The explanation of one tag: everything that accounts for it, from one snapshot.

use std::time::Duration;

use super::RunError;
use crate::config::ConnectionSettings;
use crate::evaluate::{
    Account, Activity, Evaluator, Features, Found, Grace, Moment, Reading, Strictness, TagRow,
    Verdict,
};
use crate::journal::told_changes;
use crate::pg::{ReadSession, ReadSnapshot};
use crate::quay::{ImmutabilityChange, RepositoryId, Scope, is_alive};
use crate::relations::{AuditLog, Selection, accounts, acts_on, tags_named};
use crate::report::{
    ChangeTold, EntryTold, PolicySays, PolicyTold, RuleTold, TagExplanation, TagRowTold,
};
use crate::rules::{Catalogue, Rule};
use crate::scan::{Grounds, ScanError};

/// How many rows of the name are counted.
const MOST_ROWS: u32 = 1_000;
/// How many changes of ours are told.
const MOST_CHANGES: u32 = 50;
/// How many entries of the audit log, the newest, are told.
const MOST_ENTRIES: usize = 1_000;

/// Which tag, and by what it is judged.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: String,
    /// The tag's name.
    pub tag: String,
    /// What is stated about Quay.
    pub features: Features,
    /// How long Quay may be at work on a policy that it has just created.
    pub grace: Duration,
}

/// Explains a tag; changes nothing.
///
/// # Errors
/// [`RunError`], also where there is no such tag.
pub fn explain_tag(
    settings: &ConnectionSettings,
    request: &ExplainRequest,
) -> Result<TagExplanation, RunError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let selection = Selection {
        namespace: Some(request.namespace.clone()),
        repository: Some(request.repository.clone()),
    };
    let grounds = Grounds::read(&mut snapshot, &selection)?;
    let unknown = || ScanError::Unknown {
        what: "tag",
        name: request.tag.clone(),
    };
    let repository = grounds.registry.repositories.keys().next().copied();
    let repository = repository.ok_or_else(unknown)?;
    let rows = tags_named(&mut snapshot, repository, &request.tag, MOST_ROWS)?;
    let moment = Moment {
        now: grounds.now,
        stale_after: Duration::ZERO,
        features: request.features,
        strictness: Strictness::Lenient,
    };
    let live = |row: &&TagRow| is_alive(row.hidden, row.expiry, moment.millis());
    let row = rows
        .iter()
        .find(live)
        .or(rows.first())
        .ok_or_else(unknown)?;
    let (account, audit) = accounted(&mut snapshot, &grounds, row)?;
    let rules = Catalogue::built_in()?;
    let evaluator = Evaluator::new(rules.rules(), &grounds.registry, &grounds.policies, moment)
        .with_grace(Grace(request.grace));
    let mut notes = Vec::new();
    if grounds.audit != AuditLog::Kept {
        notes.push("the audit log is empty or cannot be read: what users did is not known".into());
    }
    let journal = if grounds.schema.has_journal() {
        told(&mut snapshot, row)?
    } else {
        notes.push("there is no journal".into());
        Vec::new()
    };
    Ok(TagExplanation {
        namespace: request.namespace.clone(),
        repository: request.repository.clone(),
        name: request.tag.clone(),
        row: TagRowTold {
            id: row.id.0,
            live: live(&row),
            immutable: row.immutability.as_column(),
            start_ms: row.start,
            end_ms: row.expiry.0,
        },
        earlier_rows: rows.len() - 1,
        policies: policies(&grounds, repository, &request.tag),
        evidence: account.iter().map(ToString::to_string).collect(),
        audit,
        journal,
        rules: evaluator
            .verdicts(row)
            .into_iter()
            .map(|(place, verdict)| rule_told(&rules.rules()[place], verdict, &account))
            .collect(),
        notes,
    })
}

/// Evidence about the row, and every entry about tags of its name.
fn accounted(
    snapshot: &mut ReadSnapshot<'_>,
    grounds: &Grounds,
    row: &TagRow,
) -> Result<(Account, Vec<EntryTold>), RunError> {
    if grounds.audit == AuditLog::Unreadable {
        return Ok((Vec::new(), Vec::new()));
    }
    let rows = std::slice::from_ref(row);
    let journal = grounds.schema.has_journal();
    let (registry, operations) = (&grounds.registry, &grounds.operations);
    let mut found = accounts(snapshot, registry, rows, operations, journal)?;
    let entries = acts_on(snapshot, row.repository, &row.name, MOST_ENTRIES)?
        .into_iter()
        .map(|(change, act)| EntryTold {
            id: act.entry.0,
            at: act.at,
            user: act.user,
            did: match change {
                ImmutabilityChange::Set => "made it immutable",
                ImmutabilityChange::TakenOff => "took its immutability off",
                ImmutabilityChange::StayedOff => "left it mutable",
            },
        })
        .collect();
    Ok((found.remove(&row.id).unwrap_or_default(), entries))
}

fn told(snapshot: &mut ReadSnapshot<'_>, row: &TagRow) -> Result<Vec<ChangeTold>, RunError> {
    let changes = told_changes(snapshot, row.id, MOST_CHANGES)?;
    Ok(changes
        .into_iter()
        .map(|told| {
            let (before, after) = (told.change.before, told.change.after);
            ChangeTold {
                operation: told.operation.0,
                kind: told.kind,
                actor: told.actor,
                reason: told.reason,
                started_at: told.started,
                immutable: [before, after].map(|image| image.immutability.as_column()),
                end_ms: [before, after].map(|image| image.expiry.0),
                undone_at: told.undone,
            }
        })
        .collect())
}

/// Every policy of the repository and of its namespace, in Quay's order.
fn policies(grounds: &Grounds, repository: RepositoryId, tag: &str) -> Vec<PolicyTold> {
    let namespace = grounds.registry.namespace_of(repository);
    grounds
        .policies
        .read_rows()
        .filter(|(row, _)| match row.scope {
            Scope::Repository(id) => id == repository,
            Scope::Namespace(id) => Some(id) == namespace,
        })
        .map(|(row, reading)| {
            let (says, why) = says(reading, tag);
            PolicyTold {
                uuid: row.uuid.0.clone(),
                scope: match row.scope {
                    Scope::Repository(_) => "repository",
                    Scope::Namespace(_) => "namespace",
                },
                pattern: reading.pattern().unwrap_or(&row.text.0).to_owned(),
                active: row.activity == Activity::Active,
                says,
                why,
            }
        })
        .collect()
}

fn says(reading: &Reading, tag: &str) -> (PolicySays, Option<String>) {
    match reading.on(tag) {
        Ok(true) => (PolicySays::Immutable, None),
        Ok(false) => (PolicySays::Nothing, None),
        Err(why) if matches!(reading, Reading::Raises(_)) => (PolicySays::Fails, Some(why)),
        Err(why) => (PolicySays::NotTold, Some(why)),
    }
}

fn rule_told(rule: &Rule, verdict: Verdict, account: &Account) -> RuleTold {
    let excuses: Vec<&Found> = account.iter().filter(|found| found.excuses(rule)).collect();
    let excused = !excuses.is_empty();
    let (verdict, why) = match verdict {
        Verdict::NotASubject => ("not-a-subject", None),
        Verdict::Sound => ("sound", None),
        Verdict::Violated if matches!(excuses[..], [Found::LiveOperation { .. }]) => {
            ("undecided", excuses.first().map(ToString::to_string))
        }
        Verdict::Violated if excused => ("explained", None),
        Verdict::Violated => ("violated", None),
        Verdict::Undecided(why) => ("undecided", Some(why.to_string())),
    };
    RuleTold {
        id: rule.id.clone(),
        verdict,
        why,
    }
}

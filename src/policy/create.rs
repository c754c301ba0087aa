//! Creating a policy: what there is already, the row that stages it, and small scopes at once.

use uuid::Uuid;

use super::activate::{activate_in, forward};
use super::attempt::{First, Opened, carry_out};
use super::begin::{Begin, commit_begin, expiry_is_stated, only, owned, stated};
use super::identity::same_request;
use super::mark::{Way, lock_all, mark};
use super::not_written::not_written;
use super::outcome::{Ended, Outcome};
use super::own_row::kept_as_asked;
use super::target::{Target, find};
use super::validate::validate;
use super::view::{Impact, glance};
use super::walk::Work;
use super::worker::Watcher;
use super::{Create, PolicyError, PolicyOptions, Strategy};
use crate::config::ConnectionSettings;
use crate::evaluate::{Activity, PolicyRow};
use crate::journal::{
    Kind, Phase, PolicyChange, PolicyOperation, being_undone, owner_of, record_policy_change,
};
use crate::pg::{Statements, WriteTransaction};
use crate::quay::{Immutability, PolicyText, PolicyUuid, Scope, StoredPolicy};
use crate::relations::{PolicySchema, insert_policy, is_small, last_tag_id, lock_scope, policies};
use crate::report::NamedTags;

/// Up to so many tags are marked in one transaction, where the choice is left to us.
const ATOMIC_UP_TO: u64 = 500;
/// The scope of one transaction: repositories, whose locks it may hold all at once, and rows of tags, which it reads
/// while it holds them, whether they match or not.
const ATOMIC_REPOSITORIES: u32 = 64;
const ATOMIC_ROWS: u32 = 10_000;

/// Creates a policy. The same command started again goes on with its own unfinished operation.
///
/// # Errors
/// [`PolicyError`]; it says whether anything is left.
pub fn create(
    settings: &ConnectionSettings,
    request: &Create,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, PolicyError> {
    let policy = validate(&request.new)?;
    carry_out(settings, options, watcher, |opened, fence, watcher| {
        begin_creation(opened, fence, request, &policy, options, watcher)
    })
}

fn begin_creation(
    (session, schema): &mut Opened,
    fence: Uuid,
    request: &Create,
    policy: &StoredPolicy,
    options: &PolicyOptions,
    watcher: &mut dyn Watcher,
) -> Result<First, PolicyError> {
    let schema = *schema;
    let target = find(session, &request.pick)?;
    if let Some(undone) = being_undone(session, target.scope, &policy.to_text())? {
        return Ok(First::Left(undone));
    }
    match standing(session, schema, target.scope, policy)? {
        Standing::Free => {}
        Standing::Taken(row) => return taken(&row, policy, request).map(First::AlreadyThere),
        Standing::Owned(operation) => {
            let text = operation.after.clone();
            let ours = operation.kind == Kind::Create && text == Some(policy.to_text());
            if !ours {
                return Err(owned(&operation));
            }
            let mut wanted = stated(options);
            wanted.inactive = request.inactive;
            same_request(&operation, &wanted)?;
            return Ok(First::Left(*operation));
        }
    }
    let text = policy.to_text();
    let uuid = PolicyUuid(Uuid::new_v4().to_string());
    let stated = stated(options);
    let mut impact = Impact::default();
    if !request.inactive {
        impact = glance(session, &target, &text, ATOMIC_UP_TO, stated.can_expire)?;
        expiry_is_stated(&impact, stated.can_expire)?;
        watcher.expected(impact.become_immutable);
    }
    let atomic = !request.inactive && is_atomic(session, target.scope, options.strategy, &impact)?;
    let mut operation_options = stated;
    operation_options.inactive = request.inactive;
    operation_options.strategy = if atomic {
        Strategy::Atomic
    } else {
        Strategy::Phased
    }
    .name()
    .to_owned();
    let begin = Begin {
        kind: Kind::Create,
        phase: if request.inactive {
            Phase::Done
        } else {
            Phase::Applying
        },
        policy: &uuid,
        before: None,
        after: Some(&text),
        options: &operation_options,
        fence,
    };
    let mut tx = session.begin()?;
    lock_scope(&mut tx, target.scope)?;
    if let Standing::Taken(_) | Standing::Owned(_) =
        standing(&mut tx, schema, target.scope, policy)?
    {
        return Err(PolicyError::refused(
            "the same policy was created at the same moment by somebody else",
            "`quay-doctor policy list` shows it",
        ));
    }
    let last = last_tag_id(&mut tx)?;
    let (id, row) = insert_policy(
        &mut tx,
        target.scope,
        target.namespace,
        &uuid,
        &text,
        Activity::Inactive,
    )?;
    kept_as_asked(&row, &uuid, &text, Activity::Inactive)?;
    let created = begin.write(&mut tx, &target, last, options)?;
    let change = PolicyChange {
        table: target.scope.table(),
        id,
        before: None,
        after: Some(row),
    };
    record_policy_change(&mut tx, created.id, &change)?;
    if atomic {
        let (created, altered) = apply_at_once(&mut tx, created, &target, &text, options)?;
        commit_begin(tx)?;
        return Ok(First::Applied(created, target, altered));
    }
    commit_begin(tx)?;
    Ok(First::Begun(created, target))
}

/// What there is already of a configuration.
enum Standing {
    Free,
    /// A row with the same pattern, that no operation owns.
    Taken(PolicyRow),
    Owned(Box<PolicyOperation>),
}

/// Quay's duplicate: the same pattern in the same scope, whatever `matches` says
/// (immutability.py:278-312). An operation's own leftover is no duplicate but an operation.
fn standing(
    pg: &mut impl Statements,
    schema: PolicySchema,
    scope: Scope,
    policy: &StoredPolicy,
) -> Result<Standing, PolicyError> {
    let same = policies(pg, schema, &only(scope))?.into_iter().find(|row| {
        row.text
            .parse()
            .is_ok_and(|there| there.pattern == policy.pattern)
    });
    let Some(row) = same else {
        return Ok(Standing::Free);
    };
    Ok(match owner_of(pg, &row.uuid)? {
        Some(operation) => Standing::Owned(Box::new(operation)),
        None => Standing::Taken(row),
    })
}

fn taken(row: &PolicyRow, policy: &StoredPolicy, request: &Create) -> Result<Outcome, PolicyError> {
    let equal = row.text.parse().as_ref() == Ok(policy);
    if request.if_absent && equal && row.activity == Activity::Active {
        return Ok(Outcome {
            operation: None,
            policy: row.uuid.clone(),
            ended: Ended::AlreadyThere,
            strategy: String::new(),
            sums: crate::journal::Sums::default(),
            exceptions: crate::report::Exceptions::default(),
            seconds: 0.0,
        });
    }
    let (is, help) = match (row.activity, equal) {
        (Activity::Active, true) => ("is active", "with --if-absent that is as good".to_owned()),
        (Activity::Active, false) => (
            "is active the other way round",
            format!("change it: `quay-doctor policy update {}`", row.uuid),
        ),
        (Activity::Inactive, _) => (
            "is inactive",
            format!("activate it: `quay-doctor policy activate {}`", row.uuid),
        ),
    };
    Err(PolicyError::refused(
        format!(
            "policy {} has the pattern `{}` there already, and {is}",
            row.uuid, policy.pattern
        ),
        help,
    ))
}

/// Everything up to activation in the transaction that begins the operation.
fn apply_at_once(
    tx: &mut WriteTransaction<'_>,
    mut operation: PolicyOperation,
    target: &Target,
    text: &PolicyText,
    options: &PolicyOptions,
) -> Result<(PolicyOperation, NamedTags), PolicyError> {
    let mut altered = NamedTags::default();
    let matching = super::view::matching(tx, target, text)?;
    let repositories: Vec<_> = matching.iter().map(|(repository, _)| *repository).collect();
    lock_all(tx, &repositories)?;
    let mut step = forward(Phase::Sweeping);
    for (repository, tags) in &matching {
        let marked = mark(tx, &operation, options, (Work::Mark, Way::LockFirst), tags)?;
        step.sums.matched += marked.sums.matched;
        step.sums.changed += marked.sums.changed;
        step.sums.expirations_cleared += marked.sums.expirations_cleared;
        // The sweep counts the others.
        let refused = not_written(tx, *repository, marked.refused, Immutability::Mutable)?;
        altered.append(refused.altered);
    }
    step.sums.batches = 1;
    step.sums.skipped = altered.count();
    activate_in(tx, &operation, target, text, operation.options.audit)?;
    crate::journal::advance(tx, &operation, &step)?;
    operation.phase = step.phase;
    operation.sums = step.sums;
    Ok((operation, altered))
}

fn is_atomic(
    pg: &mut impl Statements,
    scope: Scope,
    strategy: Strategy,
    impact: &Impact,
) -> Result<bool, PolicyError> {
    Ok(match strategy {
        Strategy::Atomic => true,
        Strategy::Phased => false,
        Strategy::Auto => {
            impact.become_immutable <= ATOMIC_UP_TO
                && is_small(pg, scope, ATOMIC_REPOSITORIES, ATOMIC_ROWS)?
        }
    })
}

//! The check: grounds, one pass, a second look, the report.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::notes::notes;
use super::second_look::SecondLook;
use super::{CheckRequest, Progress, RunError, queries};
use crate::config::{AnswerLimit, ConnectionSettings};
use crate::evaluate::{Bulk, Grace, Moment, OperationSubject, ScopeSets, Violation};
use crate::pg::{ReadSession, ReadSnapshot};
use crate::quay::Scope;
use crate::relations::{LARGEST_MARKED, Selection, largest_repository_of_tags};
use crate::report::{CheckReport, DatabaseFacts, ViolationKey};
use crate::rules::SubjectKind;
use crate::scan::{self, Grounds, Readers, ScanError, Wanted};

/// How often a scan begins anew that a standby has broken off to replay changes.
const RESTARTS: u32 = 3;
/// How much longer than the scan may take the server may take for its last answer.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// What a check tells while it is at it.
#[derive(Debug)]
pub enum Event<'e> {
    /// A violation was found; all of them are told, also those that are not kept.
    Found(&'e Violation),
    /// The scan begins anew, with a new snapshot: what was told so far is void.
    BegunAnew,
}

/// Is told what a check finds; says when it cannot take any more, which ends the check.
pub type Told<'t> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 't;

/// Checks a registry; changes nothing. Uses two connections: one holds the snapshot that is
/// streamed, the other looks at each suspicion again.
///
/// # Errors
/// [`RunError`] where there is no answer.
pub fn check(
    settings: &ConnectionSettings,
    request: &CheckRequest,
    progress: &mut dyn Progress,
) -> Result<CheckReport, RunError> {
    check_telling(settings, request, progress, &mut |_| {
        ControlFlow::Continue(())
    })
}

/// The same, telling each violation as it is found.
///
/// # Errors
/// [`RunError`] where there is no answer.
pub fn check_telling(
    settings: &ConnectionSettings,
    request: &CheckRequest,
    progress: &mut dyn Progress,
    tell: &mut Told<'_>,
) -> Result<CheckReport, RunError> {
    let mut restarts = 0;
    let mut standby = false;
    // Of all attempts together: who asks for an hour does not wait for four.
    let deadline = request.timeout.map(|timeout| Instant::now() + timeout);
    // The deadline is looked at between answers: a server that gives none must not outlast it.
    let limit = deadline.map_or(AnswerLimit::None, |end| {
        AnswerLimit::Until(end + LAST_ANSWER)
    });
    let settings = &settings.with_answer_limit(limit);
    loop {
        let ended = attempt(settings, request, (deadline, &mut standby), progress, tell);
        match ended {
            Err(error) if standby && error.is_broken_off() => {
                if restarts == RESTARTS || tell(Event::BegunAnew).is_break() {
                    return Err(RunError::BrokenOff {
                        times: restarts + 1,
                        error: Box::new(error),
                    });
                }
                restarts += 1;
                tracing::info!(restarts, %error, "the standby broke the scan off; it begins anew");
            }
            Ok(mut report) if restarts > 0 => {
                report.notes.push(format!(
                    "the standby broke the scan off to replay changes; it was begun anew, times: {restarts}"
                ));
                return Ok(report);
            }
            ended => return ended,
        }
    }
}

fn attempt(
    settings: &ConnectionSettings,
    request: &CheckRequest,
    (deadline, standby): (Option<Instant>, &mut bool),
    progress: &mut dyn Progress,
    tell: &mut Told<'_>,
) -> Result<CheckReport, RunError> {
    let started = Utc::now();
    let mut session = ReadSession::open(settings)?;
    let mut second = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let mut grounds = Grounds::read(&mut snapshot, &request.selection)?;
    let gone = grounds.accept(&request.accepted);
    let grounds = grounds;
    *standby = grounds.database.standby;
    let moment = Moment {
        now: grounds.now,
        stale_after: request.stale_after,
        features: request.features,
        strictness: request.strictness,
    };
    progress.begin("scanning", scan::estimated_tags(&mut snapshot)?);
    let mut look = SecondLook::new(request, &grounds, moment, &mut second, progress, tell);
    look.deadline = deadline;
    about_tags(
        &mut snapshot,
        settings,
        request,
        &grounds,
        moment,
        &mut look,
    )?;
    if look.cut_short.is_none() {
        queries::run(&mut snapshot, request, &mut look)?;
    }
    about_policies(request, &grounds, &mut look);
    let stale = stale(request, &look);
    let cut_short = look.cut_short.take();
    let (rules, mut violations, truncated) = look.into_parts();
    // The rows' places on disk are nobody's business.
    violations.sort_by(|a, b| (&a.rule, a.subject.order()).cmp(&(&b.rule, b.subject.order())));
    progress.end();
    Ok(CheckReport {
        started,
        finished: Utc::now(),
        database: DatabaseFacts {
            server_version: grounds.database.server_version.clone(),
            alembic: grounds.database.alembic.clone(),
            migration: grounds.database.migration,
            standby: grounds.database.standby,
        },
        rules,
        violations,
        truncated,
        comparison: None,
        stale,
        cut_short,
        notes: notes(&grounds, request, &gone),
    })
}

/// Known violations that are gone. Only a look at everything can say that something is not there.
fn stale(request: &CheckRequest, look: &SecondLook<'_>) -> Vec<ViolationKey> {
    let everything = request.selection == Selection::default() && request.shard.is_everything();
    if !everything || look.cut_short.is_some() {
        return Vec::new();
    }
    let rules = request.rules.rules().iter();
    look.baseline
        .stale(&rules.map(|rule| rule.id.0.clone()).collect())
}

/// One pass over the tags that the rules are about.
fn about_tags(
    snapshot: &mut ReadSnapshot<'_>,
    settings: &ConnectionSettings,
    request: &CheckRequest,
    grounds: &Grounds,
    moment: Moment,
    look: &mut SecondLook<'_>,
) -> Result<(), RunError> {
    let mut wanted = Wanted::by(request.rules.rules(), moment.millis());
    wanted.shard = request.shard;
    if request.selection != Selection::default() {
        wanted.repositories = Some(grounds.registry.repositories.keys().copied().collect());
    }
    if wanted.is_nothing() {
        return Ok(());
    }
    if wanted.repositories.is_none() && can_be_read_in_blocks(snapshot, grounds)? {
        in_blocks(
            snapshot,
            settings,
            request,
            grounds,
            (&wanted, moment),
            look,
        )?;
    } else {
        scan::tags(snapshot, &wanted, look)?;
    }
    look.look_again()
}

/// Whether tags can be read by blocks: not by an old server, nor where a mark has no room.
fn can_be_read_in_blocks(
    snapshot: &mut ReadSnapshot<'_>,
    grounds: &Grounds,
) -> Result<bool, RunError> {
    let largest = grounds.registry.repositories.keys().max().map(|id| id.0);
    let of_tags = largest_repository_of_tags(snapshot).map_err(ScanError::from)?;
    let have_room = largest.max(of_tags).is_none_or(|id| id <= LARGEST_MARKED);
    Ok(have_room && scan::reads_ranges(snapshot)?)
}

/// Tags, read side by side: what is plainly sound is counted there, suspects are looked at here.
fn in_blocks(
    snapshot: &mut ReadSnapshot<'_>,
    settings: &ConnectionSettings,
    request: &CheckRequest,
    grounds: &Grounds,
    (wanted, moment): (&Wanted, Moment),
    look: &mut SecondLook<'_>,
) -> Result<(), RunError> {
    let readers = Readers {
        settings,
        snapshot: snapshot.export()?,
        readers: request.readers,
        wanted,
    };
    let sets = ScopeSets::new(&grounds.policies, &grounds.registry);
    let by = (&grounds.registry, &grounds.policies);
    let judge = || {
        Bulk::new(
            request.rules.rules(),
            by,
            &sets,
            (moment, Grace(request.grace)),
        )
    };
    let sums = readers.read(snapshot, judge, |seen, rows| {
        if look.reached(seen).is_break() {
            return Ok::<_, RunError>(ControlFlow::Break(()));
        }
        look.suspected(rows)
    });
    for outcomes in sums.map_err(|error| or_conflict(snapshot, error))? {
        look.evaluator.absorb(outcomes);
    }
    Ok(())
}

/// A standby that ends the session whose snapshot the readers share leaves them with errors of many
/// kinds: the snapshot is not there, the connection is gone. The session itself knows why.
fn or_conflict(snapshot: &mut ReadSnapshot<'_>, error: RunError) -> RunError {
    if error.is_unanswered() {
        return error;
    }
    match snapshot.run("SELECT").map_err(RunError::from) {
        Err(own) if own.is_broken_off() => own,
        _ => error,
    }
}

/// Policies and operations: all of them are in memory.
fn about_policies(request: &CheckRequest, grounds: &Grounds, look: &mut SecondLook<'_>) {
    let found = look.evaluator.policies_where(
        |row| grounds.standing(&row.uuid),
        |row| request.shard.holds_scope(row.scope),
    );
    look.found(found);
    if !grounds.schema.has_journal() {
        let why = "there is no journal, and so no operation of ours";
        look.evaluator.skip(SubjectKind::Operation, why);
        return;
    }
    let operations = operations(request, grounds);
    let found = look.evaluator.operations(&operations);
    look.found(found);
}

/// Operations in what was selected. A fix run is about no single scope, and about every one.
fn operations(request: &CheckRequest, grounds: &Grounds) -> Vec<OperationSubject> {
    let registry = &grounds.registry;
    let everything = request.selection == Selection::default();
    grounds
        .operations
        .iter()
        .filter(|operation| request.shard.holds_operation(operation.id))
        .filter(|operation| match operation.scope {
            None => true,
            Some(_) if everything => true,
            Some(Scope::Namespace(id)) => registry.namespaces.contains_key(&id),
            Some(Scope::Repository(id)) => registry.repositories.contains_key(&id),
        })
        .map(|operation| {
            let (namespace, repository) = match operation.scope {
                Some(scope) => registry.scope_names(scope),
                None => ("", None),
            };
            OperationSubject {
                id: operation.id,
                kind: operation.kind.as_column(),
                phase: operation.phase.as_column(),
                life: operation.life(),
                worker: operation.worker.clone(),
                started: operation.started,
                namespace: namespace.to_owned(),
                repository: repository.map(str::to_owned),
            }
        })
        .collect()
}

//! The operations of a fix run: conducted after its rows were corrected, taken back before them.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Duration;

use super::recover::{Recovered, recover_one};
use super::{CheckRequest, Event, NoProgress, Progress, RecoverRequest, RunError, check_telling};
use crate::apply::{self, ApplyOptions, AuditDetail, PastExpiry, Refusal, TakenBack};
use crate::config::ConnectionSettings;
use crate::correction::{Operation, Plan, Planned, Recovery, Recreation};
use crate::evaluate::{Decision, PolicyBook, PolicySubject, Subject, Violation};
use crate::journal::{FixTotals, Kind, Phase, TagsChoice, linked_to};
use crate::pg::ReadSession;
use crate::policy::{
    self, Create, How, NewPattern, Outcome, Pick, PolicyError, PolicyOptions, Watcher,
};
use crate::quay::{NamespaceId, OperationId, RepositoryId, RunId, Scope};
use crate::relations::Selection;
use crate::report::{Conducted, ConductedEnd};
use crate::rules::{Catalogue, RuleId};

/// How long a worker that may be alive is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// How an operation of a run is carried out.
pub(super) fn policy_options(apply: &ApplyOptions, parent: Option<RunId>) -> PolicyOptions {
    PolicyOptions {
        features: apply.features,
        audit: apply.audit != AuditDetail::None,
        batch_time: apply.batch_time,
        jobs: apply.jobs,
        limits: apply.limits,
        clock_margin: apply.clock_margin,
        settle_timeout: apply.settle_timeout,
        restore_past_expiry: apply.past_expiry == PastExpiry::Restore,
        parent,
        ..PolicyOptions::new(apply.who.clone())
    }
}

/// The policy that is created again, as an operation takes it.
pub(super) fn new_pattern(recreation: &Recreation) -> NewPattern {
    NewPattern {
        pattern: recreation.policy.pattern.clone(),
        polarity: recreation.policy.polarity,
        allow_slow: false,
    }
}

/// Conducts the operations of a plan, one after the other. One that fails keeps none of the others
/// from its turn: each is whole in itself.
pub(super) struct Conductor<'a> {
    pub(super) settings: &'a ConnectionSettings,
    pub(super) options: &'a ApplyOptions,
    pub(super) rules: &'a Catalogue,
    pub(super) conducted: Vec<Conducted>,
}

impl Conductor<'_> {
    /// All of a plan's operations; what the run's sums gain.
    pub(super) fn all(
        &mut self,
        plan: &Plan,
        run: RunId,
        progress: &mut dyn Progress,
    ) -> FixTotals {
        let mut totals = FixTotals::default();
        for planned in &plan.corrections {
            let Some(operation) = planned.correction.operation() else {
                continue;
            };
            let ended = if progress.interrupted() {
                Err(NotDone::Skipped("interrupted".to_owned()))
            } else {
                self.one(planned, operation, run, progress)
            };
            let conducted = account(operation, ended, &mut totals);
            self.conducted.push(conducted);
        }
        totals
    }

    fn one(
        &self,
        planned: &Planned,
        operation: &Operation,
        run: RunId,
        progress: &mut dyn Progress,
    ) -> Result<Did, NotDone> {
        if !self.still_holds(planned, operation)? {
            let why = "what it was to correct has changed since the plan";
            return Err(NotDone::Skipped(why.to_owned()));
        }
        let options = policy_options(self.options, Some(run));
        let settings = self.settings;
        let watching = &mut Watching(progress);
        let outcome = match operation {
            Operation::Recreate(recreation) => {
                let request = Create {
                    pick: Pick {
                        namespace: recreation.namespace.clone(),
                        repository: recreation.repository.clone(),
                    },
                    new: new_pattern(recreation),
                    inactive: false,
                    if_absent: true,
                };
                policy::create(settings, &request, &options, watching)
            }
            Operation::Activate(policy, _) => {
                policy::activate(settings, &policy.uuid, &options, watching)
            }
            Operation::Deactivate(policy) => {
                let keep = TagsChoice::Keep;
                policy::deactivate(settings, &policy.uuid, keep, &options, watching)
            }
            Operation::Delete(policy) => {
                let keep = TagsChoice::Keep;
                policy::delete(settings, &policy.uuid, keep, &options, watching)
            }
            Operation::Recover(interrupted, recovery) => {
                let how = match recovery {
                    Recovery::Resume => How::Resume,
                    Recovery::RollBack => How::RollBack,
                };
                return self.recover(interrupted.id, how, options, watching);
            }
        };
        Ok(Did::of(&outcome?))
    }

    fn recover(
        &self,
        id: OperationId,
        how: How,
        policy: PolicyOptions,
        watcher: &mut dyn Watcher,
    ) -> Result<Did, NotDone> {
        let request = RecoverRequest {
            only: Some(id),
            how,
            wait: WAIT,
            policy,
            apply: self.options.clone(),
        };
        match recover_one(self.settings, id, &request, watcher)? {
            Some(Recovered::Left(_, error)) => Err(error.into()),
            Some(Recovered::Finished { .. } | Recovered::TakenBack { .. }) => Ok(Did {
                operation: Some(id),
                ..Did::default()
            }),
            Some(Recovered::Elsewhere(_)) | None => {
                Err(NotDone::Skipped("it has ended meanwhile".to_owned()))
            }
        }
    }

    /// Whether the violation is still there, and the policy as it was judged. The operation itself
    /// compares the policy once more, under lock.
    fn still_holds(&self, planned: &Planned, operation: &Operation) -> Result<bool, NotDone> {
        let (namespace, repository) = operation.place();
        let selection = Selection {
            namespace: Some(namespace.to_owned()),
            repository: (!repository.is_empty()).then(|| repository.to_owned()),
        };
        let is_it: Box<dyn Fn(&Violation) -> bool> = match operation {
            // Recovery looks for itself.
            Operation::Recover(..) => return Ok(true),
            Operation::Recreate(recreation) => explained_by(recreation),
            Operation::Activate(policy, _)
            | Operation::Deactivate(policy)
            | Operation::Delete(policy) => about(policy),
        };
        Ok(self.finds(&planned.rule, selection, &*is_it)?)
    }

    /// Whether a check of one rule finds such a violation; it ends with the first.
    fn finds(
        &self,
        rule: &RuleId,
        selection: Selection,
        is_it: &dyn Fn(&Violation) -> bool,
    ) -> Result<bool, RunError> {
        let mut request =
            CheckRequest::of(self.rules.clone().choose(std::slice::from_ref(&rule.0))?);
        request.selection = selection;
        request.features = self.options.features;
        request.stale_after = self.options.stale_after;
        request.keep = 0;
        let mut found = false;
        check_telling(self.settings, &request, &mut NoProgress, &mut |event| {
            match event {
                Event::Found(violation) if is_it(violation) => found = true,
                Event::Found(_) => {}
                Event::BegunAnew => found = false,
            }
            if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(found)
    }
}

/// An orphan that the policy explains.
fn explained_by(recreation: &Recreation) -> Box<dyn Fn(&Violation) -> bool> {
    let anywhere = NamespaceId(0);
    let book = PolicyBook::of_one(Scope::Namespace(anywhere), recreation.policy.to_text());
    Box::new(move |violation| match &violation.subject {
        Subject::Tag(tag) => {
            let decided = book.decide(RepositoryId(0), Some(anywhere), &tag.row.name);
            matches!(decided, Decision::Immutable(_))
        }
        _ => false,
    })
}

/// The same policy with the same text.
fn about(policy: &PolicySubject) -> Box<dyn Fn(&Violation) -> bool> {
    let (uuid, text, activity) = (policy.uuid.clone(), policy.text.clone(), policy.activity);
    Box::new(move |violation| match &violation.subject {
        Subject::Policy(is) => is.uuid == uuid && is.text == text && is.activity == activity,
        _ => false,
    })
}

/// What an operation did.
#[derive(Default)]
struct Did {
    operation: Option<OperationId>,
    tags_changed: u64,
    skipped: u64,
    expirations_cleared: u64,
    batches: u64,
    longest_batch_ms: u64,
}

impl Did {
    fn of(outcome: &Outcome) -> Self {
        Self {
            operation: outcome.operation,
            tags_changed: outcome.sums.changed,
            skipped: outcome.sums.skipped,
            expirations_cleared: outcome.sums.expirations_cleared,
            batches: outcome.sums.batches,
            longest_batch_ms: outcome.sums.longest_batch_ms,
        }
    }
}

/// Why an operation is not done.
enum NotDone {
    Skipped(String),
    RolledBack(OperationId, String),
    Left(String),
}

impl From<RunError> for NotDone {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Policy(error) => error.into(),
            error if error.is_usage() => Self::Skipped(error.to_string()),
            error => Self::Left(error.to_string()),
        }
    }
}

impl From<PolicyError> for NotDone {
    fn from(error: PolicyError) -> Self {
        match &error {
            PolicyError::RolledBack { operation, .. } => {
                Self::RolledBack(*operation, error.to_string())
            }
            _ if error.is_usage() => Self::Skipped(error.to_string()),
            _ => Self::Left(error.to_string()),
        }
    }
}

fn account(
    operation: &Operation,
    ended: Result<Did, NotDone>,
    totals: &mut FixTotals,
) -> Conducted {
    let mut conducted = Conducted {
        remedy: operation.verb(),
        sentence: operation.sentence(),
        operation: None,
        end: ConductedEnd::Done,
        tags_changed: 0,
    };
    match ended {
        Ok(did) => {
            totals.applied += 1;
            totals.skipped += did.skipped;
            totals.expirations_cleared += did.expirations_cleared;
            totals.batches += did.batches;
            totals.longest_batch_ms = totals.longest_batch_ms.max(did.longest_batch_ms);
            conducted.operation = did.operation;
            conducted.tags_changed = did.tags_changed;
        }
        Err(not_done) => {
            totals.skipped += 1;
            conducted.end = match not_done {
                NotDone::Skipped(why) => ConductedEnd::Skipped(why),
                NotDone::RolledBack(id, why) => {
                    conducted.operation = Some(id);
                    ConductedEnd::RolledBack(why)
                }
                NotDone::Left(why) => ConductedEnd::Left(why),
            };
        }
    }
    conducted
}

/// Takes what belongs to a run back, newest first: operations, and further runs with theirs.
pub(super) fn take_back_all(
    settings: &ConnectionSettings,
    run: RunId,
    (apply, policy): (&ApplyOptions, &PolicyOptions),
    watcher: &mut dyn Watcher,
) -> TakenBack {
    let mut taken = TakenBack::default();
    let linked = match linked(settings, run) {
        Ok(linked) => linked,
        Err(error) => {
            taken.refuse("the operations of the run".to_owned(), error.to_string());
            return taken;
        }
    };
    for (id, kind) in linked {
        if watcher.interrupted() {
            taken.refuse(
                format!("operation {id} ({})", kind.as_column()),
                "interrupted".to_owned(),
            );
            continue;
        }
        if kind == Kind::Fix {
            further_run(settings, id, (apply, policy), watcher, &mut taken);
            continue;
        }
        match policy::take_back(settings, id, WAIT, policy, watcher) {
            Ok(exceptions) => {
                taken.undone += 1;
                taken.exceptions.append(exceptions);
            }
            Err(error) => {
                let what = format!("operation {id} ({})", kind.as_column());
                taken.refuse(what, error.to_string());
            }
        }
    }
    taken
}

fn further_run(
    settings: &ConnectionSettings,
    run: RunId,
    (apply, policy): (&ApplyOptions, &PolicyOptions),
    watcher: &mut dyn Watcher,
    taken: &mut TakenBack,
) {
    let watcher = RefCell::new(watcher);
    let undone = apply::undo(
        settings,
        run,
        apply,
        &mut |run| take_back_all(settings, run, (apply, policy), &mut **watcher.borrow_mut()),
        &mut |_| goes_on(&**watcher.borrow()),
    );
    match undone {
        Ok(undone) => {
            taken.undone += undone.undone;
            taken.exceptions.append(undone.exceptions);
            taken.refusals.extend(undone.refusals);
        }
        Err(error) => taken.refuse(format!("run {run}"), error.to_string()),
    }
}

/// Whether nobody wants the work to end.
pub(super) fn goes_on(watcher: &dyn Watcher) -> ControlFlow<()> {
    if watcher.interrupted() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn linked(settings: &ConnectionSettings, run: RunId) -> Result<Vec<(OperationId, Kind)>, RunError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    Ok(linked_to(&mut snapshot, run)?
        .into_iter()
        .filter(|linked| linked.phase != Phase::RolledBack)
        .map(|linked| (linked.id, linked.kind))
        .collect())
}

impl TakenBack {
    fn refuse(&mut self, what: String, why: String) {
        self.refusals.push(Refusal { what, why });
    }
}

/// An operation's watcher, as the run's.
pub(super) struct Watching<'p>(pub(super) &'p mut dyn Progress);

impl Watcher for Watching<'_> {
    fn expected(&mut self, tags: u64) {
        self.0.begin("conducting an operation", tags);
    }

    fn reached(&mut self, _: Phase, changed: u64) {
        self.0.reached(changed);
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

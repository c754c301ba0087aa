//! One schedule of ours, from an empty registry to a verdict.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::{self, ScopedJoinHandle};

use testkit::oracle::{Act, Case, End, Operation, State, Verdict, Wrong};
use testkit::proxy::{FaultProxy, Heal, Hold};

use super::at_work::{AtWork, end, run, start};
use super::befall::{befall, bury, has_journal, kill_at};
use super::fault::{Fault, Laid, lay};
use super::operation::{Asked, Wanted, ask, stated};
use super::others::{
    ActSpec, Acted, OwnPolicy, PusherSpec, act, delete_policy, is_put, late, push_about,
};
use super::schedule::{Schedule, Then};
use super::violations::{new_violations, violations};
use super::world::{Arena, PATTERNS, text};
use crate::policy::pushers::Stopping;
use crate::program::Ended;

/// Recoveries until nothing is left; each may find what the one before has made possible.
const RECOVERIES: u32 = 5;

/// What came of a schedule.
#[derive(Debug)]
pub struct Came {
    pub verdict: Verdict,
    /// How the program ended, and each of the recoveries.
    pub ended: Vec<Ended>,
    pub acts: Vec<Act>,
}

/// Runs a schedule of this program.
pub fn ours(arena: &Arena, schedule: &Schedule, program: &Path) -> Came {
    ours_under(arena, schedule, program, &mut |proxy, work, laid| {
        befall(arena, proxy, &schedule.fault, work, laid, program);
    })
}

/// Lets a fault befall what is at work.
pub type Befall<'b> = dyn FnMut(&FaultProxy, &mut dyn AtWork, (&Laid, &dyn Fn() -> bool)) + 'b;

/// Runs a schedule under a fault that somebody else lets befall it.
pub fn ours_under(
    arena: &Arena,
    schedule: &Schedule,
    program: &Path,
    befalls: &mut Befall<'_>,
) -> Came {
    let mut asked = ask(arena, &schedule.world, &schedule.wanted, schedule.aware);
    let migrates = matches!(schedule.wanted, Wanted::MigrateUp | Wanted::MigrateDown);
    if schedule.hands && !migrates {
        asked.args.extend(["--jobs", "2"].map(str::to_owned));
    }
    let mut operations = vec![asked.operation.clone()];
    let second = second(arena, schedule);
    operations.extend(second.as_ref().map(|second| second.operation.clone()));
    let mut before = asked.before.clone().unwrap_or_else(|| arena.state());
    let known = violations(arena);
    let proxy_to = if migrates {
        arena.url()
    } else {
        arena.role_url()
    };
    let proxy = FaultProxy::before(&proxy_to).expect("a proxy");
    let laid = lay(arena, &proxy, &schedule.fault);
    let around = Around {
        fault: &schedule.fault,
        pushers: &schedule.pushers,
        acts: &schedule.acts,
        aware: schedule.aware,
    };
    let disturbed = disturbed(
        arena,
        (&around, &asked, second),
        (&proxy, &laid),
        &before,
        program,
        befalls,
    );
    let mut ended = disturbed.ended;
    let (mut acts, victims) = (disturbed.acted.acts, disturbed.acted.victims);
    if migrates {
        ended.push(run(&arena.url(), &asked.args));
        let again = run(&arena.url(), &["migrate", "up"].map(str::to_owned));
        again.expect_status(0);
    }
    if let Fault::ClockJump { days, .. } = schedule.fault {
        jump(arena, days * 86_400_000);
        before.jumped_ahead(days * 86_400_000);
    }
    let own = own_policy(&asked.operation, &before);
    let stable = recovered(
        arena,
        (schedule, &asked, own),
        program,
        &mut ended,
        &mut acts,
    );
    let after = arena.state();
    let case = Case {
        before: &before,
        operations: &operations,
        acts: &acts,
        pushes: schedule.pushes(),
    };
    let mut verdict = case.judge(&after);
    if !stable {
        verdict.wrong.push(Wrong::RecoveryIsNotStable);
    }
    // Quay's own requests can deadlock with each other.
    let alone = schedule.pushers.is_empty() && !matches!(schedule.fault, Fault::Deadlock { .. });
    if victims > 0 && alone {
        let told = "a request of Quay's was the victim of a deadlock with the operation";
        verdict.wrong.push(Wrong::Otherwise(told.to_owned()));
    }
    if let Some(wrong) = belied(schedule, &ended, &acts, &verdict) {
        verdict.wrong.push(wrong);
    }
    verdict
        .wrong
        .extend(new_violations(arena, &known, &case, &after));
    Came {
        verdict,
        ended,
        acts,
    }
}

/// How the work ended, and what others did meanwhile.
pub(super) struct Disturbed {
    pub ended: Vec<Ended>,
    pub acted: Acted,
}

/// What befalls an operation, and who is about.
pub(super) struct Around<'s> {
    pub fault: &'s Fault,
    pub pushers: &'s [PusherSpec],
    pub acts: &'s [ActSpec],
    pub aware: bool,
}

pub(super) fn disturbed(
    arena: &Arena,
    (schedule, asked, second): (&Around<'_>, &Asked, Option<Asked>),
    (proxy, laid): (&FaultProxy, &Laid),
    before: &State,
    program: &Path,
    befalls: &mut Befall<'_>,
) -> Disturbed {
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let own = own_policy(&asked.operation, before);
    // What is to be done meanwhile is done at a pause, where there is one.
    let statements = || {
        if schedule.fault.pauses() && laid.hold.as_ref().is_some_and(Hold::is_reached) {
            return u64::MAX;
        }
        proxy.statements()
    };
    let late_pushes = late(arena, schedule.acts, before);
    thread::scope(|scope| {
        let (ending, stopping) = (Stopping(&over), Stopping(&stop));
        for pusher in schedule.pushers {
            let stop = &stop;
            scope.spawn(move || push_about(arena, pusher, schedule.aware, stop));
        }
        let (over, own) = (&over, &own);
        let acting = (!schedule.acts.is_empty()).then(|| {
            let (acts, statements) = (schedule.acts, &statements);
            scope.spawn(move || {
                act(
                    arena,
                    late_pushes,
                    acts,
                    before,
                    own.as_ref(),
                    statements,
                    over,
                )
            })
        });
        let mut first = start(program, &proxy.url(), &asked.args);
        let other = match *schedule.fault {
            Fault::TwoWorkers => Some(start(program, &arena.role_url(), &asked.args)),
            _ => second.map(|second| start(program, &arena.role_url(), &second.args)),
        };
        let acted = || acting.as_ref().is_none_or(ScopedJoinHandle::is_finished);
        befalls(proxy, &mut first, (laid, &acted));
        let mut ended = vec![end(first)];
        ended.extend(other.map(end));
        proxy.disarm();
        proxy.heal(Heal::End);
        untrap(arena);
        if let Fault::Supervisor(_, again) = *schedule.fault {
            bury(arena);
            let kill = again.hold(proxy);
            let mut next = start(program, &proxy.url(), &asked.args);
            kill_at(&mut next, &kill);
            ended.push(end(next));
            proxy.disarm();
            bury(arena);
            ended.push(end(start(program, &arena.role_url(), &asked.args)));
        }
        drop(ending);
        let acted = acting.map_or_else(Acted::default, |acting| acting.join().expect("acts"));
        drop(stopping);
        Disturbed { ended, acted }
    })
}

/// Takes the traps away: whoever recovers does it in peace.
pub fn untrap(arena: &Arena) {
    arena.sql(&format!(
        "DROP TRIGGER IF EXISTS trap ON tag;
         ALTER ROLE {role} RESET ALL; ALTER ROLE {role} CONNECTION LIMIT -1",
        role = arena.role
    ));
}

/// The policy that an operation is about.
fn own_policy(operation: &Operation, before: &State) -> Option<OwnPolicy> {
    let there = |uuid: &String| {
        before.policies.get(uuid).map(|policy| OwnPolicy {
            uuid: Some(uuid.clone()),
            scope: policy.scope,
            text: policy.text.clone(),
        })
    };
    match operation {
        Operation::Create { scope, text, .. } => Some(OwnPolicy {
            uuid: None,
            scope: *scope,
            text: text.clone(),
        }),
        Operation::Activate(uuid)
        | Operation::Update { policy: uuid, .. }
        | Operation::Delete(uuid, _)
        | Operation::Deactivate(uuid, _) => there(uuid),
        _ => None,
    }
}

/// A creation that overlaps with the first operation, where that is the fault.
fn second(arena: &Arena, schedule: &Schedule) -> Option<Asked> {
    let Fault::SecondOperation { pattern } = schedule.fault else {
        return None;
    };
    let knows = if schedule.aware { "true" } else { "false" };
    let args = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--repository",
        "app-1",
        "--pattern",
        PATTERNS[pattern],
        "--strategy",
        "phased",
        "--quay-knows-active",
        knows,
        "--batch-time",
        "1us",
    ];
    Some(Asked {
        args: stated(&args),
        operation: Operation::Create {
            scope: arena.scope(Some(0)),
            text: text(PATTERNS[pattern]),
            inactive: false,
        },
        before: None,
    })
}

/// Recovers until nothing is left; whether a second recovery changed nothing.
fn recovered(
    arena: &Arena,
    (schedule, asked, own): (&Schedule, &Asked, Option<OwnPolicy>),
    program: &Path,
    ended: &mut Vec<Ended>,
    acts: &mut Vec<Act>,
) -> bool {
    if !has_journal(arena) {
        return true;
    }
    bury(arena);
    let knows = if schedule.aware { "true" } else { "false" };
    let how: &[&str] = match schedule.then {
        Then::Resume => &["--resume"],
        Then::RollBack => &["--roll-back"],
        _ => &[],
    };
    let mut args = vec!["recover", "--quay-knows-active", knows];
    args.extend(how);
    let recover = stated(&args);
    let unfinished = "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL";
    if let Some(id) = ended.last().and_then(ended_halfway) {
        // What a run did before it ended stands: it is taken back, or the next one does the rest.
        let args = match schedule.then {
            Then::Resume | Then::SameCommand => asked.args.clone(),
            _ => stated(&["fix", "undo", id]),
        };
        let next = run(&arena.role_url(), &args);
        ended.push(next);
    }
    if schedule.then == Then::SameCommand
        && schedule.wanted.is_policy()
        && arena.count(unfinished) > 0
        // Whose policy was changed to another, the same command would begin anew.
        && !is_put(&arena.state())
    {
        ended.push(run(&arena.role_url(), &asked.args));
    }
    for _ in 0..RECOVERIES {
        if arena.count(unfinished) == 0 {
            break;
        }
        if is_put(&arena.state())
            && let Some(own) = &own
        {
            // Whoever changed our policy is told, and deletes it.
            let deleted = delete_policy(&mut arena.session(), own).expect("a deletion");
            acts.extend(deleted);
        }
        bury(arena);
        ended.push(end(start(program, &arena.role_url(), &recover)));
    }
    // Somebody may have changed our policy at the very moment at which the operation ended.
    if is_put(&arena.state())
        && let Some(own) = &own
    {
        let deleted = delete_policy(&mut arena.session(), own).expect("a deletion");
        acts.extend(deleted);
    }
    let once = arena.state();
    run(&arena.role_url(), &recover);
    arena.state().is_as(&once)
}

/// The fix run that ended before it was done, and says that there is nothing to recover.
fn ended_halfway(ended: &Ended) -> Option<&str> {
    let (_, rest) = ended.stderr.split_once("`quay-doctor fix undo ")?;
    let (id, rest) = rest.split_once('`')?;
    rest.contains("there is nothing to recover").then_some(id)
}

/// The clock jumps ahead: every time that there is lies so much further back.
pub fn jump(arena: &Arena, by_ms: i64) {
    arena.sql(&format!(
        "SET session_replication_role = replica;
         UPDATE tag SET lifetime_start_ms = lifetime_start_ms - {by_ms},
             lifetime_end_ms = lifetime_end_ms - {by_ms};
         UPDATE quay_doctor.tag_change SET
             lifetime_end_ms_before = lifetime_end_ms_before - {by_ms},
             lifetime_end_ms_after = lifetime_end_ms_after - {by_ms}"
    ));
}

/// What the program said of itself, against what is there.
fn belied(schedule: &Schedule, ended: &[Ended], acts: &[Act], verdict: &Verdict) -> Option<Wrong> {
    let deleted = acts
        .iter()
        .any(|act| matches!(act, Act::PolicyDeleted { .. }));
    let alone = !matches!(
        schedule.fault,
        Fault::TwoWorkers | Fault::Frozen { .. } | Fault::BlackHole { .. }
    );
    let of_policy =
        schedule.wanted.is_policy() && !matches!(schedule.wanted, Wanted::Recover { .. });
    if deleted || !alone || !of_policy || verdict.ends.len() != 1 {
        return None;
    }
    // The policies tell the ends of every such operation apart.
    let said = ended.first()?;
    let never = verdict.ends == [End::Never];
    let rolled_back = said.stderr.contains("was rolled back") && ended.len() == 1;
    let belied = (said.status == 0 && never) || (rolled_back && !never);
    belied.then(|| Wrong::Otherwise(format!("it said otherwise: {said:?}")))
}

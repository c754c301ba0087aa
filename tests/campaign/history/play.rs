//! A history, played from its registry to its end.

use std::path::Path;
use std::thread;
use std::time::Duration;

use testkit::oracle::{Act, Case, End, Operation, Pushes, State, Verdict, Wrong, ledger, whose};
use testkit::proxy::FaultProxy;

use super::super::at_work::{end, start};
use super::super::befall::{befall, bury};
use super::super::fault::{Fault, lay};
use super::super::operation::{Asked, stated};
use super::super::run::{Around, Disturbed, disturbed, untrap};
use super::super::world::{Arena, NAMES};
use super::between::{Quays, carry_out};
use super::deed::{Command, Deed, command, nth, recover};
use super::judge::{Judged, Said};
use super::place::Stage;
use super::{History, Step, Trouble};
use crate::program::{Ended, command_of, ended};

/// Recoveries until nothing is left.
const RECOVERIES: u32 = 5;

/// What came of a history.
#[derive(Debug)]
pub struct Played {
    pub wrong: Vec<Wrong>,
    /// What was done, in order.
    pub told: Vec<String>,
    /// How many operations were begun.
    pub operations: u64,
}

struct Play<'p> {
    stage: &'p Stage,
    arena: &'p Arena,
    program: &'p Path,
    history: &'p History,
    said: Vec<Said>,
    quays: Quays,
    undone: Vec<(i64, i64)>,
    before: State,
    played: Played,
}

/// Plays one.
pub fn play(stage: &Stage, history: &History, program: &Path) -> Played {
    let arena = &stage.arena;
    arena.fill(&history.world);
    stage.shape();
    let mut session = arena.session();
    ledger::forget(&mut session).expect("an empty ledger");
    history.server.lay(arena);
    let before = arena.state();
    let mut play = Play {
        stage,
        arena,
        program,
        history,
        said: Vec::new(),
        quays: Quays::default(),
        undone: Vec::new(),
        played: Played {
            wrong: Vec::new(),
            told: Vec::new(),
            operations: 0,
        },
        before,
    };
    let there = play.before.policies.values();
    let there = there.map(|policy| (policy.scope, policy.text.clone(), !policy.active));
    play.quays.policies.extend(there);
    let mut last = None;
    for step in &history.steps {
        if let Some(done) = play.step(step, last.as_ref()) {
            last = Some(done);
        }
    }
    play.end();
    history.server.take_away(arena);
    play.played
}

impl Play<'_> {
    fn writes(&self) -> i64 {
        self.arena
            .count("SELECT coalesce(max(nth), 0) FROM ledger.write")
    }

    fn says(&mut self, args: &[String], ended: &Ended) {
        let until = self.writes();
        self.played
            .told
            .push(format!("{}: {} {ended:?}", self.said.len(), args.join(" ")));
        self.said.push(Said::new(ended, until));
    }

    fn run(&mut self, args: &[String]) -> i32 {
        let from = self.writes();
        let of_fix =
            "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL AND kind = 'fix'";
        let cut_off = self.arena.count(of_fix);
        let ended = end(start(self.program, &self.arena.role_url(), args));
        self.says(args, &ended);
        // As before the run is as it was, orphans included.
        if cut_off > 0 && ended.stdout.contains("taken back") {
            self.undone.push((from, self.writes()));
        }
        ended.status
    }

    /// What is expected of a command, before it is given.
    fn note(&mut self, command: &Command, state: &State) {
        use quay_doctor::TagsChoice::Keep;
        let was = |uuid: &String| {
            let policy = state.policies.get(uuid)?;
            Some((policy.scope, policy.text.clone()))
        };
        let (policies, stay) = (&mut self.quays.policies, &mut self.quays.stay);
        match &command.operation {
            Operation::Create {
                scope,
                text,
                inactive,
            } => {
                policies.push((*scope, text.clone(), *inactive));
            }
            Operation::Update {
                policy,
                text,
                unmatched,
            } => {
                let is_active = state
                    .policies
                    .get(policy)
                    .is_none_or(|policy| policy.active);
                if let Some((scope, old)) = was(policy) {
                    policies.push((scope, text.clone(), !is_active));
                    stay.extend((*unmatched == Keep).then_some((scope, old)));
                }
            }
            Operation::Deactivate(uuid, tags) => {
                if let Some((scope, text)) = was(uuid) {
                    policies.push((scope, text.clone(), true));
                    stay.extend((*tags == Keep).then_some((scope, text)));
                }
            }
            Operation::Delete(uuid, Keep) => stay.extend(was(uuid)),
            _ => {}
        }
    }

    fn step(&mut self, step: &Step, last: Option<&Command>) -> Option<Command> {
        let arena = self.arena;
        for what in &step.before {
            let state = arena.state();
            let done = carry_out(arena, what, &state, &mut self.quays);
            self.played.told.push(format!("{what:?}: {done:?}"));
        }
        let state = arena.state();
        let mut command = command(arena, &step.deed, &state, last)?;
        if self.history.hands && !matches!(step.deed, Deed::Again { .. }) {
            command.args.extend(["--jobs", "2"].map(str::to_owned));
        }
        if self.stage.is_large() {
            command.in_large_batches();
        }
        self.note(&command, &state);
        let beside = step.beside.as_ref().and_then(|deed| {
            let beside = super::deed::command(arena, deed, &state, Some(&command))?;
            self.note(&beside, &state);
            Some(beside)
        });
        let from = self.writes();
        let Disturbed { ended, acted } = self.troubled(step, &command, beside.as_ref(), &state);
        self.played.operations += 1 + u64::from(beside.is_some());
        let first = ended.first().map(|ended| ended.status);
        for ended in &ended {
            self.says(&command.args, ended);
        }
        for act in &acted.acts {
            self.quays.note(act, true);
            // It may have had its new text already.
            for of in std::iter::once(&command).chain(&beside) {
                if let (
                    Act::PolicyDeleted { uuid, was, .. },
                    Operation::Update { policy, text, .. },
                ) = (act, &of.operation)
                    && uuid == policy
                {
                    self.quays.stay.push((was.0, text.clone()));
                }
            }
        }
        self.played
            .told
            .push(format!("meanwhile: {:?}", acted.acts));
        if arena.state().unfinished > 0 && !step.left {
            bury(arena);
            let again = match step.goes_on {
                None => command.args.clone(),
                Some(how) => recover(how),
            };
            self.run(&again);
        }
        let commands: Vec<&Command> = std::iter::once(&command).chain(&beside).collect();
        if commands.iter().any(|command| command.undoes) {
            self.undone.push((from, self.writes()));
        }
        let operations: Vec<Operation> = commands
            .iter()
            .map(|command| command.operation.clone())
            .collect();
        let after = arena.state();
        if state.unfinished == 0 && after.unfinished == 0 {
            let case = Case {
                before: &self.owing(state.clone(), from),
                operations: &operations,
                acts: &acted.acts,
                pushes: self.pushes(),
            };
            let verdict = case.judge(&after);
            self.judge_step(step, &verdict, first, &operations, &state);
        }
        Some(command)
    }

    fn pushes(&self) -> Pushes {
        if self.history.pushers.iter().all(|pusher| pusher.locks) {
            Pushes::Locked
        } else {
            Pushes::Unlocked
        }
    }

    /// A state with what we owe each tag after so many writes, as the ledger tells it.
    fn owing(&self, mut state: State, until: i64) -> State {
        let mut writes = ledger::read(&mut self.arena.session()).expect("a ledger");
        writes.retain(|write| write.nth <= until);
        let whose = whose(&self.before, &writes);
        for (id, tag) in &mut state.tags {
            tag.known_end_ms = whose.known.get(id).and_then(|known| known.owed);
        }
        state
    }

    /// A step that left nothing unfinished is a case of its own, where the model knows its operations.
    fn judge_step(
        &mut self,
        step: &Step,
        verdict: &Verdict,
        first: Option<i32>,
        operations: &[Operation],
        state: &State,
    ) {
        let known = operations
            .iter()
            .all(|operation| !matches!(operation, Operation::Mend { .. } | Operation::Nothing));
        if !known || matches!(step.trouble, Trouble::Swallowed(_)) {
            return;
        }
        let told = format!("{:?}", step.deed);
        for wrong in &verdict.wrong {
            // Of expirations the ledger knows more.
            if !matches!(wrong, Wrong::ExpiryLost(_)) {
                self.played
                    .wrong
                    .push(Wrong::Otherwise(format!("after {told}: {wrong}")));
            }
        }
        let nothing_to_do = match &operations[0] {
            Operation::Create { scope, text, .. } => state
                .policies
                .values()
                .any(|policy| (policy.scope, &policy.text) == (*scope, text)),
            Operation::Activate(uuid) => state.policies.get(uuid).is_none_or(|p| p.active),
            Operation::Deactivate(uuid, _) => state.policies.get(uuid).is_none_or(|p| !p.active),
            Operation::Update { policy, text, .. } => {
                state.policies.get(policy).is_none_or(|p| p.text == *text)
            }
            Operation::Delete(uuid, _) => !state.policies.contains_key(uuid),
            _ => true,
        };
        let undisturbed = operations.len() == 1 && step.meanwhile.is_empty();
        if undisturbed && first == Some(0) && verdict.ends == [End::Never] && !nothing_to_do {
            let told = format!("{told} said that it was done, and nothing was");
            self.played.wrong.push(Wrong::Otherwise(told));
        }
    }

    fn troubled(
        &mut self,
        step: &Step,
        command: &Command,
        beside: Option<&Command>,
        state: &State,
    ) -> Disturbed {
        let arena = self.arena;
        let asked = |command: &Command| Asked {
            args: command.args.clone(),
            operation: command.operation.clone(),
            before: None,
        };
        let nothing = Fault::Pushers;
        let fault = match &step.trouble {
            Trouble::Fault(fault) => fault,
            _ => &nothing,
        };
        let alone = |ended| Disturbed {
            ended: vec![ended],
            acted: Default::default(),
        };
        match &step.trouble {
            Trouble::ClockOff(days) => {
                if let Some(library) = crate::policy::clocks::libfaketime() {
                    let mut off = command_of(self.program, &["--database-url", &arena.role_url()]);
                    off.args(&command.args)
                        .env("LD_PRELOAD", library)
                        .env("FAKETIME", format!("{days:+}d"))
                        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                        .env("DONT_FAKE_MONOTONIC", "1");
                    return alone(ended(&mut off));
                }
            }
            Trouble::ReadOnly => {
                let from = self.writes();
                super::server::set(arena, "default_transaction_read_only", "on");
                let ended = end(start(self.program, &arena.role_url(), &command.args));
                super::server::reset(arena, "default_transaction_read_only");
                // Who has nothing to recover needs no writes.
                let asks = !matches!(command.operation, Operation::Nothing);
                if self.writes() > from || (ended.status == 0 && asks) {
                    let told = format!("on a frozen server: {ended:?}");
                    self.played.wrong.push(Wrong::Otherwise(told));
                }
                return alone(ended);
            }
            Trouble::Swallowed(name) => swallow(arena, NAMES[*name]),
            Trouble::Held { repository, ms } => {
                let mut holder = arena.session();
                let id = arena.repositories[*repository];
                let hold = format!(
                    "BEGIN; SELECT FROM tag WHERE repository_id = {id} AND id % 3 = 0 FOR UPDATE"
                );
                holder.run(&hold).expect("rows are held");
                let work = start(self.program, &arena.role_url(), &command.args);
                thread::sleep(Duration::from_millis(*ms));
                holder.run("ROLLBACK").expect("rows are let go of");
                return alone(end(work));
            }
            Trouble::Nothing | Trouble::Fault(_) => {}
        }
        let proxy = FaultProxy::before(&arena.role_url()).expect("a proxy");
        let laid = lay(arena, &proxy, fault);
        let around = Around {
            fault,
            pushers: &self.history.pushers,
            acts: &step.meanwhile,
            aware: true,
        };
        let came = disturbed(
            arena,
            (&around, &asked(command), beside.map(asked)),
            (&proxy, &laid),
            state,
            self.program,
            &mut |proxy, work, laid| befall(arena, proxy, fault, work, laid, self.program),
        );
        arena.sql("DROP TRIGGER IF EXISTS swallow ON tag");
        untrap(arena);
        came
    }

    /// Whoever comes last recovers, and the end is judged.
    fn end(&mut self) {
        let arena = self.arena;
        for _ in 0..RECOVERIES {
            if arena.state().unfinished == 0 {
                break;
            }
            bury(arena);
            self.run(&recover(None));
        }
        if self.history.winds_up {
            while let Some(uuid) = nth(&arena.state(), 0).cloned() {
                let delete = ["policy", "delete", &uuid, "--tags", "release"];
                let status = self.run(&stated(&delete));
                if arena.state().policies.contains_key(&uuid) {
                    let told = format!("{uuid} could not be deleted: {status}");
                    self.played.wrong.push(Wrong::Otherwise(told));
                    break;
                }
            }
        }
        let once = arena.state();
        self.run(&recover(None));
        let after = arena.state();
        if !after.is_as(&once) {
            self.played.wrong.push(Wrong::RecoveryIsNotStable);
        }
        let writes = ledger::read(&mut arena.session()).expect("a ledger");
        let judged = Judged {
            arena,
            repositories: arena.names(),
            before: &self.before,
            after: &after,
            writes: &writes,
            said: &self.said,
            quays: &self.quays,
            undone: &self.undone,
            swallowed: self.history.swallows(),
        };
        self.played.wrong.extend(judged.wrong());
        if !self.played.wrong.is_empty() {
            let told = writes.iter().map(|write| format!("{write:?}"));
            self.played.told.extend(told);
        }
    }
}

/// A trigger that swallows what the program writes of tags of a name.
fn swallow(arena: &Arena, name: &str) {
    arena.sql(&format!(
        "CREATE OR REPLACE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF OLD.name = '{name}' AND current_user = '{role}' THEN RETURN NULL; END IF;
             RETURN NEW;
         END $$;
         CREATE OR REPLACE TRIGGER swallow BEFORE UPDATE ON tag
         FOR EACH ROW EXECUTE FUNCTION swallow()",
        role = arena.role
    ));
}

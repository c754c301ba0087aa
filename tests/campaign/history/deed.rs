//! What is done in a history, as it is drawn, and the commands that it becomes where it is its turn.

use proptest::prelude::*;
use quay_doctor::TagsChoice;
use testkit::oracle::{Operation, Policy, State};

use super::super::operation::stated;
use super::super::world::{Arena, PATTERNS, REPOSITORIES, text};

/// An operation of ours. Policies are counted among those that are there when it begins.
#[derive(Clone, Debug)]
pub enum Deed {
    Create {
        repository: Option<usize>,
        pattern: usize,
        inactive: bool,
        atomic: bool,
    },
    Update {
        policy: usize,
        pattern: usize,
        keep: bool,
    },
    Delete {
        policy: usize,
        keep: bool,
    },
    Activate(usize),
    Deactivate {
        policy: usize,
        keep: bool,
    },
    Fix {
        orphans: bool,
    },
    /// Of the newest run of a fix.
    Undo,
    /// What was interrupted: to its end, back, or whichever is the rule.
    Recover(Option<bool>),
    /// The command before once more, or asked otherwise.
    Again {
        changed: bool,
    },
}

pub fn deeds() -> impl Strategy<Value = Deed> {
    let policy = || 0..4_usize;
    let keep = || prop::bool::weighted(0.2);
    prop_oneof![
        6 => (
            prop::option::weighted(0.3, 0..REPOSITORIES),
            0..PATTERNS.len(),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.25),
        )
            .prop_map(|(repository, pattern, inactive, atomic)| Deed::Create {
                repository,
                pattern,
                inactive,
                atomic,
            }),
        5 => (policy(), 0..PATTERNS.len(), keep())
            .prop_map(|(policy, pattern, keep)| Deed::Update { policy, pattern, keep }),
        5 => (policy(), keep()).prop_map(|(policy, keep)| Deed::Delete { policy, keep }),
        2 => policy().prop_map(Deed::Activate),
        2 => (policy(), keep()).prop_map(|(policy, keep)| Deed::Deactivate { policy, keep }),
        3 => any::<bool>().prop_map(|orphans| Deed::Fix { orphans }),
        3 => Just(Deed::Undo),
        1 => prop::option::of(any::<bool>()).prop_map(Deed::Recover),
        2 => any::<bool>().prop_map(|changed| Deed::Again { changed }),
    ]
}

/// A command, and what the oracle is told of it.
#[derive(Clone, Debug)]
pub struct Command {
    pub args: Vec<String>,
    pub operation: Operation,
    /// Whether it takes a run of a fix back, protections too.
    pub undoes: bool,
}

impl Command {
    /// In batches as users have them.
    pub fn in_large_batches(&mut self) {
        for arg in &mut self.args {
            if arg == "1us" {
                "50ms".clone_into(arg);
            }
        }
    }

    /// The same, asked otherwise: the other choice where there is one.
    fn changed(mut self) -> Self {
        let other = |choice| match choice {
            TagsChoice::Keep => TagsChoice::Release,
            TagsChoice::Release => TagsChoice::Keep,
        };
        match &mut self.operation {
            Operation::Update { unmatched, .. } => *unmatched = other(*unmatched),
            Operation::Delete(_, tags) | Operation::Deactivate(_, tags) => *tags = other(*tags),
            _ => {
                self.args.push("--no-audit".to_owned());
                return self;
            }
        }
        for arg in &mut self.args {
            *arg = match arg.as_str() {
                "keep" => "release".to_owned(),
                "release" => "keep".to_owned(),
                _ => continue,
            };
        }
        self
    }
}

fn policy(rest: &[&str]) -> Vec<String> {
    let mut args = vec!["policy"];
    args.extend(rest);
    args.extend(["--batch-time", "1us", "--quay-knows-active", "true"]);
    args.extend(["--reconnect-for", "8s", "--settle-timeout", "20s"]);
    stated(&args)
}

fn choice(keep: bool) -> (&'static str, TagsChoice) {
    if keep {
        ("keep", TagsChoice::Keep)
    } else {
        ("release", TagsChoice::Release)
    }
}

/// The nth policy, in an order that has nothing to do with random uuids.
pub fn nth(state: &State, nth: usize) -> Option<&String> {
    nth_of(state, nth, |_| true)
}

/// The nth of those of which something is so.
fn nth_of(state: &State, nth: usize, is_so: impl Fn(&Policy) -> bool) -> Option<&String> {
    let mut policies: Vec<_> = state
        .policies
        .iter()
        .filter(|(_, policy)| is_so(policy))
        .collect();
    policies.sort_by_key(|(_, policy)| (format!("{:?}", policy.scope), policy.text.0.clone()));
    let at = nth % policies.len().max(1);
    policies.get(at).map(|(uuid, _)| *uuid)
}

/// The command of a deed; nothing where there is nothing that it could be done to.
pub fn command(
    arena: &Arena,
    deed: &Deed,
    state: &State,
    before: Option<&Command>,
) -> Option<Command> {
    let plain = |args, operation| Command {
        args,
        operation,
        undoes: false,
    };
    Some(match *deed {
        Deed::Create {
            repository,
            pattern,
            inactive,
            atomic,
        } => {
            let name = repository.map(|nth| format!("app-{}", nth + 1));
            let mut args = vec!["create", "--namespace", "acme"];
            if let Some(name) = &name {
                args.extend(["--repository", name]);
            }
            args.extend(["--pattern", PATTERNS[pattern], "--strategy"]);
            args.push(if atomic { "atomic" } else { "phased" });
            args.extend(inactive.then_some("--inactive"));
            let operation = Operation::Create {
                scope: arena.scope(repository),
                text: text(PATTERNS[pattern]),
                inactive,
            };
            plain(policy(&args), operation)
        }
        Deed::Update {
            policy: of,
            pattern,
            keep,
        } => {
            let uuid = nth_of(state, of, |policy| policy.active)?;
            let (word, unmatched) = choice(keep);
            let is_other = |nth: &usize| state.policies[uuid].text != text(PATTERNS[*nth]);
            let pattern = (pattern..pattern + 2)
                .map(|nth| nth % PATTERNS.len())
                .find(is_other)?;
            let pattern = PATTERNS[pattern];
            let args = [
                "update",
                uuid,
                "--pattern",
                pattern,
                "--unmatched-tags",
                word,
            ];
            let operation = Operation::Update {
                policy: uuid.clone(),
                text: text(pattern),
                unmatched,
            };
            plain(policy(&args), operation)
        }
        Deed::Delete { policy: of, keep } => {
            let (uuid, (word, tags)) = (nth(state, of)?, choice(keep));
            let args = policy(&["delete", uuid, "--tags", word]);
            plain(args, Operation::Delete(uuid.clone(), tags))
        }
        Deed::Deactivate { policy: of, keep } => {
            let uuid = nth_of(state, of, |policy| policy.active)?;
            let (word, tags) = choice(keep);
            let args = policy(&["deactivate", uuid, "--yes", "--tags", word]);
            plain(args, Operation::Deactivate(uuid.clone(), tags))
        }
        Deed::Activate(of) => {
            let uuid = nth_of(state, of, |policy| !policy.active)?;
            let args = policy(&["activate", uuid, "--strategy", "phased"]);
            plain(args, Operation::Activate(uuid.clone()))
        }
        Deed::Fix { orphans } => {
            let mut args = vec!["fix", "--apply", "--grace", "0s", "--allow-settling"];
            args.extend(["--rule", "unprotected-tag", "--batch-time", "1us"]);
            if orphans {
                args.extend(["--rule", "orphaned-immutable-tag"]);
                args.extend(["--remedy", "orphaned-immutable-tag=release"]);
            }
            plain(stated(&args), Operation::Mend { orphans })
        }
        Deed::Undo => {
            let newest =
                "SELECT coalesce(max(id), 0) FROM quay_doctor.operation WHERE kind = 'fix'";
            let run = match arena.count(newest) {
                0 => return None,
                run => run.to_string(),
            };
            Command {
                undoes: true,
                ..plain(stated(&["fix", "undo", &run]), Operation::Nothing)
            }
        }
        Deed::Recover(how) => plain(recover(how), Operation::Nothing),
        Deed::Again { changed } => {
            let command = before?.clone();
            if changed { command.changed() } else { command }
        }
    })
}

pub fn recover(how: Option<bool>) -> Vec<String> {
    let mut args = vec!["recover", "--wait", "2s", "--quay-knows-active", "true"];
    args.extend(how.map(|resume| if resume { "--resume" } else { "--roll-back" }));
    stated(&args)
}

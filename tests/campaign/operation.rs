//! The operations of a campaign: how each is asked for, and what the oracle is told of it.

use proptest::prelude::*;
use quay_doctor::TagsChoice;
use testkit::moments::Boundary;
use testkit::oracle::{Operation, State};
use testkit::proxy::FaultProxy;

use super::at_work::{end, start};
use super::befall::kill_at;
use super::world::{Arena, PATTERNS, PolicySpec, REPOSITORIES, WorldSpec, text};
use crate::program::{self, run_on};

/// What is done. Whatever needs a policy is about the first of the world.
#[derive(Clone, Debug)]
pub enum Wanted {
    Create {
        repository: Option<usize>,
        pattern: usize,
        inactive: bool,
        atomic: bool,
    },
    Update {
        pattern: usize,
        keep: bool,
    },
    Delete {
        keep: bool,
    },
    Activate,
    Deactivate {
        keep: bool,
    },
    Fix {
        orphans: bool,
    },
    Undo,
    /// Of a creation that was killed there.
    Recover {
        pattern: usize,
        killed_at: Boundary,
    },
    MigrateUp,
    MigrateDown,
}

impl Wanted {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
            Self::Activate => "activate",
            Self::Deactivate { .. } => "deactivate",
            Self::Fix { .. } => "fix",
            Self::Undo => "fix undo",
            Self::Recover { .. } => "recover",
            Self::MigrateUp => "migrate up",
            Self::MigrateDown => "migrate down",
        }
    }

    /// Whether it is an operation on a policy, of which users' acts and pushers are judged.
    pub fn is_policy(&self) -> bool {
        !matches!(
            self,
            Self::Fix { .. } | Self::Undo | Self::MigrateUp | Self::MigrateDown
        )
    }

    /// Whether a Quay that does not know the column can be in front of it: one that enforces
    /// inactive rows has no place beside rows that are to stay inactive.
    pub fn bears_unaware(&self) -> bool {
        matches!(
            self,
            Self::Create {
                inactive: false,
                ..
            } | Self::Update { .. }
                | Self::Delete { .. }
        )
    }
}

pub fn creations() -> impl Strategy<Value = Wanted> {
    (
        prop::option::weighted(0.2, 0..REPOSITORIES),
        0..PATTERNS.len(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.25),
    )
        .prop_map(|(repository, pattern, inactive, atomic)| Wanted::Create {
            repository,
            pattern,
            inactive,
            atomic,
        })
}

/// Changes of a policy that is there.
pub fn changes() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        3 => (0..PATTERNS.len(), prop::bool::weighted(0.3))
            .prop_map(|(pattern, keep)| Wanted::Update { pattern, keep }),
        3 => prop::bool::weighted(0.2).prop_map(|keep| Wanted::Delete { keep }),
        2 => Just(Wanted::Activate),
        2 => prop::bool::weighted(0.2).prop_map(|keep| Wanted::Deactivate { keep }),
    ]
}

/// What mends a registry, and its schema.
pub fn repairs() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        2 => any::<bool>().prop_map(|orphans| Wanted::Fix { orphans }),
        1 => Just(Wanted::Undo),
        2 => (0..PATTERNS.len(), (2_u32..20).prop_map(Boundary))
            .prop_map(|(pattern, killed_at)| Wanted::Recover { pattern, killed_at }),
        1 => Just(Wanted::MigrateUp),
        1 => Just(Wanted::MigrateDown),
    ]
}

/// Every operation.
pub fn operations() -> impl Strategy<Value = Wanted> {
    prop_oneof![6 => creations(), 10 => changes(), 7 => repairs()]
}

/// What to type, and what the oracle is told.
pub struct Asked {
    pub args: Vec<String>,
    pub operation: Operation,
    /// The state before, where that is not what there is now: before an operation was cut off.
    pub before: Option<State>,
}

/// What is stated to every command.
const STATED: [&str; 8] = [
    "--quiet",
    "--immutable-tags",
    "true",
    "--immutable-tags-can-expire",
    "false",
    "--actor",
    "campaign",
    "--no-progress",
];

/// Arguments, with what is [`STATED`].
pub fn stated(args: &[&str]) -> Vec<String> {
    STATED
        .iter()
        .chain(args)
        .map(|arg| (*arg).to_owned())
        .collect()
}

/// The policy that an operation needs, where the world has none.
fn needs(world: &mut WorldSpec, active: bool) {
    if world.policies.is_empty() {
        world.policies.push(PolicySpec {
            repository: None,
            pattern: 0,
            active,
        });
    }
    if let Some(first) = world.policies.first_mut() {
        first.active = active;
    }
}

fn tags(keep: bool) -> (&'static str, TagsChoice) {
    if keep {
        ("keep", TagsChoice::Keep)
    } else {
        ("release", TagsChoice::Release)
    }
}

/// Fills the arena so that the operation can be carried out, and says how. `aware` says whether the
/// Quay in front knows the column.
pub fn ask(arena: &Arena, world: &WorldSpec, wanted: &Wanted, aware: bool) -> Asked {
    let mut world = world.clone();
    let first = Arena::uuid(0);
    match wanted {
        Wanted::Update { .. } | Wanted::Delete { .. } | Wanted::Deactivate { .. } => {
            needs(&mut world, true);
        }
        Wanted::Activate => needs(&mut world, false),
        Wanted::Create {
            repository,
            pattern,
            ..
        } => world
            .policies
            .retain(|there| (there.repository, there.pattern) != (*repository, *pattern)),
        Wanted::Recover { pattern, .. } => world
            .policies
            .retain(|there| (there.repository, there.pattern) != (None, *pattern)),
        Wanted::Fix { .. } | Wanted::Undo => needs(&mut world, true),
        Wanted::MigrateUp | Wanted::MigrateDown => {}
    }
    arena.fill(&world);
    let knows = if aware { "true" } else { "false" };
    let policy = |rest: &[&str]| {
        let mut args = vec!["policy"];
        args.extend(rest);
        args.extend(["--batch-time", "1us", "--quay-knows-active", knows]);
        args.extend(["--reconnect-for", "8s", "--settle-timeout", "20s"]);
        stated(&args)
    };
    let create = |repository: Option<usize>, pattern: usize, rest: &[&str]| {
        let name = repository.map(|nth| format!("app-{}", nth + 1));
        let mut args = vec!["create", "--namespace", "acme"];
        if let Some(name) = &name {
            args.extend(["--repository", name]);
        }
        args.extend(["--pattern", PATTERNS[pattern]]);
        args.extend(rest);
        policy(&args)
    };
    let created = |repository: Option<usize>, pattern: usize, inactive: bool| Operation::Create {
        scope: arena.scope(repository),
        text: text(PATTERNS[pattern]),
        inactive,
    };
    match *wanted {
        Wanted::Create {
            repository,
            pattern,
            inactive,
            atomic,
        } => {
            let mut rest = vec!["--strategy", if atomic { "atomic" } else { "phased" }];
            rest.extend(inactive.then_some("--inactive"));
            Asked {
                args: create(repository, pattern, &rest),
                operation: created(repository, pattern, inactive),
                before: None,
            }
        }
        Wanted::Update { pattern, keep } => {
            let pattern = other_pattern(&world, pattern);
            let (choice, unmatched) = tags(keep);
            Asked {
                args: policy(&[
                    "update",
                    &first,
                    "--pattern",
                    pattern,
                    "--unmatched-tags",
                    choice,
                ]),
                operation: Operation::Update {
                    policy: first.clone(),
                    text: text(pattern),
                    unmatched,
                },
                before: None,
            }
        }
        Wanted::Delete { keep } => Asked {
            args: policy(&["delete", &first, "--tags", tags(keep).0]),
            operation: Operation::Delete(first.clone(), tags(keep).1),
            before: None,
        },
        Wanted::Deactivate { keep } => Asked {
            args: policy(&["deactivate", &first, "--yes", "--tags", tags(keep).0]),
            operation: Operation::Deactivate(first.clone(), tags(keep).1),
            before: None,
        },
        Wanted::Activate => Asked {
            args: policy(&["activate", &first, "--strategy", "phased"]),
            operation: Operation::Activate(first.clone()),
            before: None,
        },
        Wanted::Recover { pattern, killed_at } => {
            let before = arena.state();
            let proxy = FaultProxy::before(&arena.role_url()).expect("a proxy");
            let kill = killed_at.hold(&proxy);
            let args = create(None, pattern, &["--strategy", "phased"]);
            let mut work = start(&program::path(), &proxy.url(), &args);
            kill_at(&mut work, &kill);
            end(work);
            Asked {
                args: stated(&["recover", "--wait", "2s", "--quay-knows-active", knows]),
                operation: created(None, pattern, false),
                before: Some(before),
            }
        }
        Wanted::Fix { orphans } => {
            unsettle(arena);
            Asked {
                args: fix(orphans),
                operation: Operation::Mend { orphans },
                before: None,
            }
        }
        Wanted::Undo => {
            unsettle(arena);
            let before = arena.state();
            let args: Vec<String> = fix(true);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            run_on(&arena.role_url(), &args);
            undo(arena, before)
        }
        Wanted::MigrateUp => {
            run_on(&arena.url(), &["migrate", "down", "--to", "1"]).expect_status(0);
            Asked {
                args: stated(&["migrate", "up"]),
                operation: Operation::Nothing,
                before: None,
            }
        }
        Wanted::MigrateDown => Asked {
            args: stated(&["migrate", "down", "--to", "1"]),
            operation: Operation::Nothing,
            before: None,
        },
    }
}

/// Undoing what the fix before has changed; where it had nothing to do, nothing is undone.
fn undo(arena: &Arena, before: State) -> Asked {
    let run =
        arena.count("SELECT coalesce(max(id), 0) FROM quay_doctor.operation WHERE kind = 'fix'");
    if run == 0 {
        return Asked {
            args: stated(&["fix"]),
            operation: Operation::Nothing,
            before: None,
        };
    }
    Asked {
        args: stated(&["fix", "undo", &run.to_string()]),
        operation: Operation::TakeBack(Box::new(before)),
        before: None,
    }
}

fn fix(orphans: bool) -> Vec<String> {
    let mut args = vec![
        "fix",
        "--apply",
        "--grace",
        "0s",
        "--rule",
        "unprotected-tag",
    ];
    args.extend(["--batch-time", "1us"]);
    if orphans {
        args.extend(["--rule", "orphaned-immutable-tag"]);
        args.extend(["--remedy", "orphaned-immutable-tag=release"]);
    }
    stated(&args)
}

/// A pattern other than that of the world's first policy, whichever scope that is of.
fn other_pattern(world: &WorldSpec, pattern: usize) -> &'static str {
    let taken: Vec<usize> = world.policies.iter().map(|policy| policy.pattern).collect();
    let mut nth = pattern;
    while taken.contains(&nth) {
        nth = (nth + 1) % PATTERNS.len();
    }
    PATTERNS[nth]
}

/// Both of Quay's failures: tags under a policy that are not immutable, and immutable tags that
/// nothing makes so.
fn unsettle(arena: &Arena) {
    arena.sql(
        "UPDATE tag SET immutable = false WHERE id % 3 = 0 AND immutable AND manifest_id IS NULL;
         UPDATE tag SET immutable = true, lifetime_end_ms = NULL
         WHERE id % 4 = 1 AND NOT immutable AND lifetime_end_ms IS DISTINCT FROM 0
             AND (lifetime_end_ms IS NULL OR lifetime_end_ms > (extract(epoch FROM now()) * 1000)::bigint);
         UPDATE tag SET immutable = true
         FROM logentry3 e
         WHERE e.repository_id = tag.repository_id AND e.metadata_json::jsonb ->> 'tag' = tag.name
             AND tag.lifetime_end_ms IS NULL",
    );
}

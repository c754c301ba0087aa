//! The faults of a campaign, and how each is made to befall whatever is at work.

use proptest::prelude::*;
use testkit::moments::{Boundary, REPOSITORY_LOCKED, ROWS_READ};
use testkit::proxy::{Effect, FaultProxy, Hold, Rule, Way, When, Which};

use super::world::{Arena, REPOSITORIES};

/// What becomes of a connection in a black hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Delivered,
    Ended,
    /// Somebody else has recovered meanwhile; then everything is delivered.
    TakenOver,
}

/// What somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Rows of a repository's tags.
    Rows(usize),
    /// Quay's lock on a repository.
    Repository(usize),
    /// A policy table, against writes.
    Policies,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// At the nth row whose immutability changes: `statement_timeout`. Only once, or each time.
    StatementTimeout {
        row: u32,
        once: bool,
    },
    /// Somebody holds it for so long.
    LockTimeout {
        what: Held,
        ms: u64,
    },
    /// At the nth row: `pg_terminate_backend`.
    TerminatedAtRow(u32),
    /// From outside, after so many statements.
    Terminated(u64),
    CutToServer(u64),
    CutToProgram(u64),
    LostStatement(u64),
    LostCommit(u64),
    BlackHole {
        statement: u64,
        answer: bool,
        after: After,
    },
    /// The connection is lost, and the role may not connect for so long (53300).
    ConnectionLimit {
        statement: u64,
        ms: u64,
    },
    Deadlock {
        repository: usize,
    },
    /// From the nth row on: 53100.
    DiskFull {
        row: u32,
    },
    /// At a COMMIT, or the answer to it.
    Killed(Boundary),
    KilledAtStatement {
        statement: u64,
        answer: bool,
    },
    /// At the nth row: an error of the work itself.
    WorkFails {
        row: u32,
    },
    /// Held at a COMMIT or its answer while others act; killed at a later one, where that is said.
    Paused {
        at: Boundary,
        killed: Option<Boundary>,
    },
    /// Held in the nth batch, which has its repository's lock, and its rows or not yet; killed later,
    /// where that is said.
    PausedInBatch {
        nth: u32,
        rows_read: bool,
        killed: Option<Boundary>,
    },
    TwoWorkers,
    /// Stopped at a COMMIT or its answer, taken over, and set going again; killed at a later one, where
    /// that is said.
    Frozen {
        at: Boundary,
        killed: Option<Boundary>,
    },
    /// Killed, and started again by the same command, which is killed as well.
    Supervisor(Boundary, Boundary),
    Pushers,
    /// Killed; then the clock jumps ahead by so many days.
    ClockJump {
        at: Boundary,
        days: i64,
    },
    Users,
    /// Another operation on an overlapping scope, at the same time.
    SecondOperation {
        pattern: usize,
    },
}

impl Fault {
    /// Whether others act while the operation is held.
    pub fn pauses(&self) -> bool {
        matches!(self, Self::Paused { .. } | Self::PausedInBatch { .. })
    }

    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StatementTimeout { .. } => "statement_timeout",
            Self::LockTimeout { .. } => "locks held by others, lock_timeout",
            Self::TerminatedAtRow(_) | Self::Terminated(_) => "pg_terminate_backend",
            Self::CutToServer(_) => "stream cut after a byte, to the server",
            Self::CutToProgram(_) => "stream cut after a byte, to the program",
            Self::LostStatement(_) => "connection lost before a statement",
            Self::LostCommit(_) => "answer to COMMIT lost",
            Self::BlackHole { .. } => "connection in a black hole",
            Self::ConnectionLimit { .. } => "connection limit reached (53300)",
            Self::Deadlock { .. } => "deadlock with another session",
            Self::DiskFull { .. } => "disk full (53100, raised by a trigger)",
            Self::Killed(_) => "SIGKILL at a COMMIT, or at the answer to it",
            Self::KilledAtStatement { .. } => "SIGKILL at a statement, or at the answer to it",
            Self::WorkFails { .. } => "an error of the work itself",
            Self::Paused { .. } | Self::PausedInBatch { .. } => {
                "a pause at a COMMIT or in a batch while others act"
            }
            Self::TwoWorkers => "two workers on one operation",
            Self::Frozen { .. } => "SIGSTOP, taken over, SIGCONT",
            Self::Supervisor(..) => "a supervisor starts the same command again",
            Self::Pushers => "pushers, clocks up to 5 s apart",
            Self::ClockJump { .. } => "clock jumps past expiries",
            Self::Users => "Quay's users change tags and policies meanwhile",
            Self::SecondOperation { .. } => "a second operation on an overlapping scope",
        }
    }

    /// Whether it can befall Quay's own ways: what is about operations and workers of ours cannot.
    pub fn befalls_everybody(&self) -> bool {
        !matches!(
            self,
            Self::Paused { .. }
                | Self::PausedInBatch { .. }
                | Self::TwoWorkers
                | Self::Supervisor(..)
                | Self::SecondOperation { .. }
                | Self::Users
        )
    }
}

/// Statements of a small operation, roughly.
const STATEMENTS: u64 = 140;
/// Bytes of one, each way, roughly.
const BYTES: u64 = 24_000;

pub fn faults() -> impl Strategy<Value = Fault> {
    let at = || 1..STATEMENTS;
    let boundary = || (1_u32..34).prop_map(Boundary);
    let held = prop_oneof![
        (0..REPOSITORIES).prop_map(Held::Rows),
        (0..REPOSITORIES).prop_map(Held::Repository),
        Just(Held::Policies),
    ];
    let after = prop_oneof![
        1 => Just(After::Delivered),
        1 => Just(After::Ended),
        2 => Just(After::TakenOver),
    ];
    prop_oneof![
        1 => (1_u32..24, any::<bool>())
            .prop_map(|(row, once)| Fault::StatementTimeout { row, once }),
        1 => (held, prop_oneof![6 => Just(60_u64), 4 => Just(300), 1 => Just(2_300)])
            .prop_map(|(what, ms)| Fault::LockTimeout { what, ms }),
        1 => (1_u32..24).prop_map(Fault::TerminatedAtRow),
        1 => at().prop_map(Fault::Terminated),
        1 => (0..BYTES).prop_map(Fault::CutToServer),
        1 => (0..BYTES).prop_map(Fault::CutToProgram),
        1 => at().prop_map(Fault::LostStatement),
        2 => (1_u64..16).prop_map(Fault::LostCommit),
        2 => (at(), any::<bool>(), after).prop_map(|(statement, answer, after)| {
            Fault::BlackHole { statement, answer, after }
        }),
        1 => (at(), 50_u64..400)
            .prop_map(|(statement, ms)| Fault::ConnectionLimit { statement, ms }),
        1 => (0..REPOSITORIES).prop_map(|repository| Fault::Deadlock { repository }),
        1 => (1_u32..24).prop_map(|row| Fault::DiskFull { row }),
        2 => boundary().prop_map(Fault::Killed),
        2 => (at(), any::<bool>())
            .prop_map(|(statement, answer)| Fault::KilledAtStatement { statement, answer }),
        1 => (1_u32..24).prop_map(|row| Fault::WorkFails { row }),
        3 => (boundary(), prop::option::of(1_u32..10)).prop_map(|(at, later)| Fault::Paused {
            at,
            killed: later.map(|later| Boundary(at.0 + later)),
        }),
        1 => (2_u32..12).prop_map(|both| Fault::PausedInBatch {
            nth: both / 2,
            rows_read: both % 2 == 1,
            killed: None,
        }),
        1 => Just(Fault::TwoWorkers),
        2 => (boundary(), prop::option::weighted(0.3, 1_u32..10)).prop_map(|(at, later)| {
            Fault::Frozen { at, killed: later.map(|later| Boundary(at.0 + later)) }
        }),
        1 => (boundary(), boundary()).prop_map(|(one, two)| Fault::Supervisor(one, two)),
        1 => Just(Fault::Pushers),
        1 => (boundary(), 1_i64..70).prop_map(|(at, days)| Fault::ClockJump { at, days }),
        2 => Just(Fault::Users),
        2 => (0..super::world::PATTERNS.len())
            .prop_map(|pattern| Fault::SecondOperation { pattern }),
    ]
}

/// The nth statement, or the answer to it.
pub fn at_statement(nth: u64, answer: bool, effect: Effect) -> Rule {
    let every = Which::Containing(String::new());
    Rule {
        when: if answer {
            When::Answer(every, nth)
        } else {
            When::Statement(every, nth)
        },
        effect,
    }
}

/// A trap on the nth row whose immutability changes. A sequence forgets nothing at a roll-back.
fn trap(arena: &Arena, condition: &str, springs: &str) {
    arena.sql(&format!(
        r"
        DROP TRIGGER IF EXISTS trap ON tag;
        DROP SEQUENCE IF EXISTS trapped;
        CREATE SEQUENCE trapped;
        GRANT ALL ON SEQUENCE trapped TO {role};
        CREATE OR REPLACE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('trapped') {condition} THEN {springs}; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER trap BEFORE UPDATE ON tag FOR EACH ROW
            WHEN (NEW.immutable <> OLD.immutable AND current_user = '{role}')
            EXECUTE FUNCTION trap();
        ",
        role = arena.role
    ));
}

/// Where the operation will be held, and where it will be killed.
#[derive(Default)]
pub struct Laid {
    pub hold: Option<Hold>,
    pub kill: Option<Hold>,
}

/// Lays what has to lie before the operation begins.
pub fn lay(arena: &Arena, proxy: &FaultProxy, fault: &Fault) -> Laid {
    let (mut hold, mut kill) = (None, None);
    match fault {
        Fault::Killed(at) | Fault::ClockJump { at, .. } | Fault::Supervisor(at, _) => {
            kill = Some(at.hold(proxy));
        }
        Fault::Paused { at, killed } | Fault::Frozen { at, killed } => {
            hold = Some(at.hold(proxy));
            kill = killed.map(|at| at.hold(proxy));
        }
        Fault::PausedInBatch {
            nth,
            rows_read,
            killed,
        } => {
            let moment = if *rows_read {
                ROWS_READ
            } else {
                REPOSITORY_LOCKED
            };
            hold = Some(moment.nth(u64::from(*nth)).hold(proxy));
            kill = killed.map(|at| at.hold(proxy));
        }
        Fault::StatementTimeout { row, once } => {
            let condition = if *once {
                format!("= {row}")
            } else {
                format!(">= {row}")
            };
            trap(arena, &condition, "PERFORM pg_sleep(1)");
            arena.sql(&format!(
                "ALTER ROLE {} SET statement_timeout = '150ms'",
                arena.role
            ));
        }
        Fault::TerminatedAtRow(row) => trap(
            arena,
            &format!("= {row}"),
            "PERFORM pg_terminate_backend(pg_backend_pid())",
        ),
        Fault::DiskFull { row } => trap(
            arena,
            &format!(">= {row}"),
            "RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'",
        ),
        Fault::WorkFails { row } => {
            trap(arena, &format!("= {row}"), "RAISE 'the work itself fails'");
        }
        Fault::CutToServer(bytes) => proxy.arm(Rule::cut_after(Way::ToServer, *bytes)),
        Fault::CutToProgram(bytes) => proxy.arm(Rule::cut_after(Way::ToProgram, *bytes)),
        Fault::LostStatement(nth) => proxy.arm(at_statement(*nth, false, Effect::Cut)),
        Fault::LostCommit(nth) => proxy.arm(Rule::lost_commit(*nth)),
        Fault::BlackHole {
            statement, answer, ..
        }
        | Fault::KilledAtStatement { statement, answer } => {
            proxy.arm(at_statement(*statement, *answer, Effect::BlackHole));
        }
        Fault::ConnectionLimit { statement, .. } => {
            proxy.arm(at_statement(*statement, false, Effect::Cut));
        }
        _ => {}
    }
    Laid { hold, kill }
}

//! The state of the model: the tables, what each actor has in hand, and how often trouble may come.

use super::scenario::{Safeguard, Scenario};
use super::table::{Few, Force, POLICIES, Policy, Presence, ROWS, Tag};

pub const ORDERS: usize = 3;
/// One for each operation, and one that has lost its turn and does not know.
pub const WORKERS: usize = ORDERS + 1;
pub const FROZEN: usize = ORDERS;
pub const PUSHERS: usize = 3;
/// One of a worker, one of a worker that has lost its turn, and one that is under way alone.
pub const HANDS: usize = 3;

/// The phase that an operation's row says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    NotBegun,
    Applying,
    Sweeping,
    Releasing,
    Undoing,
    Done,
    RolledBack,
    /// No operation of its own: the request has gone on with the one that it repeats.
    GoesOn,
}

/// The row of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operation {
    pub phase: Phase,
    /// Up to and with this place in the order of the walk, all is done; 0 is the beginning.
    pub cursor: u8,
    /// How many ids had been given out when it began.
    pub ids_before: u8,
    /// Names that Quay's log says a policy made immutable at a push, since it began.
    pub logged: Few,
    /// Whether anything was marked when somebody looked who has not taken it over yet.
    pub looked: Option<bool>,
}

/// What a worker does next within its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reads pages of the scope, and works on their rows batch by batch.
    Walk,
    /// Activates, or swaps in.
    Activate,
    /// Looks who still decides by the policies as they were.
    Look,
    /// Waits for those.
    Wait,
    /// Goes back to the beginning of the walk.
    Again,
    /// Ends the operation as it was meant.
    Finish,
    /// Its policy row is gone, or something failed: turns back.
    TurnBack,
    /// Reads the journal, and takes its changes back.
    Undo,
    /// Looks at what was pushed since it began.
    Pushed,
    /// Ends the operation as if it had never been.
    RolledBack,
    /// Quay's pass, and what follows.
    Pass,
}

/// Where a walk that hands take part in has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Walks {
    #[default]
    Front,
    Back,
    /// The lead is done, and waits for its hands.
    Over,
}

/// What has become of the repository that a hand may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Taken {
    #[default]
    Nothing,
    AtWork,
    Done,
}

/// Another session of a worker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hand {
    pub operation: u8,
    /// The place of its worker; none where its process, or its connection, is gone, and the server
    /// may carry out what is under way.
    pub lead: Option<u8>,
    pub phase: Phase,
    pub repository: Walks,
    pub again: bool,
    pub has_read: bool,
    pub page: Few,
    /// The row that its open transaction holds and has changed.
    pub open: Option<u8>,
    /// Whether that transaction has compared the policy's row, and holds it.
    pub compared: bool,
    /// Whether somebody has taken its operation over.
    pub fenced: bool,
}

/// Somebody who works on an operation; what it remembers of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    pub operation: u8,
    pub phase: Phase,
    pub cursor: u8,
    pub stage: Stage,
    /// Rows of the page in hand, and whether it is the last.
    pub page: Few,
    pub last_page: bool,
    /// Whether this is the sweep after the wait.
    pub second: bool,
    /// Whether this pass began at the beginning, and has changed something.
    pub whole: bool,
    pub found: bool,
    pub waits_for: Few,
    pub walks: Walks,
    pub taken: Taken,
    /// Whether rows that were marked may be met again in the first pass: its journal is asked then.
    pub again: bool,
    /// The row that its open transaction holds and has decided to release. It holds the policy
    /// tables besides, where they are held.
    pub open: Option<u8>,
    /// Whether somebody has taken its operation over.
    pub fenced: bool,
}

impl Worker {
    pub fn new(operation: usize, phase: Phase, cursor: u8, stage: Stage) -> Self {
        Self {
            operation: u8::try_from(operation).unwrap_or(0),
            phase,
            cursor,
            stage,
            page: Few(0),
            last_page: false,
            second: false,
            whole: cursor == 0,
            found: false,
            waits_for: Few(0),
            walks: Walks::Front,
            taken: Taken::Nothing,
            again: false,
            open: None,
            fenced: false,
        }
    }

    pub fn operation(&self) -> usize {
        self.operation as usize
    }

    /// Goes to a stage with nothing in hand.
    pub fn go(&mut self, stage: Stage) {
        self.stage = stage;
        self.page = Few(0);
        self.last_page = false;
    }
}

/// A push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Push {
    #[default]
    ToCome,
    /// It has its snapshot, and has touched no policy table: under REPEATABLE READ it decides by that.
    Begun {
        /// The row of its name, as it sees it.
        old: Option<u8>,
        by: Few,
        /// The operations that have committed since.
        since: Few,
    },
    /// In its transaction: it has ended the old row, decided, and inserted the new one.
    Open {
        old: Option<u8>,
        new: u8,
        /// The policies by which it decided, of those that match.
        by: Few,
    },
    Over,
}

/// A pass of Quay's over existing tags: single statements, each its own transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pass {
    #[default]
    None,
    /// The policy is committed; the tags have not been read.
    Begun { policy: u8 },
    /// These were mutable when they were read.
    Read { policy: u8, rows: Few },
    /// They are marked; those that expired still do.
    Marked { rows: Few },
}

/// All there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub tags: [Tag; ROWS],
    pub policies: [Policy; POLICIES],
    pub operations: [Operation; ORDERS],
    pub workers: [Option<Worker>; WORKERS],
    pub hands: [Option<Hand>; HANDS],
    pub pushes: [Push; PUSHERS],
    /// How many of their acts Quay's users have done, and the pass of the last.
    pub users: u8,
    pub pass: Pass,
    pub administrator: u8,
    pub lost: u8,
    pub faults: u8,
    pub crashes: u8,
    pub frozen: u8,
    /// For the oracle: an administrator's act was undone.
    pub overruled: bool,
    /// For the oracle: somebody committed who had lost its turn.
    pub trespassed: bool,
}

impl State {
    pub fn new(scenario: &Scenario) -> Self {
        assert!(scenario.orders.len() <= ORDERS && scenario.pushers.len() <= PUSHERS);
        let mut tags = [Tag::default(); ROWS];
        for (tag, start) in tags.iter_mut().zip(&scenario.tags) {
            *tag = Tag::live(start.name);
            tag.immutable = start.immutable;
            tag.expiring = start.expiring;
            tag.owed_expiry = start.expiring;
            tag.act = start.act;
        }
        let mut pushes = [Push::Over; PUSHERS];
        for (push, _) in pushes.iter_mut().zip(&scenario.pushers) {
            *push = Push::ToCome;
        }
        Self {
            tags,
            policies: scenario.policies,
            operations: [Operation::default(); ORDERS],
            workers: [None; WORKERS],
            hands: [None; HANDS],
            pushes,
            users: 0,
            pass: Pass::None,
            administrator: scenario.administrator,
            lost: scenario.lost,
            faults: scenario.faults,
            crashes: scenario.crashes,
            frozen: scenario.frozen,
            overruled: false,
            trespassed: false,
        }
    }

    pub fn live(&self) -> impl Iterator<Item = (usize, &Tag)> {
        self.tags
            .iter()
            .enumerate()
            .filter(|(_, tag)| tag.is_live())
    }

    /// How many ids have been given out.
    pub fn ids(&self) -> usize {
        let free = |tag: &Tag| tag.presence == Presence::None;
        self.tags.iter().position(free).unwrap_or(ROWS)
    }

    /// The policies in force, or for an unaware Quay all that are there, that match a name.
    pub fn deciding(&self, name: u8, every: bool) -> Few {
        let enforced = |policy: &Policy| match policy.force {
            Force::Absent => false,
            Force::Inactive => every,
            Force::Active => true,
        };
        let matching = self.policies.iter().enumerate();
        Few::of(
            matching
                .filter(|(_, policy)| enforced(policy) && policy.names.has(name as usize))
                .map(|(slot, _)| slot),
        )
    }

    /// Whether somebody's transaction holds the row.
    pub fn is_held(&self, row: usize) -> bool {
        let by_push = self
            .pushes
            .iter()
            .any(|push| matches!(push, Push::Open { old: Some(old), .. } if *old as usize == row));
        let by_workers = self.workers.iter().flatten().filter_map(|w| w.open);
        let by_hands = self.hands.iter().flatten().filter_map(|hand| hand.open);
        by_push || by_workers.chain(by_hands).any(|open| open as usize == row)
    }

    /// Whether somebody's transaction holds Quay's lock on the repository in which a name lies.
    pub fn is_locked(&self, scenario: &Scenario, name: u8) -> bool {
        let here = |other: u8| scenario.back.has(other.into()) == scenario.back.has(name.into());
        let mut pushes = self.pushes.iter().zip(&scenario.pushers);
        let by_workers = self.workers.iter().flatten().filter_map(|w| w.open);
        let by_hands = self.hands.iter().flatten().filter_map(|hand| hand.open);
        let mut rows = by_workers.chain(by_hands);
        rows.any(|row| here(self.tags[row as usize].name))
            || pushes.any(|(push, pusher)| {
                matches!(push, Push::Open { .. }) && pusher.locks && here(pusher.name)
            })
    }

    /// Whether a worker's transaction holds the policy tables, where they are held.
    pub fn are_tables_held(&self, scenario: &Scenario) -> bool {
        let mut workers = self.workers.iter().flatten();
        scenario.is_on(Safeguard::ShareMode) && workers.any(|worker| worker.open.is_some())
    }

    /// Whether an operation has begun and not ended.
    pub fn is_unfinished(&self, operation: usize) -> bool {
        !matches!(
            self.operations[operation].phase,
            Phase::NotBegun | Phase::Done | Phase::RolledBack | Phase::GoesOn
        )
    }

    /// A transaction of an operation has written its row: whoever began before has an older snapshot.
    pub fn committed(&mut self, operation: usize) {
        for push in &mut self.pushes {
            if let Push::Begun { since, .. } = push {
                since.insert(operation);
            }
        }
    }

    /// Nobody is in the middle of anything: what is seen now is an end.
    pub fn is_quiet(&self) -> bool {
        self.workers.iter().all(Option::is_none)
            && self.hands.iter().all(Option::is_none)
            && self.pass == Pass::None
            && self
                .pushes
                .iter()
                .all(|push| matches!(push, Push::ToCome | Push::Over))
            && (0..ORDERS).all(|operation| !self.is_unfinished(operation))
    }
}

//! What a run of the model is about: who is there, what they may do, and how often.

use super::table::{Act, Few, Force, POLICIES, Policy};

/// Whose way of working is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Ours,
    RecommendedFix,
    QuaysWay,
}

/// A safeguard of ours that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safeguard {
    SettleAtActivation,
    SettleAtRollBack,
    SettleBeforeRelease,
    DeleteBeforeUndo,
    ShareMode,
    WholeSweep,
    OwnRow,
    Fence,
    TakenOff,
    TakenOffByLog,
    UsersAct,
    ReleaseToTheEnd,
    NewestOnly,
    TakenOffAgain,
    TakeOverReads,
    HandsFence,
    HandsPhase,
    HandsLiveness,
    HandsEnd,
    FromTheBack,
    OlderSnapshots,
    Identity,
}

impl Safeguard {
    /// Its name in a sentence that begins with "without".
    pub fn name(self) -> &'static str {
        match self {
            Self::SettleAtActivation => "the wait after activation",
            Self::SettleAtRollBack => "the wait after a roll-back's deletion",
            Self::SettleBeforeRelease => "the wait before a release",
            Self::DeleteBeforeUndo => "the policy row's deletion before the undo",
            Self::ShareMode => "SHARE mode",
            Self::WholeSweep => "the sweep over old ids",
            Self::OwnRow => "the look at our own policy row",
            Self::Fence => "the fence",
            Self::TakenOff => "the sweep's look at the journal for what was taken off",
            Self::TakenOffByLog => "the look at Quay's log for what was taken off",
            Self::UsersAct => "the look at Quay's log for what a user set",
            Self::NewestOnly => "the look whether a change to undo is the tag's newest",
            Self::ReleaseToTheEnd => "the rest of a release whose policy was deleted",
            Self::TakenOffAgain => {
                "a later first pass's look at the journal for what was taken off"
            }
            Self::TakeOverReads => "the take-over's own look whether anything is marked",
            Self::HandsFence => "a hand's comparison of the fence",
            Self::HandsPhase => "a hand's comparison of the phase",
            Self::HandsLiveness => "a hand's look whether its lead lives",
            Self::HandsEnd => "the lead's wait for its hands before another phase",
            Self::OlderSnapshots => "the wait for older snapshots",
            Self::Identity => "the comparison of a request with the operation that it goes on with",
            Self::FromTheBack => "the hands' beginning at the back, where no cursor passes them",
        }
    }
}

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Activate,
    Delete,
    Deactivate,
    /// The place of the row that stages it.
    Update {
        staged: usize,
    },
}

/// What becomes of tags that a policy no longer covers: `--tags`, `--unmatched-tags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagsChoice {
    Release,
    Keep,
}

/// An operation that somebody orders.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub kind: Kind,
    /// The policy.
    pub policy: usize,
    /// The names that it matches before, and after.
    pub before: Few,
    pub after: Few,
    pub tags: TagsChoice,
    /// The order before that this one repeats, or changes, be it by the same person or by another.
    pub repeats: Option<usize>,
}

impl Order {
    /// The names that it takes out of its policy.
    pub fn no_longer_covered(&self) -> Few {
        self.before.without(self.after)
    }
}

/// One of Quay's workers, who pushes one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pusher {
    pub name: u8,
    /// Whether it knows `active`; else it enforces every row.
    pub aware: bool,
    /// Whether it takes the lock on the repository (Quay v3.18.0 and later).
    pub locks: bool,
    /// Whether it decides by the snapshot of its first statement (REPEATABLE READ).
    pub repeatable: bool,
}

/// What Quay's users do to policies, one after the other, at any time.
#[derive(Clone, Copy, Debug)]
pub enum UsersAct {
    Post { policy: usize, names: Few },
    Put { policy: usize, names: Few },
    Delete { policy: usize },
}

/// A tag as it is at first.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub name: u8,
    pub immutable: bool,
    pub expiring: bool,
    pub act: Act,
}

/// A run of the model.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub title: &'static str,
    pub subject: Subject,
    pub off: Vec<Safeguard>,
    pub tags: Vec<Start>,
    pub policies: [Policy; POLICIES],
    pub orders: Vec<Order>,
    pub pushers: Vec<Pusher>,
    pub users: Vec<UsersAct>,
    /// Whether Quay writes its audit log to somewhere else: then nobody's act is known.
    pub log_elsewhere: bool,
    /// How often an administrator sets immutability or takes it off.
    pub administrator: u8,
    /// The names in a second repository, which comes after the other in the walk: hands may take it.
    /// None: there are no hands.
    pub back: Few,
    /// How often a hand's connection is lost.
    pub lost: u8,
    /// How often a worker's statement fails, a worker dies, a worker loses its turn unawares.
    pub faults: u8,
    pub crashes: u8,
    pub frozen: u8,
}

impl Scenario {
    pub fn is_on(&self, safeguard: Safeguard) -> bool {
        !self.off.contains(&safeguard)
    }

    pub fn without(mut self, safeguard: Safeguard) -> Self {
        self.off.push(safeguard);
        self
    }

    pub fn with_subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// Whether the operator could say `--quay-knows-active true`.
    pub fn quay_knows_active(&self) -> bool {
        self.pushers.iter().all(|pusher| pusher.aware)
    }

    /// Ours, with nobody else there yet.
    pub fn new(title: &'static str, names: u8) -> Self {
        Self {
            title,
            subject: Subject::Ours,
            off: Vec::new(),
            tags: (0..names).map(mutable).collect(),
            policies: [Policy::default(); POLICIES],
            orders: Vec::new(),
            pushers: Vec::new(),
            users: Vec::new(),
            log_elsewhere: false,
            administrator: 0,
            back: Few(0),
            lost: 0,
            faults: 0,
            crashes: 0,
            frozen: 0,
        }
    }

    pub fn policy(mut self, policy: usize, names: Few) -> Self {
        self.policies[policy] = Policy::new(Force::Active, names);
        for tag in self.tags.iter_mut().filter(|t| names.has(t.name.into())) {
            tag.immutable = true;
            tag.expiring = false;
        }
        self
    }

    pub fn inactive(mut self, policy: usize, names: Few) -> Self {
        self.policies[policy] = Policy::new(Force::Inactive, names);
        self
    }

    pub fn expiring(mut self, name: u8) -> Self {
        let tag = self.tags.iter_mut().find(|tag| tag.name == name);
        tag.expect("a tag of that name").expiring = true;
        self
    }

    pub fn order(mut self, kind: Kind, policy: usize, before: Few, after: Few) -> Self {
        self.orders.push(Order {
            kind,
            policy,
            before,
            after,
            tags: TagsChoice::Release,
            repeats: None,
        });
        self
    }

    /// The last order keeps tags.
    pub fn keeping(mut self) -> Self {
        self.orders.last_mut().expect("an order").tags = TagsChoice::Keep;
        self
    }

    /// The first order is given again, as it was or with another choice.
    pub fn again(mut self, tags: TagsChoice) -> Self {
        let mut order = self.orders[0];
        (order.tags, order.repeats) = (tags, Some(0));
        self.orders.push(order);
        self
    }

    pub fn create(self, policy: usize, names: Few) -> Self {
        self.order(Kind::Create, policy, Few(0), names)
    }

    pub fn update(self, staged: usize, before: Few, after: Few) -> Self {
        self.order(Kind::Update { staged }, 0, before, after)
    }

    pub fn delete(self, policy: usize, names: Few) -> Self {
        self.order(Kind::Delete, policy, names, Few(0))
    }

    pub fn pusher(mut self, name: u8, aware: bool, locks: bool) -> Self {
        self.pushers.push(Pusher {
            name,
            aware,
            locks,
            repeatable: false,
        });
        self
    }

    /// The last pusher decides by the snapshot of its first statement.
    pub fn repeatable(mut self) -> Self {
        self.pushers.last_mut().expect("a pusher").repeatable = true;
        self
    }

    pub fn users(mut self, acts: &[UsersAct]) -> Self {
        self.users = acts.to_vec();
        self
    }

    pub fn log_elsewhere(mut self) -> Self {
        self.log_elsewhere = true;
        self
    }

    pub fn administrator(mut self, acts: u8) -> Self {
        self.administrator = acts;
        self
    }

    pub fn hands(mut self, back: Few, lost: u8) -> Self {
        (self.back, self.lost) = (back, lost);
        self
    }

    pub fn trouble(mut self, faults: u8, crashes: u8, frozen: u8) -> Self {
        (self.faults, self.crashes, self.frozen) = (faults, crashes, frozen);
        self
    }
}

fn mutable(name: u8) -> Start {
    Start {
        name,
        immutable: false,
        expiring: false,
        act: Act::Nothing,
    }
}

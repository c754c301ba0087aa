//! Histories: operations of several people over the same tags, one after the other and beside each other, each struck
//! or not; administrators, Quay's own pass and pushes in between; a server that is set otherwise. The oracle knows from
//! a ledger whose value each expiration is.

mod between;
mod deed;
mod judge;
mod place;
mod play;
mod runs;
mod server;

use proptest::prelude::*;

use self::between::{Between, between};
use self::deed::{Deed, deeds};
use self::server::{ServerSpec, servers};
use super::fault::{Fault, faults};
use super::others::{ActSpec, Doing, PusherSpec, acts, pushers};
use super::world::{NAMES, REPOSITORIES, WorldSpec, worlds};

pub use self::runs::{Sums, everywhere};

/// What is in an operation's way.
#[derive(Clone, Debug)]
pub enum Trouble {
    Nothing,
    Fault(Fault),
    /// A trigger swallows what the program writes of tags of this name.
    Swallowed(usize),
    /// The host's clock is so many days off.
    ClockOff(i64),
    /// The server accepts no writes.
    ReadOnly,
    /// Somebody holds rows for so long.
    Held {
        repository: usize,
        ms: u64,
    },
}

/// One operation of a history, and what belongs to it.
#[derive(Clone, Debug)]
pub struct Step {
    pub before: Vec<Between>,
    pub deed: Deed,
    /// Another one at the same time.
    pub beside: Option<Deed>,
    pub trouble: Trouble,
    pub meanwhile: Vec<ActSpec>,
    /// Whether what is unfinished is left to whoever comes next.
    pub left: bool,
    /// How it is gone on with otherwise: by the same command, or recovered.
    pub goes_on: Option<Option<bool>>,
}

#[derive(Clone, Debug)]
pub struct History {
    pub world: WorldSpec,
    pub server: ServerSpec,
    pub steps: Vec<Step>,
    pub pushers: Vec<PusherSpec>,
    /// Whether each worker has hands from its first page on.
    pub hands: bool,
    /// Whether every policy is deleted in the end, and what it covered released.
    pub winds_up: bool,
}

impl History {
    /// Whether a trigger swallows anything.
    pub fn swallows(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| matches!(step.trouble, Trouble::Swallowed(_)))
    }
}

fn troubles() -> impl Strategy<Value = Trouble> {
    let faults = faults().prop_filter("of one operation", |fault| {
        !matches!(
            fault,
            Fault::SecondOperation { .. } | Fault::ClockJump { .. } | Fault::Users | Fault::Pushers
        )
    });
    prop_oneof![
        30 => Just(Trouble::Nothing),
        24 => faults.prop_map(Trouble::Fault),
        2 => (0..NAMES.len()).prop_map(Trouble::Swallowed),
        1 => prop_oneof![Just(-40_i64), Just(40)].prop_map(Trouble::ClockOff),
        1 => Just(Trouble::ReadOnly),
        1 => (0..REPOSITORIES, prop_oneof![9 => 100_u64..1_500, 1 => Just(17_000)])
            .prop_map(|(repository, ms)| Trouble::Held { repository, ms }),
    ]
}

fn meanwhile() -> impl Strategy<Value = Vec<ActSpec>> {
    let old = (0..REPOSITORIES, 0..NAMES.len(), 5_u64..160).prop_map(|(of, name, after)| ActSpec {
        doing: Doing::OldPush(of, name),
        after,
    });
    // A policy that is put is its owner's affair, and told by the schedules of one operation.
    let some = acts(3).prop_map(|acts| {
        let stays = |act: &ActSpec| !matches!(act.doing, Doing::PutPolicy);
        acts.into_iter().filter(stays).collect()
    });
    prop_oneof![
        6 => Just(Vec::new()),
        3 => some,
        1 => old.prop_map(|act| vec![act]),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let goes_on = prop_oneof![
        2 => Just(Some(None)),
        1 => Just(Some(Some(true))),
        1 => Just(Some(Some(false))),
        1 => Just(None),
    ];
    (
        (prop::collection::vec(between(), 0..3), deeds(), troubles()),
        (prop::option::weighted(0.08, deeds()), meanwhile()),
        (prop::bool::weighted(0.25), goes_on),
    )
        .prop_map(
            |((before, deed, trouble), (beside, meanwhile), (left, goes_on))| Step {
                before,
                deed,
                // What stands still in the middle is disturbed enough.
                beside: beside.filter(|_| !matches!(trouble, Trouble::Fault(_))),
                trouble,
                meanwhile,
                left,
                goes_on,
            },
        )
}

pub fn histories() -> impl Strategy<Value = History> {
    (
        (worlds(), servers(), prop::collection::vec(steps(), 2..=5)),
        (
            prop_oneof![4 => Just(Vec::new()), 1 => pushers(2)],
            any::<bool>(),
            any::<bool>(),
        ),
    )
        .prop_map(
            |((world, server, steps), (pushers, hands, winds_up))| History {
                world,
                server,
                steps,
                pushers,
                hands,
                winds_up,
            },
        )
}

//! A schedule: a registry, an operation, a fault, and everybody else, all drawn at random.

use proptest::prelude::*;
use testkit::oracle::Pushes;

use super::fault::{Fault, faults};
use super::operation::{Wanted, changes, creations, operations, repairs};
use super::others::{ActSpec, Doing, PusherSpec, acts, pushers};
use super::world::{WorldSpec, worlds};

/// How whoever comes afterwards goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Recover,
    Resume,
    RollBack,
    SameCommand,
}

#[derive(Clone, Debug)]
pub struct Schedule {
    pub world: WorldSpec,
    pub wanted: Wanted,
    pub fault: Fault,
    pub pushers: Vec<PusherSpec>,
    pub acts: Vec<ActSpec>,
    pub then: Then,
    /// Whether the Quay in front knows the column `active`.
    pub aware: bool,
    /// Whether the worker has hands from its first page on.
    pub hands: bool,
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        3 => Just(Then::Recover),
        1 => Just(Then::Resume),
        1 => Just(Then::RollBack),
        1 => Just(Then::SameCommand),
    ]
}

/// Which operations schedules are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Every,
    Creations,
    Changes,
    Repairs,
}

impl Of {
    /// The schedules.
    pub fn schedules(self) -> BoxedStrategy<Schedule> {
        match self {
            Self::Every => schedules(operations()).boxed(),
            Self::Creations => schedules(creations()).boxed(),
            Self::Changes => schedules(changes()).boxed(),
            Self::Repairs => schedules(repairs()).boxed(),
        }
    }
}

fn schedules(operations: impl Strategy<Value = Wanted>) -> impl Strategy<Value = Schedule> {
    let some_acts = prop_oneof![3 => Just(Vec::new()), 1 => acts(2)];
    (
        (worlds(), operations, faults()),
        (pushers(2), some_acts, acts(4)),
        // Last, so that what was drawn before hands were there is drawn again.
        (then(), prop::bool::weighted(0.8), any::<bool>()),
    )
        .prop_map(
            |((world, wanted, fault), (pushers, some, many), (then, aware, hands))| {
                let at_length = fault.pauses() || matches!(fault, Fault::Users);
                let acts = if at_length { many } else { some };
                Schedule {
                    world,
                    wanted,
                    fault,
                    pushers,
                    acts,
                    then,
                    aware,
                    hands,
                }
                .sensible()
            },
        )
}

/// Schedules that Quay's own ways can be put to as well: creations, no acts, a Quay that knows the
/// column.
pub fn schedules_for_everybody() -> impl Strategy<Value = Schedule> {
    let faults = faults().prop_filter("ours alone", Fault::befalls_everybody);
    (worlds(), creations(), faults, pushers(3), then()).prop_map(
        |(world, wanted, fault, pushers, then)| {
            let wanted = match wanted {
                Wanted::Create { pattern, .. } => Wanted::Create {
                    repository: None,
                    pattern,
                    inactive: false,
                    atomic: false,
                },
                other => other,
            };
            // A fault is looked at alone.
            let pushers = if fault == Fault::Pushers {
                pushers
            } else {
                Vec::new()
            };
            Schedule {
                world,
                wanted,
                fault,
                pushers,
                acts: Vec::new(),
                then,
                aware: true,
                hands: true,
            }
            .sensible()
        },
    )
}

impl Schedule {
    /// How its pushers go about it.
    pub fn pushes(&self) -> Pushes {
        if self.pushers.iter().all(|pusher| pusher.locks) {
            Pushes::Locked
        } else {
            Pushes::Unlocked
        }
    }

    /// Leaves out what does not go together.
    fn sensible(mut self) -> Self {
        let policy = self.wanted.is_policy();
        if !policy && matches!(self.fault, Fault::SecondOperation { .. } | Fault::Users) {
            self.fault = Fault::LostCommit(2);
        }
        if matches!(self.wanted, Wanted::Recover { .. })
            && matches!(self.fault, Fault::SecondOperation { .. })
        {
            self.fault = Fault::TwoWorkers;
        }
        if !policy || matches!(self.fault, Fault::ClockJump { .. }) {
            self.pushers.clear();
        }
        // The same command would begin anew, once its policy was deleted or changed to another.
        if matches!(self.fault, Fault::Supervisor(..)) || self.then == Then::SameCommand {
            self.acts
                .retain(|act| !matches!(act.doing, Doing::DeletePolicy | Doing::PutPolicy));
        }
        // A jump moves every time there is, an act's own too.
        if !policy
            || matches!(
                self.fault,
                Fault::ClockJump { .. } | Fault::SecondOperation { .. }
            )
        {
            self.acts.clear();
        }
        if self.fault == Fault::Pushers && policy {
            for nth in self.pushers.len()..3 {
                self.pushers.push(PusherSpec {
                    clock: nth + 1,
                    locks: nth % 2 == 0,
                    pause_ms: 15,
                    seed: nth as u64,
                });
            }
        }
        // The state before the run that is undone is told by times that do not jump.
        if matches!(self.wanted, Wanted::Undo)
            && let Fault::ClockJump { at, .. } = self.fault
        {
            self.fault = Fault::Killed(at);
        }
        // What a fix has done stays with --resume: its plan is not stored.
        if matches!(self.wanted, Wanted::Fix { .. } | Wanted::Undo) && self.then == Then::Resume {
            self.then = Then::Recover;
        }
        self.aware |= !self.wanted.bears_unaware();
        self
    }
}

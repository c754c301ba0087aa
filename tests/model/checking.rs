//! The model as stateright explores it: every order of everybody's steps.

use std::sync::atomic::{AtomicBool, Ordering};

use stateright::{Checker, Model, Path, Property};

use super::bystanders::{self, Bystander};
use super::operations::{self, Work};
use super::scenario::{Scenario, Subject};
use super::state::{Phase, State};
use super::{oracle, quays};

/// What must hold, in the order in which stories are told.
pub const PROPERTIES: [&str; 8] = [
    "no tag is immutable without a reason",
    "no tag is unprotected under an active policy",
    "no expiry is lost",
    "no tag is immutable and expires",
    "no user's act is undone",
    "no release is half done",
    "nobody writes who has lost its turn",
    "no request is carried out as another",
];
/// What happens where one of them does not hold.
pub const BROKEN: [&str; 8] = [
    "a tag is immutable without a reason",
    "a tag is unprotected under an active policy",
    "an expiry is lost",
    "a tag is immutable and expires",
    "a user's act is undone",
    "a release is half done",
    "somebody writes who has lost its turn",
    "a request is carried out as another",
];
/// How many of them can be asked of every subject.
pub const OF_ALL: usize = 5;
/// Holds for every subject: while it does, the exploration goes on to the last state.
const ONCE: &str = "no name lives twice";
/// What must be reached, or the rest says nothing.
const ENDS: &str = "the operations end as they were meant";

/// One step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Bystander(Bystander),
    Work(Work),
}

/// An exploration of a scenario.
struct Exploration {
    scenario: Scenario,
    /// Which properties have been refuted. Stateright keeps the last refutation that it meets; the
    /// first is the shortest, and from then on the property is taken to hold.
    refuted: [AtomicBool; PROPERTIES.len()],
}

impl Exploration {
    fn holds(&self, property: usize, holds: bool) -> bool {
        holds || self.refuted[property].swap(true, Ordering::Relaxed)
    }
}

impl Model for Exploration {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.scenario)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (mut others, mut work) = (Vec::new(), Vec::new());
        bystanders::actions(&self.scenario, state, &mut others);
        match self.scenario.subject {
            Subject::Ours => operations::actions(&self.scenario, state, &mut work),
            _ => quays::actions(&self.scenario, state, &mut work),
        }
        actions.extend(work.into_iter().map(Action::Work));
        actions.extend(others.into_iter().map(Action::Bystander));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match (action, self.scenario.subject) {
            (Action::Bystander(action), _) => {
                bystanders::step(&self.scenario, &mut state, action);
            }
            (Action::Work(work), Subject::Ours) => {
                operations::step(&self.scenario, &mut state, work);
            }
            (Action::Work(work), _) => quays::step(&self.scenario, &mut state, work),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(PROPERTIES[0], |m, s| m.holds(0, oracle::no_orphan(s))),
            Property::always(PROPERTIES[1], |m, s| {
                m.holds(1, oracle::no_tag_unprotected(s))
            }),
            Property::always(PROPERTIES[2], |m, s| m.holds(2, oracle::no_expiry_lost(s))),
            Property::always(PROPERTIES[3], |m, s| {
                m.holds(3, oracle::none_is_immutable_and_expires(s))
            }),
            Property::always(PROPERTIES[4], |m, s| {
                m.holds(4, oracle::no_users_act_undone(s))
            }),
            Property::always(PROPERTIES[5], |m: &Self, s| {
                m.holds(5, oracle::no_release_is_half_done(&m.scenario, s))
            }),
            Property::always(PROPERTIES[6], |m, s: &State| m.holds(6, !s.trespassed)),
            Property::always(PROPERTIES[7], |m: &Self, s| {
                m.holds(
                    7,
                    oracle::no_request_is_carried_out_as_another(&m.scenario, s),
                )
            }),
            Property::always(ONCE, |_, state| oracle::no_name_lives_twice(state)),
            Property::sometimes(ENDS, |model: &Self, state: &State| {
                let orders = &model.scenario.orders;
                // What is asked for again may be refused, be it since all is done already.
                let ended = |operation: usize| {
                    orders[operation].repeats.is_some()
                        || state.operations[operation].phase == Phase::Done
                };
                state.is_quiet() && (0..orders.len()).all(ended)
            }),
        ]
    }
}

/// Steps from the beginning to a state in which a property does not hold.
pub type Story = Vec<(State, Option<Action>)>;

/// What came of an exploration.
pub struct Explored {
    /// The instance.
    pub title: &'static str,
    /// Different states that were seen.
    pub states: usize,
    /// Whether the operations can end as they were meant.
    pub ends: bool,
    /// The shortest way to a refutation of each property that does not hold, by its place.
    pub stories: Vec<(usize, Story)>,
}

impl Explored {
    /// The story of a property, where it does not hold.
    pub fn story(&self, property: usize) -> Option<&Story> {
        let found = self.stories.iter().find(|(place, _)| *place == property);
        found.map(|(_, story)| story)
    }
}

/// Explores all there is. By one thread, so that the first refutation is always the same.
pub fn explore(scenario: &Scenario) -> Explored {
    let exploration = Exploration {
        scenario: scenario.clone(),
        refuted: Default::default(),
    };
    let checker = exploration.checker().spawn_bfs().join();
    let mut found = checker.discoveries();
    assert!(found.remove(ONCE).is_none(), "{}: {ONCE}", scenario.title);
    let ends = found.remove(ENDS).is_some();
    let stories = PROPERTIES
        .into_iter()
        .enumerate()
        .filter_map(|(place, name)| Some((place, found.remove(name).map(Path::into_vec)?)))
        .collect();
    Explored {
        title: scenario.title,
        states: checker.unique_state_count(),
        ends,
        stories,
    }
}

//! A model of the protocol, explored exhaustively: no order of anybody's steps, and no fault
//! between two of them, leaves the data half done.
//!
//! Its subject is a parameter: ours, the bug report's recommended fix, Quay's present way. What is
//! modelled of ours is `src/policy/`, transaction by transaction; each of its safeguards can be
//! switched off, and then something must be found.

mod batches;
mod bystanders;
mod checking;
mod document;
mod hands;
mod instances;
mod operations;
mod oracle;
mod own_row;
mod quays;
mod scenario;
mod state;
mod table;
mod telling;

use checking::{BROKEN, PROPERTIES, explore};
use instances::{
    Size, larger, of_all, of_everybody, of_hands, of_ours, of_pairs, of_requests_and_snapshots,
    of_safeguards,
};
use scenario::{Safeguard, Scenario, Subject};

use crate::scale::cases;

/// From ten times the usual number of cases on, the larger instances are explored.
fn size() -> Size {
    if cases(10) >= 100 {
        Size::Full
    } else {
        Size::Usual
    }
}

/// Explores instances of ours: titles and states. Fails with the story of whatever goes wrong.
fn sound(instances: Vec<Scenario>) -> Vec<(&'static str, usize)> {
    let explored_one = |instance: Scenario| {
        let explored = explore(&instance);
        for (property, story) in &explored.stories {
            let told = telling::told(&instance, story);
            eprintln!("{}: {}\n{told}", instance.title, BROKEN[*property]);
        }
        assert!(explored.stories.is_empty(), "{}", instance.title);
        assert!(explored.ends, "{}: no way to the end", instance.title);
        eprintln!("{:>9} states: {}", explored.states, instance.title);
        (instance.title, explored.states)
    };
    instances.into_iter().map(explored_one).collect()
}

/// The instances that docs/protocol.md lists are explored by the test that holds the page.
#[test]
fn nothing_leaves_our_operations_half_done_when_everybody_meets() {
    sound(of_everybody());
    if size() == Size::Full {
        sound(of_ours(Size::Full));
        sound(of_hands(Size::Full));
        sound(of_requests_and_snapshots(Size::Full));
        sound(larger());
    }
}

#[test]
fn each_safeguard_that_is_switched_off_lets_something_happen() {
    for (safeguard, instance, property) in of_safeguards() {
        let on = explore(&instance);
        assert!(on.stories.is_empty(), "{safeguard:?} is on");
        let off = instance.without(safeguard);
        let explored = explore(&off);
        let never = PROPERTIES[property];
        assert!(
            explored.story(property).is_some(),
            "without {safeguard:?}: {never}"
        );
    }
}

#[test]
fn of_two_safeguards_that_stand_for_each_other_either_is_enough() {
    for (pair, instance, property) in of_pairs() {
        for safeguard in pair {
            let explored = explore(&instance.clone().without(safeguard));
            assert!(explored.stories.is_empty(), "without {safeguard:?} alone");
        }
        let explored = explore(&pair.into_iter().fold(instance, Scenario::without));
        let never = PROPERTIES[property];
        assert!(
            explored.story(property).is_some(),
            "without {pair:?}: {never}"
        );
    }
}

/// It ends sooner by it: what it would still write, the fence refuses once somebody has taken over.
#[test]
fn a_hand_that_does_not_look_whether_its_lead_lives_does_no_harm() {
    for instance in of_hands(Size::Usual) {
        let explored = explore(&instance.without(Safeguard::HandsLiveness));
        assert!(explored.stories.is_empty(), "{}", explored.title);
    }
}

#[test]
fn the_other_ways_fail_where_ours_does_not() {
    for subject in [Subject::Ours, Subject::RecommendedFix, Subject::QuaysWay] {
        let explored = explore(&of_all(subject));
        let refuted: Vec<usize> = explored.stories.iter().map(|(place, _)| *place).collect();
        match subject {
            Subject::Ours => assert!(refuted.is_empty(), "{refuted:?}"),
            _ => assert_eq!(refuted, [0, 1, 2, 3], "{subject:?}"),
        }
    }
}

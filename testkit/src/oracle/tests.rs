//! The oracle on states made by hand: each whole end passes, and each thing that can be wrong is named.

use std::collections::BTreeMap;

use super::{Act, Case, End, Operation, Policy, Pushes, State, Tag, Wrong};
use quay_doctor::journal::TagsChoice;
use quay_doctor::quay::{
    NamespaceId, Polarity, PolicyText, RepositoryId, Scope, StoredPolicy, TagId,
};

const NOW: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;
const SCOPE: Scope = Scope::Namespace(NamespaceId(1));

fn text(pattern: &str) -> PolicyText {
    StoredPolicy {
        pattern: pattern.to_owned(),
        polarity: Polarity::Matching,
    }
    .to_text()
}

fn tag(name: &str, immutable: bool, end_ms: Option<i64>) -> Tag {
    Tag {
        repository: RepositoryId(1),
        name: name.to_owned(),
        start_ms: NOW - DAY,
        end_ms,
        hidden: false,
        immutable,
        labelled: false,
        set_by_user: false,
        known_end_ms: None,
    }
}

fn state(tags: &[Tag], policies: &[(&str, &str, bool)]) -> State {
    State {
        read_at_ms: NOW,
        tags: (1..).map(TagId).zip(tags.iter().cloned()).collect(),
        policies: policies
            .iter()
            .map(|(uuid, pattern, active)| {
                let policy = Policy {
                    scope: SCOPE,
                    text: text(pattern),
                    active: *active,
                };
                ((*uuid).to_owned(), policy)
            })
            .collect(),
        namespaces: BTreeMap::from([(RepositoryId(1), NamespaceId(1))]),
        kept: Vec::new(),
        unfinished: 0,
        audit_entries: 0,
    }
}

fn create() -> Operation {
    Operation::Create {
        scope: SCOPE,
        text: text("v.*"),
        inactive: false,
    }
}

fn before() -> State {
    state(
        &[
            tag("v1", false, None),
            tag("v2", false, Some(NOW + DAY)),
            tag("w1", true, None),
            tag("v3", false, Some(NOW - DAY / 2)),
        ],
        &[],
    )
}

/// The undisturbed end of the creation.
fn created() -> State {
    let mut after = before();
    for id in [1, 2] {
        let tag = after.tags.get_mut(&TagId(id)).unwrap();
        (tag.immutable, tag.end_ms) = (true, None);
    }
    let policy = Policy {
        scope: SCOPE,
        text: text("v.*"),
        active: true,
    };
    after.policies.insert("new".to_owned(), policy);
    after
}

#[track_caller]
fn judged(before: &State, operation: Operation, acts: &[Act], after: &State) -> (End, Vec<Wrong>) {
    let verdict = Case {
        before,
        operations: &[operation],
        acts,
        pushes: Pushes::Locked,
    }
    .judge(after);
    (verdict.ends[0], verdict.wrong)
}

#[test]
fn both_ends_of_a_creation_are_whole() {
    let before = before();
    assert_eq!(
        judged(&before, create(), &[], &before),
        (End::Never, vec![])
    );
    assert_eq!(
        judged(&before, create(), &[], &created()),
        (End::Done, vec![])
    );
}

/// Changes one tag of the undisturbed end of a creation.
fn wrong_with(id: i32, change: impl Fn(&mut Tag)) -> Wrong {
    let mut after = created();
    change(after.tags.get_mut(&TagId(id)).unwrap());
    let (end, mut wrong) = judged(&before(), create(), &[], &after);
    assert_eq!((end, wrong.len()), (End::Done, 1), "{wrong:?}");
    wrong.remove(0)
}

#[test]
fn each_thing_that_can_be_wrong_has_its_name() {
    let unprotected = wrong_with(1, |tag| tag.immutable = false);
    assert!(matches!(unprotected, Wrong::Unprotected(_)));
    let died = wrong_with(1, |tag| tag.end_ms = Some(NOW - 1));
    assert!(matches!(died, Wrong::Died(_)));
    let back = wrong_with(4, |tag| tag.end_ms = None);
    assert!(matches!(back, Wrong::Resurrected(_)), "{back}");
    let other = wrong_with(1, |tag| tag.name = "x".to_owned());
    assert!(matches!(other, Wrong::Otherwise(_)));
    let lost = wrong_with(3, |tag| tag.immutable = false);
    assert!(matches!(lost, Wrong::Unprotected(_)));
}

#[test]
fn orphans_and_lost_expiries_of_a_creation_that_was_taken_back_are_found() {
    let mut after = created();
    after.policies.clear();
    let (end, wrong) = judged(&before(), create(), &[], &after);
    assert_eq!(end, End::Never);
    assert!(matches!(
        wrong.as_slice(),
        [Wrong::Orphan(_), Wrong::Orphan(_)]
    ));
    let mut after = before();
    after.tags.get_mut(&TagId(2)).unwrap().end_ms = None;
    let (_, wrong) = judged(&before(), create(), &[], &after);
    assert!(matches!(wrong.as_slice(), [Wrong::ExpiryLost(_)]));
}

#[test]
fn half_applied_policies_and_unfinished_operations_are_found() {
    let mut after = before();
    let policy = Policy {
        scope: SCOPE,
        text: text("v.*"),
        active: false,
    };
    after.policies.insert("new".to_owned(), policy);
    after.unfinished = 1;
    let (_, wrong) = judged(&before(), create(), &[], &after);
    assert!(
        matches!(
            wrong.as_slice(),
            [Wrong::Policies { .. }, Wrong::Unfinished(1)]
        ),
        "{wrong:?}"
    );
}

#[test]
fn a_users_own_immutability_and_a_label_are_never_taken_off() {
    for by_label in [true, false] {
        let mut before = state(&[tag("v1", true, None)], &[("p", "v.*", true)]);
        let own = before.tags.get_mut(&TagId(1)).unwrap();
        (own.labelled, own.set_by_user) = (by_label, !by_label);
        let mut after = before.clone();
        after.policies.clear();
        let delete = || Operation::Delete("p".to_owned(), TagsChoice::Release);
        assert_eq!(judged(&before, delete(), &[], &after).1, []);
        after.tags.get_mut(&TagId(1)).unwrap().immutable = false;
        let (_, wrong) = judged(&before, delete(), &[], &after);
        assert!(matches!(wrong.as_slice(), [Wrong::UserProtectionLost(_)]));
    }
}

#[test]
fn a_release_brings_the_known_expiry_back_and_leaves_what_others_hold() {
    let mut before = state(
        &[tag("v1", true, None), tag("v2", true, None)],
        &[("p", "v.*", true), ("q", "v2", true)],
    );
    before.tags.get_mut(&TagId(1)).unwrap().known_end_ms = Some(NOW + DAY);
    let mut after = before.clone();
    after.policies.remove("p");
    let released = after.tags.get_mut(&TagId(1)).unwrap();
    (released.immutable, released.end_ms) = (false, Some(NOW + DAY));
    let delete = || Operation::Delete("p".to_owned(), TagsChoice::Release);
    assert_eq!(judged(&before, delete(), &[], &after), (End::Done, vec![]));
    after.tags.get_mut(&TagId(1)).unwrap().end_ms = None;
    let (_, wrong) = judged(&before, delete(), &[], &after);
    assert!(matches!(wrong.as_slice(), [Wrong::ExpiryLost(_)]));
    after.tags.get_mut(&TagId(2)).unwrap().immutable = false;
    let (_, wrong) = judged(&before, delete(), &[], &after);
    assert!(matches!(
        wrong.as_slice(),
        [Wrong::ExpiryLost(_), Wrong::Unprotected(_)]
    ));
}

#[test]
fn pushes_are_judged_by_the_policies_at_the_end() {
    let mut after = created();
    // v2 was pushed over before the mark, v9 is new.
    let ended = after.tags.get_mut(&TagId(2)).unwrap();
    (ended.immutable, ended.end_ms) = (false, Some(NOW - 5));
    let mut newer = tag("v2", true, None);
    newer.start_ms = NOW - 5;
    after.tags.insert(TagId(10), newer);
    after.tags.insert(TagId(11), tag("v9", true, None));
    assert_eq!(
        judged(&before(), create(), &[], &after),
        (End::Done, vec![])
    );
    after.tags.get_mut(&TagId(11)).unwrap().immutable = false;
    let (_, wrong) = judged(&before(), create(), &[], &after);
    assert!(matches!(wrong.as_slice(), [Wrong::Unprotected(_)]));
    let ended = after.tags.get_mut(&TagId(2)).unwrap();
    (ended.immutable, ended.end_ms) = (true, None);
    assert_eq!(
        judged(&before(), create(), &[], &after).1.len(),
        1,
        "alive twice is the pusher's clock, not ours"
    );
}

#[test]
fn users_acts_stand_whatever_the_operation_came_to() {
    let off = [Act::TakenOff(TagId(1))];
    let mut after = created();
    after.tags.get_mut(&TagId(1)).unwrap().immutable = false;
    assert_eq!(judged(&before(), create(), &off, &after).1, []);
    let (_, wrong) = judged(&before(), create(), &off, &created());
    assert!(matches!(wrong.as_slice(), [Wrong::Orphan(_)]), "{wrong:?}");
    let set = [Act::Set(TagId(1))];
    let mut after = before();
    after.tags.get_mut(&TagId(1)).unwrap().immutable = true;
    assert_eq!(judged(&before(), create(), &set, &after).1, []);
    let (_, wrong) = judged(&before(), create(), &set, &before());
    assert!(matches!(wrong.as_slice(), [Wrong::UserProtectionLost(_)]));
}

#[test]
fn a_policy_that_its_owner_deleted_under_an_operation_leaves_nothing_of_it() {
    let gone = [Act::PolicyDeleted {
        uuid: "new".to_owned(),
        was: (SCOPE, text("v.*")),
        during: true,
    }];
    assert_eq!(judged(&before(), create(), &gone, &before()).1, []);
    let mut after = created();
    after.policies.clear();
    let (end, wrong) = judged(&before(), create(), &gone, &after);
    assert_eq!((end, wrong.len()), (End::Never, 2));
}

#[test]
fn two_operations_have_four_ends() {
    let other = Operation::Create {
        scope: SCOPE,
        text: text("w.*"),
        inactive: false,
    };
    let before = before();
    let operations = [create(), other];
    let verdict = Case {
        before: &before,
        operations: &operations,
        acts: &[],
        pushes: Pushes::Locked,
    }
    .judge(&created());
    assert_eq!(
        (verdict.ends, verdict.wrong),
        (vec![End::Done, End::Never], vec![])
    );
}

#[test]
fn a_clock_that_jumps_lets_an_expiry_pass_and_kills_nobody_that_was_marked() {
    let mut jumped = before();
    jumped.jumped_ahead(2 * DAY);
    let mut restored = jumped.clone();
    restored.read_at_ms = NOW;
    restored.tags.get_mut(&TagId(2)).unwrap().end_ms = None;
    assert_eq!(judged(&jumped, create(), &[], &restored).1, []);
}
